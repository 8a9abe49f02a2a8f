//! From the name that a client sent to the owner name that is looked up.

use hickory_proto::rr::Name;

use crate::snapshot::NameKey;
use crate::text::clip;
use crate::value::names::{MAX_NAME_LENGTH, is_domain_label, is_label};
use crate::zone;

use super::verdict::Verdict;

/// A query: an owner name below `bit.`, and whether only onion services may be
/// answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    name: Name,
    only_onion: bool,
}

/// The cache key of a query: its name, and whether only onion services may be
/// answered. All spellings of a query have the same key.
///
/// It is built on the stack without validating the name, so names that are
/// refused have one too.
#[derive(Clone, Copy)]
pub struct Question {
    /// The name in lower case, followed by the mode.
    bytes: [u8; MAX_NAME_LENGTH + 1],
    length: usize,
}

impl Question {
    /// Normalises a name that a client sent: to lower case, without a final dot,
    /// and without the suffix `.onion` of `.bit.onion`, which restricts answers
    /// to onion services just as `only_onion` does. `None` if the name is too
    /// long.
    pub fn new(name: &[u8], only_onion: bool) -> Option<Self> {
        let name = name.strip_suffix(b".").unwrap_or(name);
        if name.len() > MAX_NAME_LENGTH {
            return None;
        }
        let mut bytes = [0; MAX_NAME_LENGTH + 1];
        let folded = bytes.get_mut(..name.len())?;
        folded.copy_from_slice(name);
        folded.make_ascii_lowercase();
        let ends_in_onion = folded.ends_with(b".bit.onion");
        let length = match ends_in_onion {
            true => name.len() - b".onion".len(),
            false => name.len(),
        };
        *bytes.get_mut(length)? = u8::from(only_onion || ends_in_onion);
        Some(Self { bytes, length })
    }

    /// The name.
    pub fn name(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Whether only onion services may be answered.
    pub fn only_onion(&self) -> bool {
        self.bytes.get(self.length) == Some(&1)
    }

    /// The whole key.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..=self.length).unwrap_or_default()
    }
}

impl Query {
    /// Parses a name that a client sent. `only_onion` restricts answers to onion
    /// services, as the suffix `.bit.onion` always does.
    ///
    /// # Errors
    /// The verdict, if the name alone decides it: it is not in our zone, or can
    /// never be registered.
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
        let Some(question) = Question::new(name, only_onion) else {
            return refuse("is longer than 253 bytes");
        };
        let only_onion = question.only_onion();
        let text = String::from_utf8_lossy(question.name());
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
            return refuse("has a label longer than 63 bytes");
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

    /// The owner name for people, without its final dot.
    pub fn name_text(&self) -> String {
        without_final_dot(&self.name)
    }

    /// Whether only onion services may be answered.
    pub fn only_onion(&self) -> bool {
        self.only_onion
    }

    /// The name key that every answer to this query depends on.
    pub fn key(&self) -> Option<NameKey> {
        zone::locate_key(&self.name).map(|(key, _)| key)
    }

    /// The cache key, which is the same as for the name that the client sent.
    pub fn question(&self) -> Option<Question> {
        Question::new(self.name.to_ascii().as_bytes(), self.only_onion)
    }
}

/// A name for messages: without its final dot.
pub(super) fn without_final_dot(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str) -> (String, bool) {
        let query = Query::parse(name.as_bytes(), false).unwrap();
        (query.name().to_ascii(), query.only_onion())
    }

    #[test]
    fn names_are_normalised() {
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
    fn every_spelling_of_a_query_has_the_same_cache_key() {
        let longest = format!("{}abcd.bit", "abc.".repeat(61));
        for (spelling, expected) in [
            ("Example.BIT", "example.bit\0"),
            ("example.bit.", "example.bit\0"),
            ("example.bit.onion", "example.bit\x01"),
            ("WWW.Example.bit.Onion.", "www.example.bit\x01"),
            (
                "_tor.a_b.xn--mnchen-3ya.bit",
                "_tor.a_b.xn--mnchen-3ya.bit\0",
            ),
            (&longest, &format!("{longest}\0")),
            (&format!("{longest}."), &format!("{longest}\0")),
        ] {
            let question = Question::new(spelling.as_bytes(), false).unwrap();
            let query = Query::parse(spelling.as_bytes(), false).unwrap();
            assert_eq!(question.as_bytes(), expected.as_bytes(), "{spelling}");
            assert_eq!(query.question().unwrap().as_bytes(), expected.as_bytes());
            let only = Query::parse(spelling.as_bytes(), true).unwrap();
            let expected = expected.replace('\0', "\x01");
            assert_eq!(only.question().unwrap().as_bytes(), expected.as_bytes());
        }
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
    fn names_that_cannot_be_registered_are_not_found() {
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
