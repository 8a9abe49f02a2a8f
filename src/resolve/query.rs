//! From the name that a client wrote to the name that is looked up.

use hickory_proto::rr::Name;

use crate::text::clip;
use crate::value::names::{MAX_NAME_LENGTH, is_domain_label, is_label};

use super::Verdict;

/// A query: an owner name below `bit.` and what may be answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    name: Name,
    only_onion: bool,
}

impl Query {
    /// Reads a name as the client wrote it. `only_onion` restricts the answer
    /// to onion services, as the ending `.bit.onion` does by itself.
    ///
    /// # Errors
    /// The verdict, if the name alone decides it: it is not in our zone, or
    /// it can never be registered.
    pub fn parse(name: &[u8], only_onion: bool) -> Result<Self, Verdict> {
        let refuse = |why: &str| {
            let name = String::from_utf8_lossy(name);
            Err(Verdict::NotFound(format!(
                "{} {why}",
                clip(&name, MAX_NAME_LENGTH)
            )))
        };
        if name.iter().any(u8::is_ascii_control) {
            return refuse("has control characters");
        }
        if !name.is_ascii() {
            return refuse("is not ASCII; write its xn-- form");
        }
        let text = String::from_utf8_lossy(name).to_ascii_lowercase();
        let text = text.strip_suffix('.').unwrap_or(&text);
        if text.len() > MAX_NAME_LENGTH {
            return refuse("is longer than 253 octets");
        }
        let (text, only_onion) = match text.strip_suffix(".bit.onion") {
            Some(_) => (text.strip_suffix(".onion").unwrap_or(text), true),
            None => (text, only_onion),
        };
        let mut labels: Vec<&str> = text.split('.').collect();
        if labels.pop() != Some("bit") {
            let name = String::from_utf8_lossy(name);
            return Err(Verdict::NotInZone(clip(&name, MAX_NAME_LENGTH)));
        }
        let Some((domain, subdomain)) = labels.split_last() else {
            return refuse("is the top-level domain itself");
        };
        if labels.iter().any(|label| label.is_empty()) {
            return refuse("has an empty label");
        }
        if labels.iter().any(|label| label.len() > 63) {
            return refuse("has a label longer than 63 octets");
        }
        if domain.bytes().all(|b| b.is_ascii_digit()) {
            return refuse("has a wholly numeric label, which cannot be registered");
        }
        if !is_domain_label(domain) || !subdomain.iter().all(|label| is_label(label)) {
            return refuse("has an invalid label");
        }
        let labels = labels.iter().chain(&["bit"]).map(|label| label.as_bytes());
        match Name::from_labels(labels) {
            Ok(mut name) => {
                name.set_fqdn(true);
                Ok(Self { name, only_onion })
            }
            Err(_) => refuse("is too long"),
        }
    }

    /// The owner name, fully qualified and in lower case.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether only onion services may be answered.
    pub fn only_onion(&self) -> bool {
        self.only_onion
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str) -> (String, bool) {
        let query = Query::parse(name.as_bytes(), false).unwrap();
        (query.name().to_ascii(), query.only_onion())
    }

    #[test]
    fn names_are_folded_and_their_endings_read() {
        assert_eq!(parsed("Example.BIT"), ("example.bit.".into(), false));
        assert_eq!(parsed("example.bit."), ("example.bit.".into(), false));
        assert_eq!(
            parsed("www.example.bit.ONION"),
            ("www.example.bit.".into(), true)
        );
        assert_eq!(parsed("example.Bit.onion."), ("example.bit.".into(), true));
        assert_eq!(
            parsed("_tor.a_b.xn--mnchen-3ya.bit").0,
            "_tor.a_b.xn--mnchen-3ya.bit."
        );
    }

    #[test]
    fn other_zones_are_not_ours() {
        for name in [
            "foo.com",
            "foo.onion",
            "example.bit.suffix.com",
            "bit.onion",
            "bit.com",
            "foobit",
            "x.bit.onion.onion",
            "x.bit..",
            ".",
            "localhost",
        ] {
            assert!(
                matches!(
                    Query::parse(name.as_bytes(), false),
                    Err(Verdict::NotInZone(_))
                ),
                "{name}"
            );
        }
    }

    #[test]
    fn what_cannot_be_registered_is_not_found() {
        let long = format!("{}.bit", "a".repeat(64));
        let longer = format!("{}bit", "abc.".repeat(63));
        for (name, why) in [
            ("bit", "top-level"),
            ("BIT.", "top-level"),
            (".bit", "empty label"),
            ("a..bit", "empty label"),
            (".a.bit", "empty label"),
            ("..bit.onion", "empty label"),
            ("123.bit", "numeric"),
            ("www.2600.bit", "numeric"),
            ("a_b.bit", "invalid label"),
            ("-a.bit", "invalid label"),
            ("a--b.bit", "invalid label"),
            ("-x.a.bit", "invalid label"),
            ("*.a.bit", "invalid label"),
            ("a:80.bit", "invalid label"),
            ("gr\u{fc}n.bit", "xn--"),
            ("gr\u{fc}n.com", "xn--"),
            ("a\0.bit", "control"),
            ("a\x7f.bit", "control"),
            (&*long, "63"),
            (&*longer, "253"),
        ] {
            match Query::parse(name.as_bytes(), false) {
                Err(Verdict::NotFound(message)) => {
                    assert!(message.contains(why), "{name}: {message}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
