//! The documents name files that exist, and `docs/troubleshooting.md` explains
//! messages that exist.
//!
//! A message on that page is a text in backquotes, with `…` for each part that
//! differs from case to case.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Quotes on the page that are not messages of the program.
const NOT_MESSAGES: [&str; 1] = ["name#1 under id#2"];

/// Quotes with fewer words are settings, files and commands.
const FEWEST_WORDS: usize = 3;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap()
}

fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The source without tests and comments, one line for each file, in which
/// string literals read as they are printed.
fn source() -> String {
    let mut source = String::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if name != "tests" {
                    directories.push(path);
                }
            } else if name != "tests.rs" {
                source.push_str(&literals(&fs::read_to_string(&path).unwrap()));
                source.push('\n');
            }
        }
    }
    source
}

fn literals(source: &str) -> String {
    let code = source
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"));
    let mut text = String::new();
    for line in code {
        // A literal goes on in the next line after a backslash.
        match line.strip_suffix('\\') {
            Some(begin) => text.push_str(begin),
            None => text.extend([line, " "]),
        }
    }
    folded(&text.replace("\\\"", "\""))
}

/// How many words have a letter in them.
fn words(text: &str) -> usize {
    let words = text.split_whitespace();
    words
        .filter(|word| word.contains(|c: char| c.is_ascii_alphabetic()))
        .count()
}

#[test]
fn messages_on_the_page_are_in_the_source() {
    let source = source();
    let prose: String = page().split("```").step_by(2).collect();
    let prose = folded(&prose);
    let mut checked = 0;
    let mut unknown = Vec::new();
    for quote in prose.split('`').skip(1).step_by(2) {
        let pieces = quote.split('…').map(str::trim);
        let piece = pieces.max_by_key(|piece| piece.len()).unwrap_or_default();
        if words(piece) < FEWEST_WORDS || NOT_MESSAGES.contains(&piece) {
            continue;
        }
        checked += 1;
        if !source.contains(piece) {
            unknown.push(piece.to_owned());
        }
    }
    assert!(unknown.is_empty(), "not in the source: {unknown:#?}");
    assert!(checked > 50, "only {checked} messages are on the page");
}

#[test]
fn headings_on_the_page_differ() {
    let page = page();
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let mut seen = BTreeSet::new();
    for heading in headings {
        let text = heading.trim_start_matches('#').trim();
        assert!(seen.insert(text.to_lowercase()), "{heading}");
    }
    assert!(seen.len() > 5, "{seen:?}");
}

/// Folders whose files the documents name by their path from the root.
const FOLDERS: [&str; 8] = [
    "benches", "contrib", "data", "examples", "fuzz", "scripts", "src", "tests",
];

#[test]
fn files_that_documents_name_exist() {
    let mut documents = vec![];
    for folder in ["", "docs", "spec"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "md") {
                documents.push(path);
            }
        }
    }
    let mut checked = 0;
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for quote in text.split('`').skip(1).step_by(2) {
            let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            let folder = quote.split_once('/').map(|(folder, _)| folder);
            if folder.is_none_or(|folder| !FOLDERS.contains(&folder)) || !quote.chars().all(is_path)
            {
                continue;
            }
            checked += 1;
            assert!(
                root().join(quote).exists(),
                "{}: {quote}",
                document.display()
            );
        }
    }
    assert!(checked > 30, "only {checked} files are named");
}
