//! `ncprop279 check`: whether lookups would work, and if not, why.

use std::time::Duration;

use crate::source::{Cancel, Finding, Health, Limit, Source};
use crate::text::printable;

/// Columns before the text of a finding.
const INDENT: usize = 18;

/// Columns of a line.
const WIDTH: usize = 80;

/// Tries a source out.
pub fn run(timeout: Duration, source: &dyn Source) -> Vec<Finding> {
    let deadline = super::deadline(timeout);
    source.check(&Limit {
        due: deadline,
        deadline,
        cancel: Cancel::new(),
    })
}

/// A finding for the terminal: label, `ok`, `warn` or `FAIL`, what was found,
/// and below it what to do.
pub fn line(finding: &Finding) -> String {
    let health = match finding.health {
        Health::Ok => "ok",
        Health::Warn => "warn",
        Health::Fail => "FAIL",
    };
    let mut text = format!("{:<12}{health:<6}", finding.label);
    text.push_str(&wrapped(&printable(&finding.what)));
    if !finding.remedy.is_empty() {
        text.push_str(&" ".repeat(INDENT));
        text.push_str(&wrapped(&format!("-> {}", printable(&finding.remedy))));
    }
    text
}

/// A text in lines that fit behind the indentation.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && INDENT + column + 1 + word.len() > WIDTH {
            lines.push('\n');
            lines.push_str(&" ".repeat(INDENT));
            column = 0;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += word.len();
    }
    lines.push('\n');
    lines
}
