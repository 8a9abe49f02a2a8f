//! A kept answer is what the engine says, for every case of the suites in
//! `tests/values` and `tests/engine`; it is one isolation id's alone, and ends
//! with the values that it was made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use ncprop279::config::settings::MissingIsolation;
use ncprop279::door::stdio::line::Line;
use ncprop279::door::stdio::session::{Action, Options, QueryNumber, Session};
use ncprop279::isolation::IsolationId;
use ncprop279::log::Log;
use ncprop279::policy::{Query, Step, Verdict, resolve};
use ncprop279::scheduler::{CacheLimits, Client, Limits, Scheduler, Timekeeper};
use ncprop279::snapshot::{
    Absence, Entry, FetchError, FetchErrorKind, Fetched, Finding, Key, NameKey, Snapshot,
};
use ncprop279::source::{Bounds, Source, SourceReply};
use serde::Deserialize;

const TTL: Duration = Duration::from_secs(600);
const NEGATIVE_TTL: Duration = Duration::from_secs(60);

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What names have; the others are not registered.
#[derive(Clone, Default)]
struct Names(BTreeMap<String, Result<Fetched, FetchError>>);

impl Names {
    fn of(&self, key: &NameKey) -> Result<Fetched, FetchError> {
        let absent = Ok(Fetched::Absent(Absence::NeverExisted));
        self.0.get(key.as_str()).cloned().unwrap_or(absent)
    }

    fn set(&mut self, key: &str, value: &[u8]) {
        let value = match value {
            b"!expired" => Ok(Fetched::Absent(Absence::Expired)),
            b"!unsafe" => Ok(Fetched::Absent(Absence::NotYetSafe)),
            // Of a kind that is not tried again.
            b"!unreachable" => Err(FetchError::new(FetchErrorKind::Internal, "scripted")),
            value => Ok(Fetched::Value(value.into())),
        };
        self.0.insert(key.to_owned(), value);
    }

    /// What the engine says of a query, and the names that it asks for.
    fn engine(&self, query: &Query, isolation: &IsolationId) -> (Verdict, Snapshot) {
        let mut snapshot = Snapshot::new(isolation.clone());
        loop {
            match resolve(query, &snapshot) {
                Step::Done(verdict) => return (verdict, snapshot),
                Step::Need(keys) => {
                    for key in keys.iter().filter_map(Key::name).cloned() {
                        let entry = match self.of(&key) {
                            Ok(fetched) => Entry::Known(fetched),
                            Err(failure) => Entry::Failed(failure),
                        };
                        snapshot.insert(key, entry);
                    }
                }
            }
        }
    }
}

impl Source for Names {
    fn fetch(
        &self,
        _isolation: &IsolationId,
        key: &NameKey,
        _bounds: &Bounds,
    ) -> Result<SourceReply, FetchError> {
        self.of(key).map(SourceReply::from)
    }
}

/// A file of either suite, in so far as it matters here.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    case: Vec<Case>,
    #[serde(default)]
    names: BTreeMap<String, String>,
    #[serde(default)]
    step: Vec<Question>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    value: String,
    value_hex: Option<String>,
    domain: Option<String>,
    #[serde(default)]
    names: BTreeMap<String, String>,
    #[serde(default)]
    records: Vec<String>,
}

#[derive(Deserialize)]
struct Question {
    query: String,
}

fn files(suite: &str) -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(suite);
    let paths = std::fs::read_dir(folder).unwrap();
    let paths = paths.map(|entry| entry.unwrap().path());
    let texts = paths.filter(|path| path.extension().is_some_and(|end| end == "toml"));
    texts
        .map(|path| toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
        .collect()
}

/// The names of a case, and the owner names to ask for.
fn case(case: &Case) -> (Names, BTreeSet<String>) {
    let mut names = Names::default();
    for (key, value) in &case.names {
        names.set(key, value.as_bytes());
    }
    let domain = case.domain.as_deref().unwrap_or("example.bit.");
    let value = match &case.value_hex {
        Some(digits) => HEXLOWER.decode(digits.as_bytes()).unwrap(),
        None => case.value.clone().into_bytes(),
    };
    names.set(&format!("d/{}", domain.trim_end_matches(".bit.")), &value);
    let records = case.records.iter();
    let owners = records.filter_map(|line| line.split_whitespace().next());
    // Wildcards stand for any label.
    let owners = owners.map(|owner| owner.replace('*', "any"));
    let more = [domain.to_owned(), format!("www.{domain}")];
    (names, owners.chain(more).collect())
}

fn script(file: &File) -> (Names, BTreeSet<String>) {
    let mut names = Names::default();
    for (key, value) in &file.names {
        names.set(key, value.as_bytes());
    }
    let steps = file.step.iter();
    let owners = steps.filter_map(|step| step.query.split(' ').next());
    (names, owners.map(str::to_owned).collect())
}

/// The program without its streams.
struct World {
    lookups: Client,
    _scheduler: Scheduler,
    answers: Receiver<(QueryNumber, Verdict)>,
    session: Session,
}

