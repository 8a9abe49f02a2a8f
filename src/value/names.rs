//! Owner names inside a value: relative names and what is a valid label
//! (IFA-0001, "Interpretation of DNS Names" and "Definitions of Valid Names").

use hickory_proto::rr::Name;
use thiserror::Error;

/// The longest DNS name in bytes of text, without the final dot
/// (RFC 1035 section 2.3.4: 255 on the wire).
pub const MAX_NAME_LENGTH: usize = 253;

/// Why a text is no DNS name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidName {
    /// Two dots in a row, or a dot in front.
    #[error("has an empty label")]
    EmptyLabel,
    /// A label has characters outside letters, digits, hyphen and underscore,
    /// a hyphen at its border, or over 63 bytes.
    #[error("has an invalid label")]
    InvalidLabel,
    /// The whole name is too long, after completing it if it is relative.
    #[error("is too long")]
    TooLong,
}

/// Where an item stands: what relative names in it are relative to.
#[derive(Debug, Clone)]
pub struct Place {
    owner: Name,
    apex: Name,
}

impl Place {
    /// The top-level object of a name; `apex` is its owner name, such as
    /// `example.bit.`.
    pub fn top(apex: Name) -> Self {
        Self {
            owner: apex.clone(),
            apex,
        }
    }

    /// The object of `label` in the `map` of the object at this place.
    ///
    /// # Errors
    /// The owner name would be too long.
    pub fn child(&self, label: &str) -> Result<Self, InvalidName> {
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

    /// Completes a DNS name written in the object at this place. Letters are
    /// folded to lower case.
    ///
    /// Fully qualified if it ends in a dot. Otherwise a last label `@` means
    /// the apex; without it the name is relative to the apex in the top-level
    /// object and to the parent object elsewhere. The empty text and `@` alone
    /// are the base itself.
    ///
    /// # Errors
    /// The text is no DNS name, or too long when completed.
    pub fn complete(&self, text: &str) -> Result<Name, InvalidName> {
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

    fn append(&self, relative: &str, base: &Name) -> Result<Name, InvalidName> {
        let relative = relative.to_ascii_lowercase();
        let labels: Vec<&str> = relative.split('.').collect();
        if labels.iter().any(|label| label.is_empty()) {
            return Err(InvalidName::EmptyLabel);
        }
        if !labels.iter().all(|label| is_label(label)) {
            return Err(InvalidName::InvalidLabel);
        }
        name(
            labels
                .iter()
                .map(|label| label.as_bytes())
                .chain(base.iter()),
        )
    }
}

fn name<'l>(labels: impl Iterator<Item = &'l [u8]>) -> Result<Name, InvalidName> {
    let labels: Vec<&[u8]> = labels.collect();
    let mut name = Name::from_labels(labels).map_err(|_| InvalidName::TooLong)?;
    name.set_fqdn(true);
    Ok(name)
}

/// Whether a text is a label of a DNS name as IFA-0001 defines it, in either
/// case: letters, digits, hyphen and underscore, no hyphen at the borders, at
/// most 63 bytes.
pub fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether a text is the part of a name key after `d/`: a domain label in
/// lower case that is not wholly numeric (IFA-0001, "Keys").
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

    /// RFC 1035 section 2.3.4: 255 bytes on the wire, of which example.bit.
    /// takes 13.
    #[test]
    fn names_are_as_long_as_the_wire_takes() {
        let text = |last: usize| {
            format!(
                "{}{}",
                "a".repeat(last),
                format!(".{}", "b".repeat(63)).repeat(3)
            )
        };
        assert!(place("").complete(&text(49)).is_ok());
        assert_eq!(place("").complete(&text(50)), Err(InvalidName::TooLong));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        use InvalidName::*;
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
        // Three full labels and the apex are 1 + 3·64 + 12 = 205 bytes on the
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
