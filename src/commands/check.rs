//! `ncprop279 check`: whether lookups would work, and if not, why.

use std::time::Duration;

use crate::source::{Cancel, Finding, Health, Limit, Source};
use crate::text::{printable, wrap};

use super::WIDTH;

/// Columns before the text of a finding.
const INDENT: usize = 18;

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
    wrap(text, INDENT, INDENT, WIDTH) + "\n"
}
