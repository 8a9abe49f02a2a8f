//! Values from public Electrum servers, verified by proof of work.

mod evidence;
mod name_script;
mod pins;
mod reply;
mod servers;
mod state;
mod store;
mod verdict;
mod wire;

#[cfg(test)]
mod recorded;

use super::{Finding, Limit, Source};
use crate::config::settings::ElectrumSettings;
use crate::isolation::IsolationId;
use crate::log::Log;
use crate::snapshot::{FailureKind, FetchFailure, Fetched, NameKey};

/// Electrum servers that are asked for names, each isolation id's on
/// connections of their own.
#[derive(Debug)]
pub struct ElectrumSource {
    log: Log,
}

impl ElectrumSource {
    /// Prepares; nothing is connected, looked up or read before
    /// [`Source::start`] or the first fetch.
    pub fn new(_settings: &ElectrumSettings, log: Log) -> Self {
        Self { log }
    }
}

impl Source for ElectrumSource {
    fn fetch(
        &self,
        _isolation: &IsolationId,
        _key: &NameKey,
        _limit: &Limit,
    ) -> Result<Fetched, FetchFailure> {
        self.log.debug("no server is asked yet");
        Err(FetchFailure::new(
            FailureKind::NotReady,
            "the Electrum source is being built",
        ))
    }

    fn check(&self, _limit: &Limit) -> Vec<Finding> {
        Vec::new()
    }
}
