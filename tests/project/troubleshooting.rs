//! `docs/troubleshooting.md` has every message that the program can print, and
//! none that it cannot.
//!
//! The texts are the string literals of the source, tests left out: those of
//! errors, and whatever else has three words or more in one piece between its
//! placeholders. All of these are messages, unless [`NOT_MESSAGES`] says why
//! not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Literals that no user reads as a message, and why.
const NOT_MESSAGES: [(&str, &str); 13] = [
    ("Where values come from", "a heading of --help"),
    ("Electrum servers (electrum)", "a heading of --help"),
    ("Without a command, serves a naming client", "--help"),
    ("a name in .bit", "--help"),
    ("the same as --isolation", "--help"),
    ("bash, elvish, fish, powershell or zsh", "--help"),
    ("is not a valid Encoding", "looked for in a node's answer"),
    (
        "unexpected keyword argument",
        "looked for in a node's answer",
    ),
    ("not in block", "looked for in a server's answer"),
    ("no clean interface", "looked for in a node's answer"),
    (
        "an object of names",
        "of an error of which line and column are told only",
    ),
    ("complete -c ncprop279 -n", "of a script for fish"),
    ("Namecoin TLS Certificate", "stands in certificates"),
];

/// Words before a literal that make it documentation of options or of code.
const DOCUMENTATION: [&str; 5] = ["help", "about", "must_use", "doc", "expect"];

/// Quotes on the page that are no messages: what a user types, and examples of
/// lines that are put together.
const NOT_QUOTES: [&str; 5] = [
    "ncprop279 resolve NAME",
    "name#1 under id#2",
    "names file FAIL",
    "names file warn",
    "A example.bit: 1 record",
];

/// Pieces with fewer words say nothing on their own, such as "the node".
const FEWEST_WORDS: usize = 3;

/// A literal of the source.
struct Text {
    text: String,
    /// Whether it stands in `#[error(…)]`: then it is a message, however short.
    is_error: bool,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The texts of all literals in the source.
fn texts() -> Vec<Text> {
    let mut texts = Vec::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if name != "tests" {
                    directories.push(path);
                }
            } else if name != "tests.rs" && name != "testing.rs" {
                let source: TokenStream = fs::read_to_string(&path).unwrap().parse().unwrap();
                collect(source, false, &mut texts);
            }
        }
    }
    texts
}

/// Takes the literals of a stream of tokens that are neither documentation nor
/// in a module of tests.
fn collect(source: TokenStream, is_error: bool, texts: &mut Vec<Text>) {
    let trees: Vec<TokenTree> = source.into_iter().collect();
    let mut is_of_tests = false;
    for (at, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Literal(literal) => {
                let literal = TokenStream::from(TokenTree::Literal(literal.clone()));
                if let Ok(text) = syn::parse2::<syn::LitStr>(literal)
                    && !follows(&trees[..at], &DOCUMENTATION)
                {
                    let text = text.value();
                    texts.push(Text { text, is_error });
                }
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let is_left_out = std::mem::take(&mut is_of_tests);
                if !is_left_out {
                    collect(group.stream(), false, texts);
                }
            }
            TokenTree::Group(group) => {
                is_of_tests |= is_test_mark(group);
                if !follows(&trees[..at], &DOCUMENTATION) {
                    let is_error = follows(&trees[..at], &["error"]);
                    collect(group.stream(), is_error, texts);
                }
            }
            // An item without a body ends here.
            TokenTree::Punct(punct) if punct.as_char() == ';' => is_of_tests = false,
            _ => {}
        }
    }
}

/// Whether what comes next belongs to one of the words, as in `help: …`,
/// `.help(…)` and `#[must_use = …]`.
fn follows(before: &[TokenTree], words: &[&str]) -> bool {
    let before = match before {
        [before @ .., TokenTree::Punct(_)] => before,
        before => before,
    };
    match before {
        [.., TokenTree::Ident(word)] => words.iter().any(|other| word == other),
        _ => false,
    }
}

/// Whether it is what stands in brackets in `#[cfg(test)]`.
fn is_test_mark(group: &Group) -> bool {
    group.delimiter() == Delimiter::Bracket && group.stream().to_string() == "cfg (test)"
}

/// The longest piece of a text between placeholders, its white space folded.
fn longest_piece(text: &str) -> String {
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let pieces = text.split('{').map(|piece| match piece.split_once('}') {
        Some((_, after)) => after,
        None => piece,
    });
    let piece = pieces.max_by_key(|piece| piece.len()).unwrap_or_default();
    folded(&piece.replace('\u{1}', "{").replace('\u{2}', "}"))
}

fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many words it has: what has a letter in it.
fn words(piece: &str) -> usize {
    let words = piece.split_whitespace();
    words
        .filter(|word| word.contains(|c: char| c.is_ascii_alphabetic()))
        .count()
}

/// The page without its code blocks, its white space folded.
fn page() -> String {
    let text = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let prose: String = text.split("```").step_by(2).collect();
    folded(&prose)
}

#[test]
fn every_message_is_on_the_page() {
    let page = page();
    let mut met = BTreeSet::new();
    let mut checked = 0;
    let mut missing = Vec::new();
    for Text { text, is_error } in texts() {
        let piece = longest_piece(&text);
        if words(&piece) < if is_error { 1 } else { FEWEST_WORDS } {
            continue;
        }
        let known = NOT_MESSAGES
            .iter()
            .find(|(begin, _)| piece.starts_with(begin));
        if let Some((begin, _)) = known {
            met.insert(*begin);
            continue;
        }
        checked += 1;
        if !page.contains(&piece) {
            missing.push(piece);
        }
    }
    assert!(
        missing.is_empty(),
        "not in docs/troubleshooting.md: {missing:#?}"
    );
    assert!(
        checked > 400,
        "only {checked} texts were found in the source"
    );
    let stale = NOT_MESSAGES
        .iter()
        .filter(|(begin, _)| !met.contains(begin));
    assert_eq!(stale.collect::<Vec<_>>(), [] as [&(&str, &str); 0]);
}

/// What is quoted on the page as a message stands in the source.
#[test]
fn every_message_on_the_page_is_in_the_source() {
    let texts: Vec<String> = texts().iter().map(|text| folded(&text.text)).collect();
    let page = page();
    let quoted = page.split('`').skip(1).step_by(2);
    let mut checked = 0;
    let mut unknown = Vec::new();
    for quote in quoted {
        let pieces = quote.split('…').map(str::trim);
        let piece = pieces.max_by_key(|piece| piece.len()).unwrap_or_default();
        if words(piece) < FEWEST_WORDS || NOT_QUOTES.contains(&piece) {
            continue;
        }
        checked += 1;
        if !texts.iter().any(|text| text.contains(piece)) {
            unknown.push(piece.to_owned());
        }
    }
    assert!(unknown.is_empty(), "not in the source: {unknown:#?}");
    assert!(
        checked > 300,
        "only {checked} messages were found on the page"
    );
}
