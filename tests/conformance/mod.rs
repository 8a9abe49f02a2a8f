//! Runs the cases in `tests/conformance/*.toml` against this program. The kit in
//! `scripts/` is their one runner; it needs Python 3.11.

#[cfg(unix)]
mod hostile_plugins;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

/// Runs a script of the kit.
fn script(name: &str, arguments: &[&str]) -> Output {
    let new_enough = "import sys; sys.exit(sys.version_info < (3, 11))";
    let python = Command::new("python3").args(["-c", new_enough]).status();
    assert!(
        python.is_ok_and(|status| status.success()),
        "the conformance kit needs python3, version 3.11 or newer: install it"
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(name);
    let mut command = Command::new("python3");
    command.arg(script).args(arguments).output().unwrap()
}

#[track_caller]
fn succeed(run: &Output) -> String {
    let stdout = String::from_utf8_lossy(&run.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{stdout}{stderr}");
    stdout
}

#[test]
fn every_case_passes() {
    let plugin = env!("CARGO_BIN_EXE_ncprop279");
    let report = succeed(&script("conformance.py", &["--verbose", plugin]));
    assert!(report.contains("requirements: 52 of 52 met"), "{report}");
}

/// Every number is one of the specification's, and each of those has a case or
/// a reason not to have one.
#[test]
fn cases_and_requirements_match() {
    let specification = include_str!("../../spec/prop279-isolation.md");
    let readme = include_str!("README.md");
    let known: BTreeSet<&str> = specification
        .split("**")
        .skip(1)
        .step_by(2)
        // `spec/isolation.md` has the rest of these.
        .chain(["S2.2", "S2.3", "S2.4"])
        .collect();
    let list = succeed(&script("conformance.py", &["--list", "--requirements"]));
    let named: BTreeSet<&str> = list.split_whitespace().collect();
    assert!(named.len() >= 50, "{named:?}");
    assert!(named.is_subset(&known), "{named:?}");
    for number in known.difference(&named) {
        assert!(readme.contains(&format!("| {number} |")), "{number}");
    }
}

/// The kit tells correct plugins from wrong ones, and refuses malformed cases.
#[test]
fn wrong_plugins_fail_in_what_they_break() {
    succeed(&script("conformance_selftest", &["--quick"]));
}
