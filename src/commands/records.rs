//! `ncprop279 records`: every record that a name and its subdomains yield.

use super::names::{self, Failure};
use super::terminal::{self, Terminal, complain, complain_plainly};
use super::{Fetcher, print};
use crate::authority::edns::Cause;
use crate::config::settings::Settings;
use crate::isolation::IsolationId;
use crate::log::Level;
use crate::policy::{Query, Verdict};
use crate::snapshot::{Key, Snapshot};
use crate::text::ascii_json;
use crate::value::{EvaluationError, ItemError};
use crate::zone::listing::{self, Listing};
use crate::zone::{self, Located, TTL, Traced};
use hickory_proto::rr::{Name, RData, RecordType};
use serde_json::json;
use std::process::ExitCode;

/// Runs `ncprop279 records`; gives the exit status.
pub fn run(
    settings: &Settings,
    level: Level,
    name: &str,
    isolation: IsolationId,
    json: bool,
) -> ExitCode {
    let terminal = Terminal::new(settings, level);
    let (upstreams, diagnosis) = super::upstreams(settings, &terminal.log);
    let fetcher = Fetcher::new(&upstreams, &terminal.log, settings.timeout);
    let ended = terminal.watch(&*diagnosis, || report(name, isolation, fetcher));
    match ended {
        Ok(report) if json => print(&report.to_json()),
        Ok(report) => {
            terminal::print(&report.to_lines());
            let notes = report.notes(name);
            notes.iter().for_each(|note| complain_plainly(note));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            complain(&failure.message);
            ExitCode::from(failure.verdict.status().code())
        }
    }
}

/// What a name yields.
struct Report {
    /// Owner names and records, in the order of a zone file.
    records: Vec<(Name, RData)>,
    /// The errors in the value and in those that it imports.
    errors: Vec<ItemError>,
    /// The wildcard that matches the name, if nothing else is listed.
    wildcard: Option<String>,
}

impl Report {
    /// The records in the form of a zone file.
    fn to_lines(&self) -> String {
        let records = self.records.iter();
        let lines = records.map(|(owner, data)| listing::record(owner, data) + "\n");
        lines.collect()
    }

    /// What a person should know besides the records.
    fn notes(&self, name: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if self.records.is_empty() && self.errors.is_empty() && self.wildcard.is_none() {
            notes.push(format!(
                "note: {name} has no records; see resolve --explain"
            ));
        }
        notes.extend(self.errors.iter().map(|error| format!("error: {error}")));
        if let Some(wildcard) = &self.wildcard {
            notes.push(format!(
                "note: {name} has what {wildcard} has; see the records of the whole name"
            ));
        }
        notes
    }

    /// One JSON object in printable ASCII: `records` with `owner`, `ttl`, `class`, `type` and
    /// `data` in the form of a zone file, and `errors` with `owner`, `item` and
    /// `reason`. Where a wildcard matches the name, `wildcard` is its name.
    fn to_json(&self) -> String {
        let record = |(owner, data): &(Name, RData)| {
            json!({
                "owner": listing::name(owner),
                "ttl": TTL,
                "class": "IN",
                "type": listing::type_name(data.record_type()),
                "data": listing::data(data),
            })
        };
        let error = |error: &ItemError| json!({"owner": error.owner, "item": error.item, "reason": error.reason});
        let records: Vec<_> = self.records.iter().map(record).collect();
        let errors: Vec<_> = self.errors.iter().map(error).collect();
        let object = match &self.wildcard {
            None => json!({"records": records, "errors": errors}),
            Some(wildcard) => {
                json!({"records": records, "errors": errors, "wildcard": wildcard})
            }
        };
        ascii_json(&object.to_string()) + "\n"
    }
}

/// Lists a name given as `example.bit` or `d/example`. Of a subdomain only
/// what is at or below it.
///
/// # Errors
/// The name cannot be registered, has no domain object or no such subdomain,
/// or could not be fetched.
fn report(name: &str, isolation: IsolationId, mut fetcher: Fetcher<'_>) -> Result<Report, Failure> {
    let (written, query) = names::query(name, false)?;
    let domain = query.name().trim_to(2);
    let mut snapshot = Snapshot::new(isolation);
    loop {
        match listing::list(&domain, &snapshot) {
            Ok(Ok(mut listing)) => {
                listing
                    .records
                    .retain(|(owner, _)| query.name().zone_of(owner));
                listing::sort(&mut listing.records);
                let traced = unlisted(&query, &listing, &snapshot);
                if let Some(Located::NoSubdomain) = traced.as_ref().map(|one| &one.located) {
                    let why = format!("{written} has no such subdomain");
                    return Err(Verdict::NotFound(why).into());
                }
                return Ok(Report {
                    wildcard: traced.and_then(|one| one.wildcard),
                    records: listing.records,
                    errors: listing.errors,
                });
            }
            Ok(Err(none)) => {
                let cause = none.map_or(Cause::InvalidName, Cause::from);
                return Err(not_found(&written, &cause));
            }
            Err(EvaluationError::Need(keys)) => {
                let keys = keys.into_iter().map(Key::Name).collect();
                fetcher.fetch(keys, &mut snapshot);
            }
            Err(EvaluationError::Failed(failure)) => {
                return Err(Verdict::Unknown(failure).into());
            }
            Err(EvaluationError::TooManyImports) => {
                return Err(not_found(&written, &Cause::TooManyImports));
            }
            Err(EvaluationError::TooComplicated) => {
                return Err(not_found(&written, &Cause::TooComplicated));
            }
        }
    }
}

/// What is at a name for which nothing is listed: a wildcard may match it, it
/// may have no records, or it may not exist.
fn unlisted(query: &Query, listing: &Listing, snapshot: &Snapshot) -> Option<Traced> {
    if !listing.records.is_empty() {
        return None;
    }
    zone::trace(query.name(), RecordType::A, snapshot).ok()
}

fn not_found(name: &str, cause: &Cause) -> Failure {
    Verdict::NotFound(format!("{name} {}", cause.words())).into()
}
