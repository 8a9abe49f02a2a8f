//! `ncprop279 resolve --explain`: the way that a name took, for people.

use crate::config::settings::SourceSettings;
use crate::policy::{Candidate, CandidateOutcome, QuestionTrace};
use crate::snapshot::Entry;
use crate::text::{Milliseconds, printable, wrap};
use crate::value::error::ItemError;

use super::resolve::Report;
use super::{Fetch, WIDTH};

/// Columns before what belongs to a question.
const INDENT: usize = 3;

/// The way in lines of at most 80 columns, to follow the answer or the message: an empty line,
/// what was asked, the questions in their order, and the errors met.
pub fn text(report: &Report, source: &SourceSettings) -> String {
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
        for (_, Fetch { key, entry, time }) in fetches.filter(|(before, _)| belongs(*before)) {
            let time = Milliseconds(*time);
            let source = source.name();
            let result = match entry {
                Entry::Known(fetched) => fetched.summary(),
                Entry::Failed(failure) if *failure.message == *report.verdict.text() => {
                    format!("{}; see the message on stderr", failure.kind.words())
                }
                Entry::Failed(failure) => failure.to_string(),
            };
            self.line(
                INDENT,
                &format!("fetched {key} from {source} in {time}: {result}"),
            );
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
