//! DNS names inside a value: relative names and valid labels (IFA-0001,
//! "Interpretation of DNS Names" and "Definitions of Valid Names").

use hickory_proto::rr::Name;
use thiserror::Error;

/// The longest DNS name as text in bytes, without the final dot (RFC 1035
/// section 2.3.4: 255 bytes on the wire).
pub const MAX_NAME_LENGTH: usize = 253;

/// Why a text is no DNS name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// Two dots in a row, or a leading dot.
    #[error("has an empty label")]
    EmptyLabel,
    /// A label has a character other than a letter, digit, hyphen or underscore,
    /// begins or ends with a hyphen, or is longer than 63 bytes.
    #[error("has an invalid label")]
    InvalidLabel,
    /// The whole name is too long, once completed if it is relative.
    #[error("is too long")]
    TooLong,
}

/// The position of an object in a name, which relative names in it depend on.
#[derive(Debug, Clone)]
pub struct Place {
    owner: Name,
    apex: Name,
}

impl Place {
    /// The place of a name's top-level object; `apex` is its owner name, such as
    /// `example.bit.`.
    pub fn top(apex: Name) -> Self {
        Self {
            owner: apex.clone(),
            apex,
        }
    }

    /// The place of the subdomain `label`.
    ///
    /// # Errors
    /// The owner name would be too long.
    pub fn child(&self, label: &str) -> Result<Self, NameError> {
        Ok(Self {
            owner: name(std::iter::once(label.as_bytes()).chain(self.owner.iter()))?,
            apex: self.apex.clone(),
        })
    }

    /// The owner name of the object at this place, fully qualified.
    pub fn owner(&self) -> &Name {
        &self.owner
    }

    /// The owner name as text without the final dot, for messages.
    pub fn owner_text(&self) -> String {
        self.owner.to_ascii().trim_end_matches('.').to_owned()
    }

    /// Completes a DNS name written in the object at this place, in lower case.
    ///
    /// A name that ends in a dot is fully qualified. A last label `@` means the
    /// apex. Any other name is relative to the apex in the top-level object, and
    /// to the parent object elsewhere. The empty text is that base itself.
    ///
    /// # Errors
    /// The text is no DNS name, or is too long once completed.
    pub fn complete(&self, text: &str) -> Result<Name, NameError> {
        if text == "." {
            return Ok(Name::root());
        }
        if let Some(absolute) = text.strip_suffix('.') {
            return self.append(absolute, &Name::root());
        }
        if text == "@" {
            return Ok(self.apex.clone());
        }
        if let Some(relative) = text.strip_suffix(".@") {
            return self.append(relative, &self.apex);
        }
        let base = if self.owner == self.apex {
            self.apex.clone()
        } else {
            self.owner.base_name()
        };
        if text.is_empty() {
            return Ok(base);
        }
        self.append(text, &base)
    }

    fn append(&self, relative: &str, base: &Name) -> Result<Name, NameError> {
        let relative = relative.to_ascii_lowercase();
        let labels: Vec<&str> = relative.split('.').collect();
        if labels.iter().any(|label| label.is_empty()) {
            return Err(NameError::EmptyLabel);
        }
        if !labels.iter().all(|label| is_label(label)) {
            return Err(NameError::InvalidLabel);
        }
        name(
            labels
                .iter()
                .map(|label| label.as_bytes())
                .chain(base.iter()),
        )
    }
}

fn name<'l>(labels: impl Iterator<Item = &'l [u8]>) -> Result<Name, NameError> {
    let labels: Vec<&[u8]> = labels.collect();
    let mut name = Name::from_labels(labels).map_err(|_| NameError::TooLong)?;
    name.set_fqdn(true);
    Ok(name)
}

