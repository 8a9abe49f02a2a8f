//! `ncprop279 resolve`: the answer to one query, and on request the way that the
//! name took.

use std::borrow::Cow;
use std::process::ExitCode;

use serde_json::json;

use super::names::{self, Failure};
use super::terminal::{self, Terminal, complain};
use super::{Fetch, Fetcher, WIDTH};
use crate::config::Form;
use crate::config::settings::{Settings, SourceSettings};
use crate::isolation::IsolationId;
use crate::log::Level;
use crate::policy::{
    self, Candidate, CandidateOutcome, Query, QuestionTrace, Status, Step, Verdict,
};
use crate::snapshot::{Key, Snapshot};
use crate::text::{Milliseconds, ascii_json, printable, wrap};
use crate::value::ItemError;

/// Runs `ncprop279 resolve`; gives the exit status.
pub fn run(
    settings: &Settings,
    level: Level,
    name: &str,
    isolation: IsolationId,
    form: Form,
) -> ExitCode {
    let terminal = Terminal::new(settings, level);
    let (upstreams, diagnosis) = super::upstreams(settings, &terminal.log);
    let fetcher = Fetcher::new(&upstreams, &terminal.log, settings.timeout);
    let report = terminal.watch(&*diagnosis, || {
        report(name, isolation, settings.only_onion, fetcher)
    });
    match (form, report.status()) {
        (Form::Json, _) => terminal::print(&report.to_json()),
        (_, Status::Success) => terminal::print(&(printable(&report.answer()) + "\n")),
        // A script must not take a failure for an address.
        _ => complain(&report.answer()),
    }
    if form == Form::Explained {
        terminal::print(&explained(&report, &settings.source));
    }
    ExitCode::from(report.status().code())
}

/// What became of a query.
struct Report {
    /// The name that was asked for.
    name: String,
    /// The isolation id that it was asked under.
    isolation: IsolationId,
    /// The verdict, as the plugin would send it.
    verdict: Verdict,
    /// What to say in the place of the verdict's text.
    advice: Option<String>,
    /// The names fetched, each with the number of questions that were answered
    /// before one needed it.
    fetches: Vec<(usize, Fetch)>,
    /// The questions asked of the engine, in their order.
    questions: Vec<QuestionTrace>,
}

impl Report {
    /// The status of the protocol, which is the exit status too.
    fn status(&self) -> Status {
        self.verdict.status()
    }

    /// One JSON object in printable ASCII: `name`, `isolation`, `status`, and
    /// `kind` with `answer`, or `error`.
    fn to_json(&self) -> String {
        let kind = match &self.verdict {
            Verdict::Onion(_) => Some("onion"),
            Verdict::Address(_) => Some("address"),
            Verdict::Host(_) => Some("host"),
            _ => None,
        };
        let answer = self.answer();
        let name = &self.name;
        let isolation = self.isolation.as_str();
        let status = self.status().code();
        let object = match kind {
            Some(kind) => json!({"name": name, "isolation": isolation, "status": status,
                "kind": kind, "answer": answer}),
            None => json!({"name": name, "isolation": isolation, "status": status,
                "error": answer}),
        };
        ascii_json(&object.to_string()) + "\n"
    }

    /// The answer, or why there is none, in words that may hold anything.
    fn answer(&self) -> Cow<'_, str> {
        match &self.advice {
            Some(advice) => advice.into(),
            None => self.verdict.text(),
        }
    }
}

/// Resolves one name, given as `example.bit` or `d/example`. Failures that
/// pass are not tried again.
fn report(name: &str, isolation: IsolationId, only_onion: bool, fetcher: Fetcher<'_>) -> Report {
    let mut report = Report {
        name: name.to_owned(),
        isolation,
        verdict: Verdict::NotInZone(name.to_owned()),
        advice: None,
        fetches: Vec::new(),
        questions: Vec::new(),
    };
    match names::query(name, only_onion) {
        Ok((name, query)) => {
            report.name = name;
            report.verdict = report.walk(&query, fetcher);
        }
        Err(Failure { verdict, message }) => {
            report.verdict = verdict;
            report.advice = Some(message);
        }
    }
    report
}

