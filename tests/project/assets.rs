//! What is made from the table of settings: the manual page, shell completions,
//! the example file and a page of the documentation; and the Debian package.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ncprop279::config::{command_line, documents};

fn options() -> Vec<String> {
    let command = command_line();
    let longs = command
        .get_arguments()
        .filter_map(|option| option.get_long());
    longs.map(str::to_owned).collect()
}

fn completions(shell: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ncprop279"))
        .args(["completions", shell])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_manual_page_has_every_option_and_command() {
    let page = documents::manual();
    let page = page
        .replace("\\-", "-")
        .replace("\\fB", "")
        .replace("\\fR", "");
    assert!(options().len() > 20);
    for option in options() {
        assert!(page.contains(&format!("--{option}")), "{option}");
    }
    for command in ["resolve NAME", "records NAME", "check", "completions SHELL"] {
        assert!(page.contains(&format!(".TP\n{command}")), "{command}");
    }
    for option in ["--explain: Explain", "--json: Print", "--isolation ID: Ask"] {
        assert!(page.contains(option), "{option}");
    }
    for section in ["EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES"] {
        assert!(page.contains(section), "{section}");
    }
}

/// Nobody writes these files by hand.
#[test]
fn generated_files_are_what_the_table_of_settings_makes_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (kind, name, page) in [
        ("file", "contrib/ncprop279.toml", documents::example_file()),
        ("settings", "docs/settings.md", documents::settings_page()),
    ] {
        let kept = fs::read_to_string(root.join(name)).unwrap();
        assert!(
            kept == page,
            "write it anew: cargo run --example manual -- {kind} > {name}"
        );
    }
}

#[test]
fn completions_know_every_option_and_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = completions(shell);
        for word in options()
            .iter()
            .map(String::as_str)
            .chain(["resolve", "check"])
        {
            assert!(script.contains(word), "{shell} {word}");
        }
    }
}

/// What follows `ncprop279 completions` is one of a few words.
#[test]
fn completions_know_the_shells() {
    for (shell, offer) in [
        ("bash", "bash elvish fish powershell zsh\""),
        ("zsh", "(bash elvish fish powershell zsh)"),
        (
            "fish",
            "using_subcommand completions\" -f -a \"bash elvish fish powershell zsh\"",
        ),
    ] {
        let script = completions(shell);
        assert!(script.contains(offer), "{shell}: {script}");
    }
    let Ok(output) = Command::new("bash")
        .args(["-c", COMPLETE])
        .env("SCRIPT", completions("bash"))
        .output()
    else {
        return println!("there is no bash here to try it with");
    };
    let words = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        words.lines().collect::<Vec<_>>(),
        ["powershell", "--proxy", "checkpoint config"]
    );
}

/// Completes three unfinished words as an interactive bash does.
const COMPLETE: &str = "\
eval \"$SCRIPT\"
complete_last() {
  COMP_WORDS=(\"$@\")
  COMP_CWORD=$(($# - 1))
  _ncprop279 ncprop279 \"${@: -1}\" \"${@: -2:1}\"
  echo \"${COMPREPLY[@]}\"
}
complete_last ncprop279 completions p
complete_last ncprop279 check --prox
complete_last ncprop279 c | tr ' ' '\\n' | grep -x -e checkpoint -e config | paste -sd ' '
";

#[test]
fn bash_takes_its_completions() {
    use std::io::Write;
    let script = completions("bash");
    let Ok(mut bash) = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn() else {
        return println!("there is no bash here to try it with");
    };
    bash.stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    assert!(bash.wait().unwrap().success());
}

/// The files of the Debian package: where each is installed, and where it is
/// here.
fn packaged() -> BTreeMap<PathBuf, PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let assets = &manifest["package"]["metadata"]["deb"]["assets"];
    let mut files = BTreeMap::new();
    for asset in assets.as_array().unwrap() {
        let [source, target] = [0, 1].map(|at| asset[at].as_str().unwrap());
        let sources = match source.split_once('*') {
            None => vec![root.join(source)],
            Some((folder, end)) => {
                let entries = fs::read_dir(root.join(folder)).unwrap();
                let paths = entries.map(|entry| entry.unwrap().path());
                paths
                    .filter(|path| path.to_str().unwrap().ends_with(end))
                    .collect()
            }
        };
        for source in sources {
            let name = source.file_name().unwrap();
            let target = match target.ends_with('/') {
                true => Path::new(target).join(name),
                false => target.into(),
            };
            files.insert(target, source);
        }
    }
    files
}

/// The anchors of a page's headings, as forges make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept = text
                .chars()
                .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// Who installs the package has no other files.
#[test]
fn links_in_packaged_pages_are_alive() {
    let files = packaged();
    let folder = Path::new("usr/share/doc/ncprop279");
    for file in ["README.md", "examples/names.json", "SECURITY.md"] {
        assert!(files.contains_key(&folder.join(file)), "{file}");
    }
    let changes = ["changelog.gz", "changelog.Debian.gz"];
    assert!(
        changes
            .iter()
            .all(|file| files.contains_key(&folder.join(file)))
    );
    let mut links = 0;
    for (target, source) in &files {
        if target.extension().is_none_or(|end| end != "md") {
            continue;
        }
        let page = fs::read_to_string(source).unwrap();
        for link in page.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.starts_with("https://") {
                continue;
            }
            links += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let mut leads_to = target.clone();
            if !path.is_empty() {
                leads_to = target.parent().unwrap().to_owned();
                for part in path.split('/') {
                    match part {
                        ".." => assert!(leads_to.pop()),
                        part => leads_to.push(part),
                    }
                }
            }
            let there = files.get(&leads_to);
            let there = there.unwrap_or_else(|| panic!("{}: {link}", target.display()));
            if !anchor.is_empty() {
                let headings = anchors(&fs::read_to_string(there).unwrap());
                assert!(headings.contains(anchor), "{}: {link}", target.display());
            }
        }
    }
    assert!(links > 50, "{links}");
}

#[test]
fn an_unknown_shell_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_ncprop279"))
        .args(["completions", "tcsh"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("\"tcsh\" but must be bash"), "{text}");
}
