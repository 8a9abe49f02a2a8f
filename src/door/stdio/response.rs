//! From answers to bytes.
//!
//! Whatever its arguments, every function appends exactly one line of printable
//! ASCII, of bounded length, with its LF.

use crate::policy::Status;

use super::request::QueryId;

/// The version of the protocol that we speak.
pub const VERSION: u32 = 1;

/// The longest quoted message in characters, counted in its escaped form without
/// the quotes. A longer one is truncated and ends with `...`.
pub const MAX_MESSAGE: usize = 400;

/// The longest result of a success in bytes. No name or address is longer.
pub const MAX_RESULT: usize = 253;

const ELLIPSIS: &str = "...";

/// Appends `INIT 1 0`: the plugin is ready.
pub fn init_ready(out: &mut Vec<u8>) {
    push_words(out, &["INIT", &VERSION.to_string(), "0"]);
    out.push(b'\n');
}

/// Appends `INIT 1 1 "<why>"`: the plugin will exit.
pub fn init_failed(out: &mut Vec<u8>, why: &str) {
    push_words(out, &["INIT", &VERSION.to_string(), "1", ""]);
    push_quoted(out, why);
    out.push(b'\n');
}

/// Appends `RESOLVED <id> <status> <result>`.
///
/// The result of [`Status::Success`] is written unchanged. It must be 1 to
/// [`MAX_RESULT`] printable ASCII bytes without spaces. Anything else becomes
/// [`Status::Failure`]: the owner of a name chooses the result, and could answer
/// other queries with a raw line break. With every other status the result is a
/// message, written in quotes.
pub fn resolved(out: &mut Vec<u8>, id: &QueryId, status: Status, result: &str) {
    push_words(out, &["RESOLVED", id.as_str()]);
    push_result(out, status, result);
}

/// What [`resolved`] writes after the id. It is the same for every query with
/// this answer.
pub fn result(status: Status, result: &str) -> Box<[u8]> {
    let mut out = Vec::new();
    push_result(&mut out, status, result);
    out.into()
}

/// Appends the line that [`resolved`] writes, given what [`result`] returned.
pub fn resolved_with(out: &mut Vec<u8>, id: &QueryId, result: &[u8]) {
    out.extend_from_slice(b"RESOLVED ");
    out.extend_from_slice(id.as_str().as_bytes());
    out.extend_from_slice(result);
}

fn push_result(out: &mut Vec<u8>, status: Status, result: &str) {
    let (status, message) = match status {
        Status::Success if is_plain(result) => {
            push_words(out, &["", "0", result]);
            out.push(b'\n');
            return;
        }
        Status::Success => (Status::Failure, "the result cannot be written in an answer"),
        _ => (status, result),
    };
    out.extend([b' ', b'0' + status.code(), b' ']);
    push_quoted(out, message);
    out.push(b'\n');
}

/// Appends `CANCELED <id>`.
pub fn canceled(out: &mut Vec<u8>, id: &QueryId) {
    push_words(out, &["CANCELED", id.as_str()]);
    out.push(b'\n');
}

/// Whether a result may end a line without quotes.
fn is_plain(result: &str) -> bool {
    (1..=MAX_RESULT).contains(&result.len()) && result.bytes().all(|byte| byte.is_ascii_graphic())
}

fn push_words(out: &mut Vec<u8>, words: &[&str]) {
    for (position, word) in words.iter().enumerate() {
        if position > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word.as_bytes());
    }
}

