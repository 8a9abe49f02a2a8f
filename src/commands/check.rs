//! `ncprop279 check`: whether lookups would work, and if not, why.

use std::time::Duration;

use console::Style;
use serde_json::json;

use crate::source::diagnosis::{Diagnose, Finding, Health, RESULT};
use crate::source::{Bounds, Cancel};
use crate::text::{ascii_json, printable, wrap};

use super::WIDTH;

/// Columns before the text of a finding.
const INDENT: usize = 18;

/// Tries a source out. The last finding says how names are looked up, or that
/// they cannot be.
pub fn run(timeout: Duration, source: &dyn Diagnose) -> Vec<Finding> {
    let deadline = super::deadline(timeout);
    let findings = source.check(&Bounds {
        due: deadline,
        deadline,
        cancel: Cancel::new(),
    });
    concluded(findings)
}

/// If something keeps lookups from working, the first such thing is the result.
/// What to do about it was said there.
fn concluded(mut findings: Vec<Finding>) -> Vec<Finding> {
    let failed = findings.iter().find(|one| one.health == Health::Fail);
    if let Some(failed) = failed {
        let what = format!("names cannot be looked up: {}", failed.what);
        findings.retain(|finding| finding.label != RESULT);
        findings.push(Finding::fail(RESULT, what, ""));
    }
    findings
}

/// Whether lookups would work.
pub fn works(findings: &[Finding]) -> bool {
    findings.iter().all(|one| one.health != Health::Fail)
}

/// The findings as one JSON object in printable ASCII.
pub fn to_json(findings: &[Finding]) -> String {
    let one = |finding: &Finding| {
        json!({
            "label": finding.label,
            "health": word(finding.health).to_ascii_lowercase(),
            "what": finding.what,
            "remedy": finding.remedy,
        })
    };
    let all: Vec<_> = findings.iter().map(one).collect();
    let object = json!({"works": works(findings), "findings": all});
    ascii_json(&object.to_string()) + "\n"
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Warn => "warn",
        Health::Fail => "FAIL",
    }
}

/// A finding for the terminal: label, `ok`, `warn` or `FAIL`, what was found,
/// and below it what to do.
pub fn line(finding: &Finding, has_color: bool) -> String {
    let style = Style::new().force_styling(has_color);
    let style = match finding.health {
        Health::Ok => style.green(),
        Health::Warn => style.yellow(),
        Health::Fail => style.red().bold(),
    };
    let health = word(finding.health);
    let space = " ".repeat(6 - health.len());
    let mut text = format!("{:<12}{}{space}", finding.label, style.apply_to(health));
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
