//! A names file that is large, broken or no file, behind the real binary.

#![cfg(target_os = "linux")]
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::plugin::{Plugin, Start};
use crate::support::{PATIENCE, is_transient, run};

struct Fixture {
    directory: tempfile::TempDir,
    path: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("names.json");
        Self { directory, path }
    }

    fn with(content: &str) -> Self {
        let fixture = Self::new();
        std::fs::write(&fixture.path, content).unwrap();
        fixture
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["--names-file", self.path.to_str().unwrap()], more].concat()
    }
}

/// A names file of so many bytes, with as many names as fit, and `d/a`.
fn large(bytes: usize) -> String {
    let mut content = String::with_capacity(bytes + 64);
    content.push_str(r#"{"d/a":{"ip":"192.0.2.1"}"#);
    let mut number = 0;
    while content.len() < bytes {
        write!(content, r#","d/n{number}":"v""#).unwrap();
        number += 1;
    }
    content.push('}');
    content
}

/// Reading takes seconds without optimisation, and was done under a lock.
#[test]
fn a_large_file_neither_holds_up_answers_nor_fills_memory() {
    const BYTES: usize = 16_000_000;
    let fixture = Fixture::with(&large(BYTES));
    let mut plugin = Plugin::start(&fixture.arguments(&["--timeout", "0.3"]));
    let begun = Instant::now();
    let first = plugin.ask("a.bit", "i");
    let time = begun.elapsed();
    assert!(time < Duration::from_secs(3), "{time:?}: {first}");
    // It is read once, for all who ask meanwhile and afterwards.
    let deadline = Instant::now() + 6 * PATIENCE;
    let mut answer = first;
    while answer != "0 192.0.2.1" {
        assert!(is_transient(&answer), "{answer}");
        assert!(Instant::now() < deadline, "{answer}");
        answer = plugin.ask("a.bit", "i");
    }
    let read = plugin.read_so_far();
    assert!(read < BYTES as u64 * 3 / 2, "{read} bytes were read");
    let peak = plugin.peak_memory();
    assert!(peak < 25_000 + 3 * BYTES as u64 / 1024, "{peak} KiB");
    plugin.finish();
}

/// The names of one object are not taken apart to find out what it is.
#[test]
fn a_large_object_does_not_fill_memory() {
    const BYTES: usize = 8_000_000;
    let mut content = r#"{"d/a":{"ip":"192.0.2.1"},"d/big":{"#.to_owned();
    let mut number = 0;
    while content.len() < BYTES {
        write!(content, r#""{number}":1,"#).unwrap();
        number += 1;
    }
    content.push_str(r#""ip":"192.0.2.2"}}"#);
    let fixture = Fixture::with(&content);
    let mut plugin = Plugin::start(&fixture.arguments(&["--timeout", "60"]));
    assert_eq!(plugin.ask("a.bit", "i"), "0 192.0.2.1");
    // Too large for a value, however that is found out.
    assert!(plugin.ask("big.bit", "i").starts_with("3 "));
    let peak = plugin.peak_memory();
    assert!(peak < 25_000 + 4 * BYTES as u64 / 1024, "{peak} KiB");
    plugin.finish();
}

#[test]
fn a_failed_read_is_not_repeated_while_the_file_is_as_it_was() {
    let mut content = " ".repeat(4_000_000);
    content.insert_str(0, "{\"d/a\":");
    let fixture = Fixture::with(&content);
    let mut plugin = Plugin::start(&fixture.arguments(&["--timeout", "5"]));
    for id in 0..50 {
        plugin.send(&format!("RESOLVE {id} a.bit {id}"));
    }
    for id in 0..50 {
        let answer = plugin.answer(&id.to_string());
        assert!(is_transient(&answer), "{answer}");
        assert!(answer.contains("is not valid JSON"), "{answer}");
    }
    let read = plugin.read_so_far();
    assert!(read < 6_000_000, "{read} bytes were read");
    // The next fetch notices that it has changed.
    std::fs::write(&fixture.path, r#"{"d/a":{"ip":"192.0.2.1"}}"#).unwrap();
    assert_eq!(plugin.ask("a.bit", "i"), "0 192.0.2.1");
    plugin.finish();
}

#[test]
fn a_file_beyond_the_bound_is_refused_unread() {
    let fixture = Fixture::new();
    let file = std::fs::File::create(&fixture.path).unwrap();
    file.set_len((64 << 20) + 1).unwrap();
    let mut plugin = Plugin::start(&fixture.arguments(&["--timeout", "0.3"]));
    let answer = plugin.ask("a.bit", "i");
    assert!(answer.contains("refused: larger than 64 MiB"), "{answer}");
    assert!(plugin.read_so_far() < 1_000_000);
    plugin.finish();
}

fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

/// Opening it would wait for a writer.
#[test]
fn a_named_pipe_holds_nobody_up() {
    let fixture = Fixture::new();
    pipe(&fixture.path);
    let path = fixture.path.to_str().unwrap();
    let mut plugin = Plugin::start(&fixture.arguments(&["--timeout", "0.3"]));
    let answer = plugin.ask("a.bit", "i");
    assert!(answer.contains("is not a file"), "{answer}");
    // It makes room for a file.
    let draft = fixture.directory.path().join("draft");
    std::fs::write(&draft, r#"{"d/a":{"ip":"192.0.2.1"}}"#).unwrap();
    std::fs::rename(&draft, &fixture.path).unwrap();
    assert_eq!(plugin.ask("a.bit", "i"), "0 192.0.2.1");
    plugin.finish();

    std::fs::remove_file(&fixture.path).unwrap();
    pipe(&fixture.path);
    let mut plugin = Start::new(&["--config", path]).spawn();
    let line = plugin.line();
    assert!(line.starts_with("INIT 1 1 \""), "{line}");
    assert!(line.contains("it is not a regular file"), "{line}");
    assert_eq!(plugin.wait().code(), Some(1));

    let cookie = ["--rpc-address", "127.0.0.1:1", "--rpc-cookie", path];
    let end = run::with(&[&["resolve", "a.bit", "--timeout", "5"], &cookie[..]].concat());
    assert!(end.says("is not a file"), "{end:#?}");
}