/// Appends a message in quotes. `"` and `\` get a backslash, and every byte of
/// the UTF-8 form outside 0x20 to 0x7E becomes `\x` and two hexadecimal digits in
/// lower case. A reader can undo all of this.
fn push_quoted(out: &mut Vec<u8>, message: &str) {
    out.push(b'"');
    let first = out.len();
    // Where to truncate if the rest does not fit; never inside a character.
    let mut cut = first;
    for character in message.chars() {
        push_escaped(out, character);
        let length = out.len() - first;
        if length > MAX_MESSAGE {
            out.truncate(cut);
            out.extend_from_slice(ELLIPSIS.as_bytes());
            break;
        }
        if length <= MAX_MESSAGE - ELLIPSIS.len() {
            cut = out.len();
        }
    }
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, character: char) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        _ => {
            for &byte in character.encode_utf8(&mut [0; 4]).as_bytes() {
                if matches!(byte, 0x20..=0x7e) {
                    out.push(byte);
                } else {
                    out.extend_from_slice(b"\\x");
                    for digit in [byte >> 4, byte & 15] {
                        out.extend(HEX.get(usize::from(digit)));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    fn line(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = b"before\n".to_vec();
        write(&mut out);
        let text = String::from_utf8(out).unwrap();
        text.strip_prefix("before\n").unwrap().to_owned()
    }

    fn answer(id: &str, status: Status, result: &str) -> String {
        let id = QueryId::parse(id.as_bytes()).unwrap();
        let whole = line(|out| resolved(out, &id, status, result));
        let kept = super::result(status, result);
        assert_eq!(line(|out| resolved_with(out, &id, &kept)), whole);
        whole
    }

    /// Undoes the quoting as a client would.
    fn unquote(quoted: &str) -> Vec<u8> {
        let inner = quoted.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
        let mut bytes = inner.bytes();
        let mut message = Vec::new();
        while let Some(byte) = bytes.next() {
            if byte != b'\\' {
                assert_ne!(byte, b'"');
                message.push(byte);
                continue;
            }
            match bytes.next().unwrap() {
                b'x' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    let digits = std::str::from_utf8(&digits).unwrap();
                    message.push(u8::from_str_radix(digits, 16).unwrap());
                }
                other => message.push(other),
            }
        }
        message
    }

    #[test]
    fn writes_every_line() {
        let id = QueryId::parse(b"-007").unwrap();
        assert_eq!(line(init_ready), "INIT 1 0\n");
        assert_eq!(
            line(|out| init_failed(out, "no \"version\" 1")),
            "INIT 1 1 \"no \\\"version\\\" 1\"\n"
        );
        assert_eq!(line(|out| canceled(out, &id)), "CANCELED -007\n");
        for (status, expected) in [
            (Status::Success, "RESOLVED -007 0 1.1.1.1\n"),
            (Status::Failure, "RESOLVED -007 1 \"1.1.1.1\"\n"),
            (Status::NotInZone, "RESOLVED -007 2 \"1.1.1.1\"\n"),
            (Status::NotRegistered, "RESOLVED -007 3 \"1.1.1.1\"\n"),
            (Status::Timeout, "RESOLVED -007 4 \"1.1.1.1\"\n"),
        ] {
            assert_eq!(answer("-007", status, "1.1.1.1"), expected);
        }
        assert_eq!(answer("1", Status::Failure, ""), "RESOLVED 1 1 \"\"\n");
    }

    #[test]
    fn escapes_what_is_not_printable() {
        assert_eq!(
            answer("1", Status::Failure, "a\nb\\c\x7f\té"),
            "RESOLVED 1 1 \"a\\x0ab\\\\c\\x7f\\x09\\xc3\\xa9\"\n"
        );
    }

    #[test]
    fn never_writes_a_bad_result_raw() {
        let too_long = "a".repeat(MAX_RESULT + 1);
        for result in [
            "",
            " ",
            "a b",
            "a\n",
            "x\nRESOLVED 9 0 6.6.6.6",
            "é",
            "a\0",
            "\x7f",
            &too_long,
        ] {
            assert_eq!(
                answer("1", Status::Success, result),
                "RESOLVED 1 1 \"the result cannot be written in an answer\"\n",
                "{result:?}"
            );
        }
        let longest = "a".repeat(MAX_RESULT);
        assert_eq!(
            answer("1", Status::Success, &longest),
            format!("RESOLVED 1 0 {longest}\n")
        );
    }

    #[test]
    fn truncates_long_messages_between_characters() {
        let quoted = |message: &str| {
            let text = answer("1", Status::Failure, message);
            text.trim_end()
                .strip_prefix("RESOLVED 1 1 ")
                .unwrap()
                .to_owned()
        };
        let fits = "a".repeat(MAX_MESSAGE);
        assert_eq!(quoted(&fits), format!("\"{fits}\""));
        let kept = "a".repeat(MAX_MESSAGE - 3);
        assert_eq!(quoted(&format!("{fits}a")), format!("\"{kept}...\""));
        let quoted = quoted(&"é".repeat(MAX_MESSAGE));
        assert_eq!(unquote(&quoted), ("é".repeat(49) + "...").into_bytes());
    }

    #[test]
    fn every_line_is_one_bounded_reversible_line() {
        let mut random = SmallRng::seed_from_u64(279);
        let alphabet: Vec<char> = "\n\r\t\0\"\\x0aé…\u{1f600}\u{7f} ~".chars().collect();
        for round in 0..20_000 {
            let message: String = (0..random
                .random_range(0..if round % 20 == 0 { 900 } else { 30 }))
                .map(|_| alphabet[random.random_range(0..alphabet.len())])
                .collect();
            let status = [
                Status::Success,
                Status::Failure,
                Status::NotInZone,
                Status::NotRegistered,
                Status::Timeout,
            ][random.random_range(0..5)];
            let text = answer("+00000000000000000001", status, &message);
            let body = text.strip_suffix('\n').unwrap();
            assert!(body.bytes().all(|byte| matches!(byte, 0x20..=0x7e)));
            assert!(body.len() <= "RESOLVED  0 \"\"".len() + 21 + MAX_MESSAGE);
            let words: Vec<&str> = body.splitn(4, ' ').collect();
            if words[2] == "0" {
                assert_eq!(words[3], message);
            } else if status != Status::Success {
                let back = unquote(words[3]);
                if back != message.as_bytes() {
                    let kept = back.strip_suffix(b"...").unwrap();
                    assert!(message.as_bytes().starts_with(kept));
                    assert!(words[3].len() > MAX_MESSAGE - 20);
                }
            }
        }
    }
}