impl World {
    fn new(names: Names) -> Self {
        let (deliver, answers) = channel();
        let limits = Limits {
            slots: 2,
            slots_per_isolation: 2,
            evaluations: 1,
            queries: 10,
            queries_per_isolation: 10,
            background: Duration::from_secs(60),
            ttl: TTL,
            negative_ttl: NEGATIVE_TTL,
            cache: CacheLimits {
                entries: 1000,
                isolations: 10,
                bytes: 1 << 24,
            },
        };
        let deliver = move |number, verdict| {
            let _ = deliver.send((number, verdict));
        };
        let timekeeper = Timekeeper::start().unwrap();
        let scheduler = Scheduler::new(Arc::new(names), limits, Log::silent(), timekeeper);
        Self {
            lookups: scheduler.client(Box::new(deliver)),
            _scheduler: scheduler,
            answers,
            session: Session::new(Options {
                only_onion: false,
                missing_isolation: MissingIsolation::Refuse,
            }),
        }
    }

    /// Asks; the action if no kept answer was given, and what was written.
    fn line(&mut self, name: &str, isolation: &str, now: Instant) -> (Option<Action>, Vec<u8>) {
        let line = format!("RESOLVE 7 {name} {isolation}");
        let kept = |_, isolation: &[u8], question: &ncprop279::policy::Question| {
            self.lookups.answer(isolation, question.as_bytes(), now)
        };
        let action = self
            .session
            .line(Line::Complete(line.as_bytes()), kept, |notice| {
                panic!("{notice}")
            });
        (action, std::mem::take(&mut self.session.out))
    }

    /// Asks for a name that no answer is kept of, and returns what is written
    /// of the verdict after a lookup; `None` if the name alone decides.
    fn look_up(&mut self, name: &str, isolation: &str, expected: &Verdict) -> Option<Vec<u8>> {
        let (action, written) = self.line(name, isolation, Instant::now());
        let Some(Action::Resolve {
            number,
            query,
            isolation,
        }) = action
        else {
            assert!(!written.is_empty(), "{name}");
            return None;
        };
        assert!(written.is_empty(), "{name}");
        let deadline = Instant::now() + PATIENCE;
        self.lookups.ask(number, &isolation, query, deadline);
        let (answered, verdict) = self.answers.recv_timeout(PATIENCE).unwrap();
        assert_eq!((answered, &verdict), (number, expected), "{name}");
        self.session.answer(number, &verdict);
        Some(std::mem::take(&mut self.session.out))
    }
}

/// Asks for names until their answers are kept. Returns how many were.
fn check(names: &Names, owners: &BTreeSet<String>) -> usize {
    let mut kept = 0;
    let spellings = owners.iter().flat_map(|owner| {
        let name = owner.trim_end_matches('.');
        [name.to_owned(), format!("{name}.onion")]
    });
    for name in spellings {
        let Ok(query) = Query::parse(name.as_bytes(), false) else {
            continue;
        };
        let isolation = IsolationId::parse(b"a").unwrap();
        let (verdict, snapshot) = names.engine(&query, &isolation);
        let mut world = World::new(names.clone());
        let Some(written) = world.look_up(&name, "a", &verdict) else {
            continue;
        };
        let is_known = snapshot.findings().all(|(_, finding)| finding.is_some());
        let is_definite = !matches!(verdict, Verdict::Unknown(_));
        // It was kept before it was delivered.
        let now = Instant::now();
        let (action, again) = world.line(&name.to_ascii_uppercase(), "a", now);
        let is_kept = is_known && is_definite && !snapshot.is_empty();
        assert_eq!(action.is_none(), is_kept, "{name}: {verdict:?}");
        if !is_kept {
            continue;
        }
        kept += 1;
        assert_eq!(again, written, "{name}");
        // Nobody else has it, and it ends with its values: all of them were
        // there before `now`.
        assert!(world.line(&name, "b", now).0.is_some(), "{name}");
        let absent =
            |finding: Option<Finding>| matches!(finding, Some(Finding::Name(Fetched::Absent(_))));
        let time = if snapshot.findings().any(|(_, finding)| absent(finding)) {
            NEGATIVE_TTL
        } else {
            TTL
        };
        let question = query.question().unwrap();
        let at = |when| world.lookups.answer(b"a", question.as_bytes(), when);
        assert!(at(now + time - PATIENCE / 2).is_some(), "{name}");
        assert!(at(now + time).is_none(), "{name}");
        // It has ended for good.
        assert!(at(now).is_none(), "{name}");
    }
    kept
}

#[test]
fn kept_answers_are_those_of_the_engine_for_all_values() {
    let cases = files("values").into_iter().flat_map(|file| file.case);
    let kept: usize = cases
        .map(|one| {
            let (names, owners) = case(&one);
            check(&names, &owners)
        })
        .sum();
    assert!(kept > 1000, "{kept} answers were kept");
}

#[test]
fn kept_answers_are_those_of_the_engine_for_all_scripts() {
    let kept: usize = files("engine")
        .iter()
        .map(|file| {
            let (names, owners) = script(file);
            check(&names, &owners)
        })
        .sum();
    assert!(kept > 20, "{kept} answers were kept");
}
