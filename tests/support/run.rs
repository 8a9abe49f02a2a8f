//! A run of the binary from its start to its end.

use std::path::Path;
use std::process::Command;

use super::plugin::{Plugin, Start};

/// What a whole run said, and how it ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

impl Outcome {
    /// Whether a text stands anywhere in what it said.
    pub fn says(&self, part: &str) -> bool {
        let mut lines = self.stdout.iter().chain(&self.stderr);
        lines.any(|line| line.contains(part))
    }

    /// What stands on stdout, without the breaks of lines.
    pub fn text(&self) -> String {
        let words = self.stdout.iter().flat_map(|line| line.split_whitespace());
        words.collect::<Vec<_>>().join(" ")
    }

    pub fn says_on_stderr(&self, part: &str) -> bool {
        self.stderr.iter().any(|line| line.contains(part))
    }
}

/// Starts it, closes its stdin, and waits for its end.
pub fn run(start: Start) -> Outcome {
    end(start.spawn())
}

/// Runs it with these arguments.
pub fn with(arguments: &[&str]) -> Outcome {
    run(Start::new(arguments))
}

/// Closes stdin of a running plugin and waits for its end. Lines on stdout
/// that the test took already are left out.
pub fn end(mut plugin: Plugin) -> Outcome {
    plugin.close_stdin();
    let code = plugin.wait().code();
    Outcome {
        code,
        stdout: plugin.rest(),
        stderr: plugin.all_complaints(),
    }
}

/// Copies a program that is to be run. Another process does it: a child that a
/// test starts at this moment would inherit the open file, and a file that is open
/// for writing cannot be run.
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}
