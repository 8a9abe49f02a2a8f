//! Gives the program the commit that it is built from, for `--version`.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=NCPROP279_COMMIT");
    let commit = match env::var("NCPROP279_COMMIT") {
        Ok(commit) => Some(commit),
        // Debug builds would be built anew after every commit.
        Err(_) if env::var("PROFILE").is_ok_and(|profile| profile == "release") => commit(),
        Err(_) => None,
    };
    let commit = commit.unwrap_or_default();
    assert!(
        commit.len() <= 40 && commit.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "NCPROP279_COMMIT is no commit"
    );
    println!("cargo::rustc-env=NCPROP279_COMMIT={commit}");
}

/// The commit of the checkout that this is, if it is one.
fn commit() -> Option<String> {
    // A packaged source may lie in a checkout of something else.
    let is_ours = git(&["rev-parse", "--show-prefix"])?.is_empty();
    if !is_ours {
        return None;
    }
    // Cargo runs this anew each time if such a file is missing.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    if let Some(log) = log.filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// What git prints, if it succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let folder = env::var_os("CARGO_MANIFEST_DIR")?;
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
