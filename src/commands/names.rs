//! Names as people write them: pasted from an address bar, with letters beyond
//! ASCII, or without their ending.
//!
//! The plugin does none of this: a naming client passes on what Tor received.

use crate::policy::{Query, Verdict};
use crate::text::clip;

/// The most characters of a name that a message repeats.
const SHOWN: usize = 253;

/// Why a name cannot be looked up, or yields nothing.
pub struct Failure {
    /// What the plugin would answer.
    pub verdict: Verdict,
    /// Why, and what to write in its place.
    pub message: String,
}

impl From<Verdict> for Failure {
    fn from(verdict: Verdict) -> Self {
        Self {
            message: verdict.text().into_owned(),
            verdict,
        }
    }
}

/// Reads a name given as `example.bit` or `d/example`; the text is the name in
/// the first form.
///
/// # Errors
/// The text is not such a name.
pub fn query(written: &str, only_onion: bool) -> Result<(String, Query), Failure> {
    let name = match written.strip_prefix("d/") {
        Some(label) => format!("{label}.bit"),
        None => written.to_owned(),
    };
    match Query::parse(name.as_bytes(), only_onion) {
        Ok(query) => Ok((name, query)),
        Err(verdict) => Err(Failure {
            message: advice(written).unwrap_or_else(|| verdict.text().into_owned()),
            verdict,
        }),
    }
}

/// What to write instead, if that is clear.
fn advice(written: &str) -> Option<String> {
    let name = written.trim();
    if name.is_empty() {
        return Some("the name is empty; write one such as example.bit".to_owned());
    }
    let (mut reason, mut host) = match name.split_once("://") {
        Some((_, rest)) => ("is a URL; write", rest),
        None => ("has spaces around it; write", name),
    };
    let key = host.strip_prefix("d/");
    if key.is_none() {
        for (mark, what) in [
            (&['/', '?', '#'][..], "has a path; write"),
            (&[':'], "has a port; write"),
        ] {
            if let Some((before, _)) = host.split_once(mark) {
                host = before;
                reason = if name.contains("://") { reason } else { what };
            }
            // A user name comes before the host, and may have a colon.
            if let Some((_, after)) = host.rsplit_once('@') {
                host = after;
                if reason.starts_with("has spaces") {
                    reason = "has a user name; write";
                }
            }
        }
    }
    let host = key.map_or_else(|| host.to_owned(), |label| format!("{label}.bit"));
    let mut meant = host.clone();
    if !host.is_ascii() {
        reason = "is not ASCII; write";
        meant = idna::domain_to_ascii(&host).ok()?;
    }
    if !meant.contains('.') {
        // Before a slash or colon it is something else, as in id/alice; and bit is
        // complete.
        if host != name || host == "bit" {
            return None;
        }
        reason = "lacks an ending; write";
        meant.push_str(".bit");
    }
    // Propose nothing that would fail as well.
    Query::parse(meant.as_bytes(), false).ok()?;
    Some(format!("{} {reason} {meant}", clip(written, SHOWN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_write_is_said() {
        for (written, expected) in [
            ("", "the name is empty; write one such as example.bit"),
            (" ", "the name is empty; write one such as example.bit"),
            ("http://example.bit", "is a URL; write example.bit"),
            (
                "HTTPS://u:p@www.example.bit:8443/a:b@c?d#e",
                "is a URL; write www.example.bit",
            ),
            (
                "https://example.bit.onion/",
                "is a URL; write example.bit.onion",
            ),
            ("example.bit/", "has a path; write example.bit"),
            ("example.bit?q", "has a path; write example.bit"),
            ("example.bit:80", "has a port; write example.bit"),
            ("example.bit:80/x", "has a port; write example.bit"),
            (" example.bit", "has spaces around it; write example.bit"),
            ("user@example.bit", "has a user name; write example.bit"),
            ("m\u{fc}nchen.bit", "is not ASCII; write xn--mnchen-3ya.bit"),
            (
                "M\u{dc}NCHEN.bit.",
                "is not ASCII; write xn--mnchen-3ya.bit.",
            ),
            (
                "mu\u{308}nchen.bit",
                "is not ASCII; write xn--mnchen-3ya.bit",
            ),
            (
                "www.\u{4f8b}\u{5b50}\u{3002}bit",
                "is not ASCII; write www.xn--fsqu00a.bit",
            ),
            ("d/m\u{fc}nchen", "is not ASCII; write xn--mnchen-3ya.bit"),
            (
                "http://m\u{fc}nchen.bit/",
                "is not ASCII; write xn--mnchen-3ya.bit",
            ),
            ("example", "lacks an ending; write example.bit"),
            ("m\u{fc}nchen", "lacks an ending; write xn--mnchen-3ya.bit"),
        ] {
            let message = query(written, false).err().unwrap().message;
            let all = match written.trim() {
                "" => expected.to_owned(),
                _ => format!("{written} {expected}"),
            };
            assert_eq!(message, all, "{written:?}");
        }
    }

    /// What is proposed would be a name, and the status is that of the plugin.
    #[test]
    fn what_cannot_be_mended_fails_as_in_the_plugin() {
        for written in [
            "foo.com",
            "http://foo.com/",
            "m\u{fc}nchen.com",
            "id/alice",
            "a b.bit",
            "a..bit",
            "123",
            "bit",
            "https://",
            "\u{1}.bit",
            "\u{202e}.bit",
            "\u{fc}\u{d7ff}.bit",
        ] {
            let refused = query(written, false).err().unwrap();
            assert_eq!(refused.message, refused.verdict.text(), "{written:?}");
        }
    }
}
