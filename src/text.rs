//! Text for people: escaping what strangers wrote, and wrapping lines.

use std::fmt::{self, Write};
use std::time::Duration;

/// A text with everything but printable ASCII escaped: values come from
/// strangers, and terminals obey control characters.
pub fn printable(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c == ' ' || c.is_ascii_graphic() {
            escaped.push(c);
        } else {
            escaped.extend(c.escape_unicode());
        }
    }
    escaped
}

/// A JSON text with everything but printable ASCII written as `\\uXXXX`. Its
/// meaning is unchanged, because such characters occur only inside strings.
pub fn ascii_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c == ' ' || c.is_ascii_graphic() {
            escaped.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

/// The first `longest` characters of a text, with an ellipsis if it is longer.
pub fn clip(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A duration for people: milliseconds, with one decimal place if there are few.
pub struct Milliseconds(pub Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_secs_f64() * 1e3;
        let places = usize::from(milliseconds < 9.95);
        write!(f, "{milliseconds:.places$} ms")
    }
}

/// An age for people, in the largest unit of which there are at least two.
pub struct Age {
    /// In seconds.
    pub seconds: u64,
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.seconds {
            0..60 => return f.write_str("less than a minute old"),
            60..120 => return f.write_str("a minute old"),
            120..7_200 => (self.seconds / 60, "minutes"),
            7_200..172_800 => (self.seconds / 3_600, "hours"),
            _ => (self.seconds / 86_400, "days"),
        };
        write!(f, "{count} {unit} old")
    }
}

/// Wraps a text to `width` columns, at spaces where possible. The first line
/// starts at column `at`, and every other line is indented by `indent` spaces.
pub fn wrap(text: &str, at: usize, indent: usize, width: usize) -> String {
    let mut lines = String::new();
    let mut column = at;
    // Whether the line is empty, so that its first word needs no space.
    let mut is_begin = true;
    for word in text.split(' ') {
        let length = word.chars().count();
        if !is_begin && column + 1 + length > width {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            column = indent;
        } else if !is_begin {
            lines.push(' ');
            column += 1;
        }
        for character in word.chars() {
            if column >= width {
                lines.push('\n');
                lines.push_str(&" ".repeat(indent));
                column = indent;
            }
            lines.push(character);
            column += 1;
        }
        is_begin = false;
    }
    lines
}

/// Whether two words differ by a letter more, less or other, or by two that
/// changed places.
pub fn is_near(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let alike = one
        .iter()
        .zip(other.iter())
        .take_while(|(a, b)| a == b)
        .count();
    let one = one.get(alike..).unwrap_or_default();
    let other = other.get(alike..).unwrap_or_default();
    let ends = one.iter().rev().zip(other.iter().rev());
    let alike = ends.take_while(|(a, b)| a == b).count();
    let one = one.get(..one.len() - alike).unwrap_or_default();
    let other = other.get(..other.len() - alike).unwrap_or_default();
    match (one, other) {
        ([], []) | ([], [_]) | ([_], [] | [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_ascii_and_means_the_same() {
        let text = "a\u{1}\u{7f}\u{85}\u{9b}31m\u{fc}\u{202e}\u{feff}\u{1f600}\"\\ z";
        let json = serde_json::json!({ text: [text] });
        let escaped = ascii_json(&json.to_string());
        assert!(escaped.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert!(escaped.contains("\\u007f\\u0085\\u009b31m"), "{escaped}");
        assert!(
            escaped.contains("\\u202e\\ufeff\\ud83d\\ude00"),
            "{escaped}"
        );
        let read: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read, json);
    }

    #[test]
    fn times_are_short() {
        for (microseconds, expected) in [
            (0, "0.0 ms"),
            (340, "0.3 ms"),
            (9_940, "9.9 ms"),
            (9_960, "10 ms"),
            (1_234_567, "1235 ms"),
        ] {
            let time = Duration::from_micros(microseconds);
            assert_eq!(Milliseconds(time).to_string(), expected);
        }
    }

    #[test]
    fn ages_are_in_a_unit_that_fits() {
        for (seconds, expected) in [
            (0, "less than a minute old"),
            (59, "less than a minute old"),
            (60, "a minute old"),
            (119, "a minute old"),
            (120, "2 minutes old"),
            (7_199, "119 minutes old"),
            (7_200, "2 hours old"),
            (172_799, "47 hours old"),
            (172_800, "2 days old"),
            (u64::MAX, "213503982334601 days old"),
        ] {
            assert_eq!(Age { seconds }.to_string(), expected);
        }
    }

    #[test]
    fn text_is_wrapped_at_spaces_and_only_long_words_inside() {
        for (text, expected) in [
            ("", ""),
            ("one", "one"),
            ("one two six", "one two\n  six"),
            ("one two sixty", "one two\n  sixty"),
            ("abcdefghijklmn op", "abcdefghij\n  klmn op"),
            ("a  b", "a  b"),
        ] {
            assert_eq!(wrap(text, 0, 2, 10), expected, "{text:?}");
        }
        assert_eq!(wrap("six seven", 4, 4, 10), "six\n    seven");
    }
}
