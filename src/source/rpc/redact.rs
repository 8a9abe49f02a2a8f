//! A node's messages without secrets, so that they can be shown.

/// The longest text of a node that is shown, in characters.
const MAX_SHOWN: usize = 200;

/// The longest message that is searched, in bytes; longer ones are not
/// shown at all.
const MAX_SEARCHED: usize = 16 << 10;

/// Replaces a secret.
const REDACTED: &str = "[...]";

/// Replaces a message that cannot be shown.
const WITHHELD: &str = "(message withheld)";

/// Secrets shorter than this, in bytes, count only as whole words: every text
/// contains the letter "a".
const WORD: usize = 4;

/// Turns `message` into one line of printable ASCII, at most [`MAX_SHOWN`]
/// characters, and removes each of `secrets`, in any case.
///
/// A message that repeats a secret with backslashes in it, which is how nodes
/// quote, is withheld altogether.
pub(super) fn show(message: &str, secrets: &[&str]) -> String {
    if message.len() > MAX_SEARCHED {
        return WITHHELD.into();
    }
    let mut secrets: Vec<&str> = secrets.iter().copied().filter(|s| !s.is_empty()).collect();
    // A secret may contain another one: the longest must go first.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let mut text = message.to_owned();
    for secret in &secrets {
        text = without(&text, secret);
    }
    let bare = unquoted(&text);
    if secrets
        .iter()
        .map(|secret| unquoted(secret))
        .filter(|secret| !secret.is_empty())
        .any(|secret| places(&bare, &secret).next().is_some())
    {
        return WITHHELD.into();
    }
    printable(&text)
}

fn without(text: &str, secret: &str) -> String {
    // Lower case in ASCII leaves every byte in its place.
    let lower = text.to_ascii_lowercase();
    let mut kept = String::with_capacity(text.len());
    let mut done = 0;
    for start in places(&lower, &secret.to_ascii_lowercase()) {
        kept.push_str(text.get(done..start).unwrap_or_default());
        kept.push_str(REDACTED);
        done = start.saturating_add(secret.len());
    }
    kept.push_str(text.get(done..).unwrap_or_default());
    kept
}

/// Where `secret` begins in `text`; short ones count only as whole words.
fn places<'a>(text: &'a str, secret: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_letter = |c: char| c.is_ascii_alphanumeric();
    text.match_indices(secret)
        .filter(move |(at, found)| {
            let before = text.get(..*at).unwrap_or_default();
            let after = text.get(at.saturating_add(found.len())..);
            secret.len() >= WORD
                || !(before.ends_with(is_letter)
                    || after.unwrap_or_default().starts_with(is_letter))
        })
        .map(|(at, _)| at)
}

fn unquoted(text: &str) -> String {
    text.replace('\\', "").to_ascii_lowercase()
}

fn printable(text: &str) -> String {
    let mut shown = String::new();
    for c in text.replace('…', "...").chars().take(MAX_SHOWN) {
        shown.push(match c {
            ' '..='~' => c,
            c if c.is_whitespace() => ' ',
            _ => '?',
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_pass_in_printable_ascii() {
        assert_eq!(show("Loading block index…", &[]), "Loading block index...");
        assert_eq!(show("a\nb\tc\u{1b}\u{7f}ü", &[]), "a b c???");
        assert_eq!(show(&"x".repeat(5000), &[]).len(), MAX_SHOWN);
        assert_eq!(show(&"x".repeat(MAX_SEARCHED + 1), &[]), WITHHELD);
    }

    #[test]
    fn secrets_are_taken_out_in_any_case() {
        let shown = show(
            "cannot find 'd/Example' (0x642F6578616D706C65), d/example",
            &["d/example", "642f6578616d706c65", "example"],
        );
        assert_eq!(shown, "cannot find '[...]' (0x[...]), [...]");
    }

    #[test]
    fn a_quoted_secret_withholds_the_message() {
        assert_eq!(show(r"no 'a\\b\'c'", &[r"a\b'c"]), WITHHELD);
    }

    #[test]
    fn short_secrets_are_whole_words() {
        assert_eq!(
            show("bad stream a: abandoned", &["a"]),
            "bad stream [...]: abandoned"
        );
    }

    #[test]
    fn nothing_of_a_secret_is_left_at_the_cut() {
        let secret = "s3cr3t-isolation-id";
        for padding in 150..=MAX_SHOWN {
            let shown = show(&format!("{}{secret}", "-".repeat(padding)), &[secret]);
            assert!(!shown.contains("s3"), "{shown}");
        }
    }
}
