//! Values that make as much work as they can (`tests/data/slow-values.json`).
//! `cargo bench --bench slow_values` measures the time that they take.

use std::collections::BTreeMap;

use crate::support::plugin::Plugin;
use serde::Deserialize;

/// Longer than any answer of these takes altogether.
const TIMEOUT: &str = "--timeout=60";

#[derive(Deserialize)]
struct Case {
    title: String,
    name: String,
    names: BTreeMap<String, String>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../data/slow-values.json")).unwrap()
}

/// The values of all cases cannot be in one file, as they share names.
fn plugin(case: &Case, more: &[(&str, &str)]) -> Plugin {
    let mut names = case.names.clone();
    for (key, value) in more {
        names.insert((*key).to_owned(), (*value).to_owned());
    }
    Plugin::with_names(&serde_json::to_string(&names).unwrap(), &[TIMEOUT])
}

/// What each of them is answered, and that it is answered.
#[test]
fn values_that_make_much_work_are_answered() {
    let mut refused = 0;
    for case in cases() {
        for value in case.names.values() {
            assert!(value.len() <= 1023, "{}: a value of the chain", case.title);
        }
        let mut plugin = plugin(&case, &[]);
        let answer = plugin.ask(&case.name, "a");
        assert!(answer.starts_with("3 "), "{}: {answer}", case.title);
        if answer.contains("is too complicated to resolve") {
            refused += 1;
        }
    }
    assert!(refused >= 2, "{refused} values exceeded the bound on work");
}

/// Nothing that was found before the bound was reached is answered.
#[test]
fn beyond_the_bound_nothing_is_answered_in_part() {
    let weak: Vec<String> = (0..33).map(|n| format!("x{n}.{WEAK}")).collect();
    let names = serde_json::json!({
        "d/a": {"ip": "192.0.2.1", "tor": weak},
        "d/b": {"ip": "192.0.2.1", "map": {"_tor": {"txt": weak}}},
        "d/c": {"ip": "192.0.2.1", "tor": weak[..32]},
    });
    let mut plugin = Plugin::with_names(&names.to_string(), &[]);
    for name in ["a.bit", "b.bit"] {
        let answer = plugin.ask(name, "id");
        let expected = format!("3 \"{name} is too complicated to resolve\"");
        assert_eq!(answer, expected);
    }
    assert_eq!(plugin.ask("c.bit", "id"), "0 192.0.2.1");
}

/// Of low order, with a right checksum.
const WEAK: &str = "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaahmjqd.onion";

/// The number of the answer's query, counted from 1, and its place in the
/// order of answers.
fn place(answers: &[String], id: u32) -> usize {
    let begin = format!("RESOLVED {id} ");
    let is_it = |line: &String| line.starts_with(&begin);
    answers.iter().position(is_it).unwrap()
}

/// Hundreds of queries that have to be evaluated come from one id. A finished
/// answer of another id, one that is not finished, and the answer to a CANCEL
/// do not wait for them.
#[test]
fn what_one_id_is_made_to_evaluate_delays_no_other() {
    const MANY: u32 = 300;
    let case = cases().into_iter().next().unwrap();
    let more = [
        ("d/known", "{\"ip\":\"192.0.2.1\"}"),
        ("d/other", "{\"ip\":\"192.0.2.2\"}"),
    ];
    let mut plugin = plugin(&case, &more);
    assert_eq!(plugin.ask("known.bit", "b"), "0 192.0.2.1");
    let rest = case.name.split_once('.').unwrap().1;
    let mut lines: Vec<String> = (1..=MANY)
        .map(|n| format!("RESOLVE {} {n}.{rest} a", 1000 + n))
        .collect();
    lines.push("RESOLVE 1 known.bit b".to_owned());
    lines.push("RESOLVE 2 other.bit c".to_owned());
    lines.push(format!("CANCEL {}", 1000 + MANY));
    plugin.send_bytes((lines.join("\n") + "\n").as_bytes());
    // Of the one that was cancelled nothing else is said.
    let answers: Vec<String> = (0..MANY + 2).map(|_| plugin.line()).collect();
    let canceled = format!("CANCELED {}", 1000 + MANY);
    let canceled = answers.iter().position(|line| *line == canceled).unwrap();
    let half = MANY as usize / 2;
    for (what, place) in [
        ("a finished answer", place(&answers, 1)),
        ("a new answer", place(&answers, 2)),
        ("a cancellation", canceled),
    ] {
        assert!(place < half, "{what} came after {place} others");
    }
}