impl Report {
    fn walk(&mut self, query: &Query, mut fetcher: Fetcher<'_>) -> Verdict {
        let mut snapshot = Snapshot::new(self.isolation.clone())
            .following_delegations(fetcher.upstreams.delegations.is_some());
        loop {
            self.questions.clear();
            let keys = match policy::explain(query, &snapshot, &mut self.questions) {
                Step::Done(verdict) => return verdict,
                Step::Need(keys) => keys,
            };
            let fetched = fetcher.fetch(keys, &mut snapshot);
            let before = self.questions.len();
            self.fetches
                .extend(fetched.into_iter().map(|fetch| (before, fetch)));
        }
    }
}

//------------ The way, for people -------------------------------------------

/// Columns before what belongs to a question.
const INDENT: usize = 3;

/// The way in lines of at most 80 columns, to follow the answer or the message: an empty line,
/// what was asked, the questions in their order, and the errors met.
fn explained(report: &Report, source: &SourceSettings) -> String {
    let mut page = Page::default();
    page.line(0, "");
    let id = match report.isolation.as_str() {
        Some(id) => format!("the isolation id {id}"),
        None => "no isolation id".to_owned(),
    };
    let what = format!(
        "How {} was resolved under {id}, from {source}:",
        report.name
    );
    page.line(0, &what);
    if report.questions.is_empty() && report.fetches.is_empty() {
        page.line(0, "Nothing was looked up: the name itself decides.");
    }
    let mut wildcard = None;
    for (position, trace) in report.questions.iter().enumerate() {
        page.question(position + 1, trace);
        if trace.wildcard != wildcard {
            wildcard.clone_from(&trace.wildcard);
            page.wildcard(trace);
        }
        page.fetches(report, source, |before| before == position);
        page.candidates(trace);
    }
    // Those of a question that got no reply.
    page.fetches(report, source, |before| before >= report.questions.len());
    page.errors(report);
    page.0
}

/// What is printed.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, indent: usize, line: &str) {
        self.0.push_str(&" ".repeat(indent));
        let line = printable(line);
        self.0
            .push_str(&wrap(&line, indent, indent + INDENT, WIDTH));
        self.0.push('\n');
    }

    fn question(&mut self, number: usize, trace: &QuestionTrace) {
        let QuestionTrace {
            question, reply, ..
        } = trace;
        self.line(0, &format!("{number}. {question}: {reply}"));
    }

    fn wildcard(&mut self, trace: &QuestionTrace) {
        if let Some(wildcard) = &trace.wildcard {
            self.line(INDENT, &format!("written as the wildcard {wildcard}"));
        }
    }

    fn fetches(
        &mut self,
        report: &Report,
        source: &SourceSettings,
        belongs: impl Fn(usize) -> bool,
    ) {
        let fetches = report.fetches.iter();
        for (_, Fetch { key, result, time }) in fetches.filter(|(before, _)| belongs(*before)) {
            let time = Milliseconds(*time);
            let did = match key {
                Key::Name(key) => format!("fetched {key} from {}", source.name()),
                Key::Delegated(question) => format!(
                    "asked {} for {}",
                    question.servers.join(" or "),
                    question.zone
                ),
            };
            let result = match result {
                Ok(finding) => finding.summary(),
                Err(failure) if *failure.message == *report.verdict.text() => {
                    format!("{}; see the message on stderr", failure.kind.words())
                }
                Err(failure) => failure.to_string(),
            };
            self.line(INDENT, &format!("{did} in {time}: {result}"));
        }
    }

    fn candidates(&mut self, trace: &QuestionTrace) {
        for Candidate { what, outcome } in &trace.candidates {
            let line = match outcome {
                CandidateOutcome::Chosen => format!("taken: {what}"),
                CandidateOutcome::Followed => format!("followed: {what}"),
                CandidateOutcome::Rejected(error) => format!("passed over: {what} ({error})"),
            };
            self.line(INDENT, &line);
        }
    }

    /// Each error once, however many questions met it.
    fn errors(&mut self, report: &Report) {
        let mut errors: Vec<&ItemError> = Vec::new();
        for error in report.questions.iter().flat_map(|trace| &trace.errors) {
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        if !errors.is_empty() {
            self.line(0, "Items on the way that mean nothing and were left out:");
        }
        for error in errors {
            self.line(INDENT, &error.to_string());
        }
    }
}
