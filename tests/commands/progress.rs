//! What a person sees of a first synchronisation: a bar on a terminal, else
//! lines, and neither where nobody has to wait.

#![cfg(unix)]
use std::time::Duration;

use crate::support::circuits::Circuits;
use crate::support::electrum::chain::Chain;
use crate::support::electrum::{Electrum, Options, Version};
use crate::support::plugin::Start;
use crate::support::run::{self, Outcome};
use crate::support::terminal::{Shown, Terminal};

const TARGETS: [&str; 2] = ["one.example:50001", "two.example:50001"];

/// So many that most are fetched without their AuxPoW.
const BLOCKS: usize = 3000;

/// Two servers whose replies take so long, and a proxy in front of them.
struct Slow {
    circuits: Circuits,
    _servers: [Electrum; 2],
}

impl Slow {
    fn new(delay: Duration) -> Self {
        let mut chain = Chain::new();
        chain.mine(BLOCKS - 11);
        chain.register("d/example", r#"{"ip":"192.0.2.1"}"#);
        chain.mine(11);
        let servers =
            [(); 2].map(|()| Electrum::start(chain.clone(), Options::new(Version::V1_15)));
        for server in &servers {
            server.delay(delay);
        }
        let addresses = servers.each_ref().map(Electrum::address);
        Self {
            circuits: Circuits::to_addresses(TARGETS.into_iter().zip(addresses)),
            _servers: servers,
        }
    }

    fn start(&self, arguments: &[&str]) -> Start {
        self.circuits.prepare('t', arguments)
    }

    /// Runs it with stderr on a terminal.
    fn on_terminal(
        &self,
        arguments: &[&str],
        columns: u16,
        term: &[(&str, &str)],
    ) -> (Outcome, Shown) {
        let (terminal, stderr) = Terminal::new(columns);
        let mut start = self
            .start(arguments)
            .env("TERM", "xterm")
            .env("NO_COLOR", "");
        for (key, value) in term {
            start = start.env(key, value);
        }
        let end = run::run(start.stderr(stderr));
        (end, terminal.shown())
    }
}

const SOON: Duration = Duration::from_millis(250);

#[track_caller]
fn assert_shows(shown: &Shown, part: &str) {
    let found = shown.states.iter().any(|state| state.contains(part));
    assert!(found, "{part:?} is not in {:#?}", shown.states);
}

#[test]
fn a_terminal_shows_a_bar_while_it_is_waited_for() {
    let slow = Slow::new(SOON);
    for arguments in [
        &["check", "--timeout=40"][..],
        &["resolve", "example.bit", "--timeout=40"],
    ] {
        let (end, shown) = slow.on_terminal(arguments, 80, &[]);
        assert_eq!(end.code, Some(0), "{end:#?} {shown:#?}");
        assert_shows(&shown, "fetching block headers: ");
        assert_shows(&shown, " of 3002, ");
        assert_shows(&shown, "verifying a sample: ");
        assert_shows(&shown, " kB/s");
        assert_shows(&shown, " left");
        assert_shows(&shown, "=> ");
        let mut sizes = shown.states.iter().filter(|state| state.contains(" MB, "));
        assert!(sizes.any(|state| !state.contains(" 0.0 MB")), "{shown:#?}");
        // Nothing of it is left.
        assert_eq!(lines(&shown.lines), [""], "{shown:#?}");
    }
}

#[test]
fn a_narrow_terminal_shows_less() {
    let (end, shown) = Slow::new(SOON).on_terminal(&["check", "--timeout=40"], 40, &[]);
    assert_eq!(end.code, Some(0), "{end:#?} {shown:#?}");
    assert_shows(&shown, "headers ");
    assert_shows(&shown, "/3002, ");
    assert_shows(&shown, "proofs ");
    assert_shows(&shown, " MB");
}

/// The lines of -v and the bar are not written into each other.
#[test]
fn lines_of_the_log_are_above_the_bar() {
    let slow = Slow::new(SOON);
    let (end, shown) = slow.on_terminal(&["check", "-v", "--timeout=40"], 80, &[]);
    assert_eq!(end.code, Some(0), "{end:#?} {shown:#?}");
    assert_shows(&shown, "verifying a sample: ");
    let (last, lines) = shown.lines.split_last().unwrap();
    assert_eq!(last, "", "{shown:#?}");
    assert!(lines.len() > 3, "{shown:#?}");
    for line in lines {
        assert!(line.starts_with("ncprop279: 20"), "{line:?} in {shown:#?}");
    }
    let says = |part: &str| lines.iter().any(|line| line.ends_with(part));
    assert!(
        says("info: block headers are verified up to 3001"),
        "{lines:#?}"
    );
}

/// Lines but for the warning about servers without TLS.
fn lines(written: &[String]) -> Vec<&str> {
    let lines = written.iter().map(|line| line.trim_end());
    let lines = lines.filter(|line| !line.contains("warning: electrum-server"));
    lines.collect()
}

/// Nor is there a line where nobody waits for long.
#[test]
fn no_terminal_or_a_dumb_one_shows_no_bar() {
    let slow = Slow::new(Duration::from_millis(20));
    for term in [("TERM", "dumb"), ("NO_COLOR", "1")] {
        let (end, shown) = slow.on_terminal(&["check"], 80, &[term]);
        assert_eq!(end.code, Some(0), "{end:#?} {shown:#?}");
        assert!(!shown.written.contains('\x1b'), "{term:?}: {shown:#?}");
        assert_eq!(lines(&shown.lines), [""], "{term:?}: {shown:#?}");
    }
    let end = run::run(slow.start(&["check"]));
    assert_eq!(end.code, Some(0), "{end:#?}");
    assert!(lines(&end.stderr).is_empty(), "{end:#?}");
}

/// The one test that waits: the first line comes after ten seconds.
#[test]
fn without_a_terminal_there_is_a_line_every_ten_seconds() {
    let slow = Slow::new(Duration::from_secs(1));
    let end = run::run(slow.start(&["check", "--timeout=13"]));
    assert_eq!(end.code, Some(1), "{end:#?}");
    let [line] = lines(&end.stderr)[..] else {
        panic!("{end:#?}")
    };
    let stages = ["fetching block headers: ", "verifying a sample: "];
    let stages = stages.map(|stage| format!("ncprop279: {stage}"));
    assert!(stages.iter().any(|stage| line.starts_with(stage)), "{line}");
    assert!(line.contains(" of ") && line.contains(" MB, "), "{line}");
}
