//! Which names are ours to resolve, and by whom.

use crate::address::MAX_HOST_LENGTH;
use crate::config::settings::PluginCommand;

/// The longest label in bytes.
const MAX_LABEL: usize = 63;

/// Who resolves a name that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Our own resolver.
    Resolver,
    /// The naming plugin with this number.
    Plugin(usize),
}

/// The names that are ours: `bit` and `bit.onion`, which our own resolver
/// resolves, and the suffixes of naming plugins. A plugin for `bit` replaces our
/// resolver there, but not for `bit.onion`.
#[derive(Debug, Default)]
pub struct Suffixes {
    /// The suffix of each plugin, in lower case without outer dots.
    plugins: Vec<String>,
}

/// Whether a host belongs to `bit` or `bit.onion`, whatever plugins there are
/// ([`Suffixes::is_ours`] has the details).
pub fn is_ours(host: &[u8]) -> bool {
    Suffixes::default().is_ours(host)
}

impl Suffixes {
    /// The suffixes of these plugins, and our own.
    pub fn new(plugins: &[PluginCommand]) -> Self {
        let suffix = |plugin: &PluginCommand| {
            let suffix = plugin.suffix.trim_matches('.');
            suffix.to_ascii_lowercase()
        };
        Self {
            plugins: plugins.iter().map(suffix).collect(),
        }
    }

    /// Whether a host must not reach Tor: it is one of the suffixes or ends with
    /// one, in any case, with or without final dots.
    ///
    /// Other programs may cut a host at a byte that cannot be part of a name, so
    /// every part between such bytes counts: `a.bit:80`, `http://a.bit/` and
    /// `a.bit` followed by NUL are ours, too, and are refused.
    pub fn is_ours(&self, host: &[u8]) -> bool {
        self.owner(host).is_some()
    }

    /// Who resolves a host, or refuses it; `None` if it is not ours. The longest
    /// suffix decides.
    pub fn owner(&self, host: &[u8]) -> Option<Owner> {
        let parts = host.split(|&byte| !is_name_byte(byte));
        let mut owners = parts.filter_map(|part| self.owner_of_part(part));
        let first = owners.next()?;
        // A host with several parts is refused in any case; our resolver reports
        // what is wrong with a name in `bit`.
        match owners.any(|owner| owner == Owner::Resolver) {
            true => Some(Owner::Resolver),
            false => Some(first),
        }
    }

    fn owner_of_part(&self, part: &[u8]) -> Option<Owner> {
        if ends_with(part, "bit.onion") {
            return Some(Owner::Resolver);
        }
        let suffixes = self.plugins.iter().zip(0..);
        let matching = suffixes.filter(|(suffix, _)| ends_with(part, suffix));
        match matching.max_by_key(|(suffix, _)| suffix.len()) {
            Some((_, plugin)) => Some(Owner::Plugin(plugin)),
            None if ends_with(part, "bit") => Some(Owner::Resolver),
            None => None,
        }
    }
}

/// Whether a byte may be part of a host name.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

/// A well-formed host name of at most 253 bytes, in lower case without final
/// dots. `None` if the host is not one; it must not become part of a line to a
/// plugin.
pub fn host_name(host: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(host).ok()?;
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let is_name = (1..=MAX_HOST_LENGTH).contains(&name.len())
        && name.bytes().all(is_name_byte)
        && name
            .split('.')
            .all(|label| (1..=MAX_LABEL).contains(&label.len()));
    is_name.then_some(name)
}

/// Whether the last labels of a name are those of a suffix. Empty labels are
/// ignored, because some programs ignore them.
fn ends_with(name: &[u8], suffix: &str) -> bool {
    let labels = name.rsplit(|&byte| byte == b'.');
    let mut labels = labels.filter(|label| !label.is_empty());
    suffix.rsplit('.').all(|wanted| {
        let label = labels.next();
        label.is_some_and(|label| label.eq_ignore_ascii_case(wanted.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_bit_name_is_ours() {
        for name in [
            "a.bit",
            "A.BIT",
            "a.b.Bit.",
            "a.bit..",
            "bit",
            ".bit",
            "bit.",
            "a.bit.onion",
            "A.Bit.Onion.",
            "bit.onion",
            "a.bit:80",
            "http://a.bit/",
            "user@a.bit",
            "a.bit\0.example.com",
            "a.bit\r\nb",
            "a.bit ",
            "\u{fc}.bit",
            "a.bit\u{3002}",
            "a.bit..onion",
        ] {
            assert!(is_ours(name.as_bytes()), "{name:?}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for name in [
            "",
            ".",
            "bit.example",
            "a.bit.example",
            "rabbit",
            "a.rabbit",
            "onion",
            "a.onion",
            "bit.a.onion",
            "a.bit.exit",
            "127.0.0.1",
            "a_bit",
            "a-bit.com",
        ] {
            assert!(!is_ours(name.as_bytes()), "{name:?}");
        }
    }

    fn suffixes(plugins: &[&str]) -> Suffixes {
        let plugins = plugins.iter().map(|suffix| PluginCommand {
            suffix: (*suffix).to_owned(),
            command: String::new(),
        });
        Suffixes::new(&plugins.collect::<Vec<_>>())
    }

    #[test]
    fn host_names_fit_a_line() {
        let long = |count| format!("{}test", "a.".repeat(count));
        for (host, expected) in [
            ("a.test", Some("a.test")),
            ("A.b_c.TEST..", Some("a.b_c.test")),
            ("xn--a.test", Some("xn--a.test")),
            (&long(124), Some(long(124).as_str())),
            (&long(125), None),
            ("a..test", None),
            (".test", None),
            ("...", None),
            ("a b.test", None),
            ("a.test\n", None),
            ("a\0.test", None),
            ("\u{fc}.test", None),
            (&format!("{}.test", "a".repeat(64)), None),
        ] {
            assert_eq!(host_name(host.as_bytes()).as_deref(), expected, "{host:?}");
        }
        assert_eq!(host_name(b"\xff.test"), None);
    }

    #[test]
    fn the_longest_suffix_decides() {
        use Owner::*;

        let suffixes = suffixes(&["test", "a.Test", "tor.example"]);
        for (name, owner) in [
            ("test", Some(Plugin(0))),
            ("TEST.", Some(Plugin(0))),
            ("x.test", Some(Plugin(0))),
            ("ba.test", Some(Plugin(0))),
            ("a.test", Some(Plugin(1))),
            ("x.A.tEst..", Some(Plugin(1))),
            ("x.a..test", Some(Plugin(1))),
            ("a.test:80", Some(Plugin(1))),
            ("a.test\0.b.bit", Some(Resolver)),
            ("b.bit\0.a.test", Some(Resolver)),
            ("tor.example", Some(Plugin(2))),
            ("example", None),
            ("x.example", None),
            ("xtor.example", None),
            ("test.x", None),
            ("a.bit", Some(Resolver)),
            ("a.bit.onion", Some(Resolver)),
        ] {
            assert_eq!(suffixes.owner(name.as_bytes()), owner, "{name:?}");
        }
    }

    #[test]
    fn a_plugin_for_bit_replaces_the_resolver_but_for_onion_names() {
        let suffixes = suffixes(&["bit", "onion", ""]);
        for (name, owner) in [
            ("a.bit", Owner::Plugin(0)),
            ("a.bit:80", Owner::Plugin(0)),
            ("a.bit.onion", Owner::Resolver),
        ] {
            assert_eq!(suffixes.owner(name.as_bytes()), Some(owner), "{name}");
        }
        assert_eq!(suffixes.owner(b"example.com"), None);
    }
}
