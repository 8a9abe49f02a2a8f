//! A run of the binary from its start to its end.

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