/// Whether a text is a label of a DNS name as IFA-0001 defines it, in either
/// case: at most 63 letters, digits, hyphens and underscores, neither beginning
/// nor ending with a hyphen.
pub fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether a text can follow `d/` in a name key: a domain label in lower case
/// that is not wholly numeric (IFA-0001, "Keys").
pub fn is_domain_label(text: &str) -> bool {
    let body = text.strip_prefix("xn--").unwrap_or(text);
    text.len() <= 63
        && !text.bytes().all(|b| b.is_ascii_digit())
        && body.split('-').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(owner: &str) -> Place {
        let mut place = Place::top(Name::from_ascii("example.bit.").unwrap());
        for label in owner.rsplit('.').filter(|label| !label.is_empty()) {
            place = place.child(label).unwrap();
        }
        place
    }

    fn complete(owner: &str, text: &str) -> String {
        place(owner).complete(text).unwrap().to_ascii()
    }

    #[test]
    fn relative_names_at_the_top_are_relative_to_the_apex() {
        assert_eq!(complete("", "foo"), "foo.example.bit.");
        assert_eq!(complete("", "foo.bar"), "foo.bar.example.bit.");
        assert_eq!(complete("", "foo.@"), "foo.example.bit.");
        assert_eq!(complete("", "@"), "example.bit.");
        assert_eq!(complete("", ""), "example.bit.");
    }

    #[test]
    fn relative_names_below_are_relative_to_the_parent() {
        assert_eq!(complete("www", "foo.bar"), "foo.bar.example.bit.");
        assert_eq!(complete("www.baz", "foo.bar"), "foo.bar.baz.example.bit.");
        assert_eq!(complete("www.baz", ""), "baz.example.bit.");
        assert_eq!(complete("www.baz", "@"), "example.bit.");
        assert_eq!(complete("www.baz", "x.@"), "x.example.bit.");
    }

    #[test]
    fn absolute_names_end_in_a_dot_and_are_folded() {
        assert_eq!(complete("www", "Example.COM."), "example.com.");
        assert_eq!(
            complete("www", "_sip._tcp.example.com."),
            "_sip._tcp.example.com."
        );
        assert_eq!(complete("www", "."), ".");
    }

    /// RFC 1035 section 2.3.4: 255 bytes on the wire, 13 of them for
    /// example.bit.
    #[test]
    fn names_may_be_as_long_as_on_the_wire() {
        let text = |last: usize| {
            format!(
                "{}{}",
                "a".repeat(last),
                format!(".{}", "b".repeat(63)).repeat(3)
            )
        };
        assert!(place("").complete(&text(49)).is_ok());
        assert_eq!(place("").complete(&text(50)), Err(NameError::TooLong));
    }

    #[test]
    fn invalid_names_are_refused() {
        use NameError::*;
        for (text, error) in [
            ("a..b", EmptyLabel),
            (".a", EmptyLabel),
            ("..", EmptyLabel),
            ("a..", EmptyLabel),
            ("ex$ample.com.", InvalidLabel),
            ("@.a", InvalidLabel),
            ("-a.com.", InvalidLabel),
            ("a-.com.", InvalidLabel),
            ("*.com.", InvalidLabel),
            ("a b", InvalidLabel),
            ("a\0b", InvalidLabel),
            ("grüße.de.", InvalidLabel),
            ("\u{3002}", InvalidLabel),
        ] {
            assert_eq!(place("").complete(text), Err(error), "{text:?}");
        }
        let label = "x".repeat(63);
        assert_eq!(place("").complete(&format!("{label}x")), Err(InvalidLabel));
        // Three full labels and the apex take 1 + 3·64 + 12 = 205 bytes on the
        // wire; a label of 49 makes 255.
        let long = format!("{label}.{label}.{label}");
        assert!(
            place("")
                .complete(&format!("{}.{long}", "y".repeat(49)))
                .is_ok()
        );
        assert_eq!(
            place("").complete(&format!("{}.{long}", "y".repeat(50))),
            Err(TooLong)
        );
    }

    #[test]
    fn domain_labels_follow_the_key_syntax() {
        for good in [
            "a",
            "example",
            "123four",
            "a-b-c",
            "xn--mnchen-3ya",
            "4a",
            "xn--1",
        ] {
            assert!(is_domain_label(good), "{good}");
        }
        for bad in [
            "", "123", "-a", "a-", "a--b", "a_b", "A", "a.b", "xn--", "xn--a--b", "ü", "_tor", "*",
        ] {
            assert!(!is_domain_label(bad), "{bad}");
        }
        assert!(is_domain_label(&"a".repeat(63)));
        assert!(!is_domain_label(&"a".repeat(64)));
    }
}
