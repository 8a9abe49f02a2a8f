//! Runs the cases in `tests/conformance/*.toml` against this program.
//! `tests/conformance/README.md` tells how to write one, and
//! `scripts/conformance.py` runs them against any.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "conformance/cases.rs"]
mod cases;
#[cfg(unix)]
#[path = "conformance/hostile.rs"]
mod hostile;
#[path = "conformance/pattern.rs"]
mod pattern;
mod support;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cases::{Asked, Case, Dialect, Step, Stream};
use pattern::{matches, missing};
use support::PATIENCE;
use support::node::{Flavour, Node, Request};
use support::plugin::Plugin;

/// Cases at once. They wait more than they work.
const AT_ONCE: usize = 8;

/// One case under way.
struct Run<'a> {
    case: &'a Case,
    node: Node,
    plugin: Plugin,
    is_ending: bool,
}

fn start(case: &Case) -> Run<'_> {
    let node = Node::start(match case.dialect {
        Dialect::Core => Flavour::Core,
        Dialect::Electrum => Flavour::Electrum406,
    });
    node.set_heights(Some(case.heights));
    for (name, replies) in &case.names {
        node.script(name, replies.clone());
    }
    for name in &case.held {
        node.hold(name);
    }
    let timeout = case.timeout.as_secs_f64().to_string();
    let mut start = node.prepare(&["--timeout", &timeout]);
    for (key, value) in &case.env {
        start = start.env(key, value);
    }
    if case.deaf {
        start = start.deaf();
    }
    Run {
        case,
        node,
        plugin: start.spawn(),
        is_ending: false,
    }
}

impl Run<'_> {
    fn play(&mut self) -> Result<(), String> {
        if !self.case.at_once && !self.case.deaf {
            self.wait(&[vec![self.case.init.clone()]], PATIENCE)?;
        }
        for step in &self.case.steps {
            self.step(step)?;
        }
        if !self.is_ending && !self.case.deaf {
            self.wait(&self.case.expect, PATIENCE)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Send(octets) => self.plugin.send_bytes(octets),
            Step::Wait(lines, within) => self.wait(lines, within.unwrap_or(PATIENCE))?,
            Step::WaitRequest(awaited) => {
                let asked = |log: &[Request]| {
                    count(log, awaited.name.as_deref(), awaited.id.as_deref()) >= awaited.count
                };
                if !self.node.wait_until(PATIENCE, asked) {
                    return Err(format!("the node was not asked: {awaited:?}"));
                }
            }
            Step::Release(name) => self.node.release(name),
            Step::Set(script) => {
                for (name, replies) in script {
                    self.node.script(name, replies.clone());
                }
            }
            Step::Close(Stream::Stdin) => {
                self.is_ending = true;
                self.plugin.close_stdin();
            }
            Step::Close(Stream::Stdout) => self.plugin.close_stdout(),
            Step::Signal(signal) => {
                self.is_ending = true;
                self.plugin.signal(&format!("{signal:?}").to_uppercase());
            }
            Step::Pause(pause) => thread::sleep(*pause),
        }
        Ok(())
    }

    fn wait(&self, wanted: &[Vec<String>], patience: Duration) -> Result<(), String> {
        let found = |lines: &[String]| missing(wanted, lines).is_empty();
        if self.plugin.wait_until(patience, found) {
            return Ok(());
        }
        let lacking = missing(wanted, &self.plugin.lines());
        Err(format!("no line {:?} in {patience:?}", lacking.first()))
    }

    /// Waits for the end, which this program always comes to.
    fn end(&mut self) -> Result<Option<i32>, String> {
        self.node.release_all();
        if !self.is_ending {
            self.plugin.close_stdin();
        }
        let begin = Instant::now();
        let status = self.plugin.wait();
        let time = begin.elapsed();
        if self.case.exit_within.is_some_and(|most| time > most) {
            return Err(format!("it ended after {time:?}"));
        }
        if !self.case.deaf {
            self.plugin.rest();
        }
        self.plugin.all_complaints();
        Ok(status.code())
    }

    fn judge(&self, status: Option<i32>) -> Result<(), String> {
        let case = self.case;
        let lines = self.plugin.lines();
        if !case.deaf
            && let Some(lacking) = missing(&case.expect, &lines).first()
        {
            return Err(format!("no line {lacking}"));
        }
        refuse(&case.never, &lines)?;
        refuse(&case.stderr_never, &self.plugin.all_complaints())?;
        for patterns in &case.order {
            judge_order(patterns, &lines)?;
        }
        for wanted in &case.counts {
            let counted = lines.iter().filter(|line| matches(&wanted.line, line));
            let count = counted.count();
            if count != wanted.count {
                return Err(format!("{count} lines {}", wanted.line));
            }
        }
        let is_init = |line: &String| matches(&case.init, line);
        if case.init_first && !lines.first().is_some_and(is_init) {
            return Err("the first line is another".into());
        }
        if case.messages_only
            && let Some(line) = lines.iter().find(|line| !is_message(line))
        {
            return Err(format!("no message: {line}"));
        }
        let log = self.node.name_requests();
        for asked in &case.requests {
            judge_requests(asked, &log)?;
        }
        if case.exit.is_some() && case.exit != status {
            return Err(format!("it ended with {status:?}"));
        }
        Ok(())
    }
}

