//! `ncprop279 resolve`: the answer to one query, and what was looked at on the
//! way.

use std::time::Duration;

use crate::isolation::IsolationId;
use crate::prop279::response::Status;
use crate::prop279::session::{status, text};
use crate::resolve::{self, Looked, Query, Step, Verdict};
use crate::snapshot::Snapshot;
use crate::source::Source;
use crate::text::printable;

use super::Fetch;

/// What became of a query.
pub struct Report {
    /// The verdict, as the plugin would send it.
    pub verdict: Verdict,
    /// The names fetched.
    pub fetches: Vec<Fetch>,
    /// The questions asked of the engine, in their order.
    pub looked: Vec<Looked>,
}

impl Report {
    /// The status of the protocol, which is the exit status too.
    pub fn status(&self) -> Status {
        status(&self.verdict)
    }
}

/// Resolves one name, given as `example.bit` or `d/example`. Failures that pass are not tried again.
pub fn run(
    name: &str,
    isolation: IsolationId,
    only_onion: bool,
    timeout: Duration,
    source: &dyn Source,
) -> Report {
    let mut fetches = Vec::new();
    let mut looked = Vec::new();
    let name = super::dns_name(name);
    let query = match Query::parse(name.as_bytes(), only_onion) {
        Ok(query) => query,
        Err(verdict) => {
            return Report {
                verdict,
                fetches,
                looked,
            };
        }
    };
    let deadline = super::deadline(timeout);
    let mut snapshot = Snapshot::new(isolation);
    loop {
        looked.clear();
        match resolve::explain(&query, &snapshot, &mut looked) {
            Step::Done(verdict) => {
                return Report {
                    verdict,
                    fetches,
                    looked,
                };
            }
            Step::Need(keys) => super::fetch(keys, &mut snapshot, source, deadline, &mut fetches),
        }
    }
}

impl std::fmt::Display for Report {
    /// The answer on the first line, then a line for each thing looked at.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", printable(&text(&self.verdict)))?;
        for fetch in &self.fetches {
            let key = printable(fetch.key.as_str());
            writeln!(f, "  fetched {key}: {}", printable(&fetch.result))?;
        }
        for looked in &self.looked {
            writeln!(f, "  {}: {}", looked.question, printable(&looked.reply))?;
        }
        Ok(())
    }
}