fn refuse(patterns: &[String], lines: &[String]) -> Result<(), String> {
    for pattern in patterns {
        if let Some(line) = lines.iter().find(|line| matches(pattern, line)) {
            return Err(format!("a line that must not be: {line}"));
        }
    }
    Ok(())
}

fn is_message(line: &str) -> bool {
    let statuses = (0..5).map(|status| format!("RESOLVED * {status} *"));
    let mut forms = statuses.chain(["INIT *".into(), "CANCELED *".into()]);
    forms.any(|form| matches(&form, line))
}

fn judge_order(patterns: &[String], lines: &[String]) -> Result<(), String> {
    let place = |pattern: &String| lines.iter().position(|line| matches(pattern, line));
    let places: Vec<_> = patterns.iter().map(place).collect();
    if places.contains(&None) || !places.is_sorted() {
        return Err(format!("not in this order: {patterns:?}"));
    }
    Ok(())
}

/// The requests for a name and an isolation id; `None` is any.
fn count(log: &[Request], name: Option<&str>, id: Option<&str>) -> usize {
    log.iter()
        .filter(|one| name.is_none() || one.key.as_deref() == name)
        .filter(|one| id.is_none() || one.stream.as_deref().or(Some("")) == id)
        .count()
}

fn judge_requests(asked: &Asked, log: &[Request]) -> Result<(), String> {
    let count = count(log, asked.name.as_deref(), asked.id.as_deref());
    let least = asked.count.or(asked.min).unwrap_or(0);
    let most = asked.count.or(asked.max).unwrap_or(usize::MAX);
    if (least..=most).contains(&count) {
        return Ok(());
    }
    Err(format!("the node was asked {count} times: {asked:?}"))
}

/// Why a case fails.
fn failure(case: &Case) -> Option<String> {
    let mut run = start(case);
    let played = run.play().and_then(|()| {
        let status = run.end()?;
        run.judge(status)
    });
    let why = played.err()?;
    Some(format!(
        "{}/{} ({}): {}\n{why}{}\n{:?}",
        case.group,
        case.name,
        case.requirements.join(", "),
        case.title,
        run.plugin.story(),
        run.node.name_requests()
    ))
}

#[test]
fn every_case_passes() {
    let cases = cases::read_all();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ended = catch_unwind(AssertUnwindSafe(|| failure(case)));
                    let why = ended.unwrap_or_else(|_| Some(format!("{}: see above", case.name)));
                    failures.lock().unwrap().extend(why);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Every number is one of the specification's, and each of those has a case or
/// a reason not to have one.
#[test]
fn cases_and_requirements_fit() {
    let specification = include_str!("../spec/prop279-isolation.md");
    let readme = include_str!("conformance/README.md");
    let known: BTreeSet<&str> = specification
        .split("**")
        .skip(1)
        .step_by(2)
        // The points of `spec/isolation.md`, of which only the ends are there.
        .chain(["S2.2", "S2.3", "S2.4"])
        .collect();
    let cases = cases::read_all();
    let named: BTreeSet<&str> = cases
        .iter()
        .flat_map(|case| case.requirements.iter().map(String::as_str))
        .collect();
    assert!(named.is_subset(&known), "{named:?}");
    for number in known.difference(&named) {
        assert!(readme.contains(&format!("| {number} |")), "{number}");
    }
    let groups: BTreeSet<_> = cases.iter().map(|case| case.group.as_str()).collect();
    assert_eq!(groups.len(), 8, "{groups:?}");
    assert!(cases.len() >= 80, "{}", cases.len());
}

/// The kit tells right plugins from wrong ones. Its own test needs Python 3.11.
#[test]
fn wrong_plugins_fail_in_what_they_break() {
    let new_enough = "import sys; sys.exit(sys.version_info < (3, 11))";
    let python = Command::new("python3").args(["-c", new_enough]).status();
    if !python.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no python3 of version 3.11 or later");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/conformance_selftest");
    let run = Command::new("python3")
        .arg(script)
        .arg("--quick")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    let problems = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}{problems}");
}

#[test]
fn what_a_case_cannot_have_is_an_error() {
    let head = "[[case]]\nname = 'a'\ntitle = 't'\nrequirements = ['Q1']\n";
    assert!(cases::read("g", head).is_ok());
    let list = include_str!("conformance/malformed/list.toml");
    let list: toml::Table = toml::from_str(list).unwrap();
    for wrong in list["wrong"].as_array().unwrap() {
        let wrong = wrong.as_str().unwrap();
        let read = cases::read("g", &format!("{head}{wrong}\n"));
        assert!(read.is_err(), "{wrong}");
    }
    assert!(cases::read("g", "[other]").is_err());
}
