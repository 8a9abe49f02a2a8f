//! What the subcommands want to know of a source beside values: whether it
//! works, how far it is, and a block to start from.

use std::fmt;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use bitcoin::Work;
use thiserror::Error;

use super::Bounds;
use super::transport::socks::SocksError;
use super::transport::{self, OpenError, Until};
use crate::chain::network::Checkpoint;
use crate::config::settings::ProxyAddress;
use crate::snapshot::FetchError;

/// A source that can be examined.
pub trait Diagnose: Send + Sync {
    /// Tries the source out without looking up a name anywhere else, and
    /// reports how well each part of it works; last, if lookups work, how names
    /// are looked up ([`Finding::result`]).
    fn check(&self, bounds: &Bounds) -> Vec<Finding>;

    /// How far the source is with what lookups wait for; `None` if they need
    /// not wait, or if that is not known. It starts nothing, and does not block
    /// for long.
    fn progress(&self) -> Option<Progress> {
        None
    }

    /// The newest block that later runs can start their verification from.
    ///
    /// # Errors
    /// The source has no block headers, or not enough of them in time.
    fn milestone(&self, _bounds: &Bounds) -> Result<Milestone, MilestoneError> {
        Err(MilestoneError::OtherSource)
    }
}

/// How well one part of a source works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It works.
    Ok,
    /// It works, and the user should know something about it.
    Warn,
    /// Lookups fail because of it.
    Fail,
}

/// What a check found about one part of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which part: a fixed word.
    pub label: &'static str,
    /// How well it works.
    pub health: Health,
    /// What was found.
    pub what: String,
    /// What to do about it; empty if it works.
    pub remedy: String,
}

impl Finding {
    /// Something that works.
    pub fn ok(label: &'static str, what: impl Into<String>) -> Self {
        Self {
            label,
            health: Health::Ok,
            what: what.into(),
            remedy: String::new(),
        }
    }

    /// Something that the user should know, and what to do about it.
    pub fn warn(label: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            label,
            health: Health::Warn,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// Something that makes lookups fail, and what to do about it.
    pub fn fail(label: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            health: Health::Fail,
            ..Self::warn(label, what, remedy)
        }
    }
}

/// The label of the last finding: how names are looked up.
pub const RESULT: &str = "result";

impl Finding {
    /// How names are looked up. A source that works says so last.
    pub fn result(how: impl fmt::Display) -> Self {
        Self::ok(RESULT, format!("names are looked up {how}"))
    }
}

/// How long a proxy may take to answer. Tor's is on this machine and answers
/// before it has any circuit.
const PROXY_PATIENCE: Duration = Duration::from_secs(2);

/// What to do about a proxy that cannot be used.
pub const PROXY_REMEDY: &str = "start Tor, and set --proxy to its SOCKS port: 127.0.0.1:9050, or \
                            127.0.0.1:9150 while Tor Browser is open";

/// Tries the proxy out, before anything behind it is blamed. `None` if it
/// accepts credentials; it is not asked for a connection.
pub fn proxy_trouble(proxy: &ProxyAddress, bounds: &Bounds) -> Option<Finding> {
    let until = Until {
        deadline: bounds.deadline.min(Instant::now() + PROXY_PATIENCE),
        cancel: &bounds.cancel,
    };
    let kind = match transport::try_proxy(proxy, until) {
        Ok(()) => return None,
        Err(OpenError::Socks(SocksError::Io(error)) | OpenError::Proxy(error)) => error.kind(),
        Err(error) => {
            let what = format!("{proxy}: {error}");
            return Some(Finding::fail("proxy", what, PROXY_REMEDY));
        }
    };
    let what = match kind {
        ErrorKind::ConnectionRefused => format!("nothing listens at {proxy}"),
        ErrorKind::TimedOut => format!("{proxy} does not answer in time"),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
            format!("what listens at {proxy} closed the connection")
        }
        ErrorKind::NotFound => format!("there is no socket at {proxy}"),
        kind => format!("{proxy} cannot be reached: {kind}"),
    };
    Some(Finding::fail("proxy", what, PROXY_REMEDY))
}

/// A verified block, so deep that later runs can start their verification there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Milestone {
    /// The block.
    pub checkpoint: Checkpoint,
    /// The work of the chain up to and including it.
    pub work: Work,
    /// The height above which that work was done; `None` if `work` is that of
    /// the whole chain.
    pub work_since: Option<u32>,
    /// Whether only a sample of the proofs of work was verified.
    pub is_sampled: bool,
    /// Whether one of the operators is a discovered server.
    pub has_discovered: bool,
    /// Whose chains were compared.
    pub operators: Vec<String>,
}

/// Why there is no [`Milestone`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MilestoneError {
    /// The source has no block headers.
    #[error(
        "only Electrum servers send the block headers that this needs: use --backend electrum, with \
         --proxy"
    )]
    OtherSource,
    /// No server sends the headers.
    #[error("{0}")]
    Unreachable(FetchError),
    /// The headers cannot be relied on yet.
    #[error("{0}; a greater --timeout waits longer")]
    NotReady(FetchError),
    /// The chain has too few blocks above the checkpoint.
    #[error(
        "the newest block is {tip}: no block above the checkpoint ({checkpoint}) is {depth} blocks \
         deep yet"
    )]
    TooShallow {
        /// The height of the newest block.
        tip: u32,
        /// The height of the checkpoint.
        checkpoint: u32,
        /// How deep the block has to be.
        depth: u32,
    },
}

/// What a source does before names can be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It looks for servers, and counts operators.
    Searching,
    /// It fetches block headers, and counts them.
    Fetching,
    /// It fetches and verifies a sample of the proofs of work, and counts them.
    Proving,
    /// It compares chains, and counts operators.
    Comparing,
}

/// How far a source has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it does now.
    pub stage: Stage,
    /// How many of what the stage counts are done.
    pub done: u64,
    /// How many there are; 0 if that is not known.
    pub total: u64,
    /// Bytes received since the source was started.
    pub bytes: u64,
    /// Bytes that later stages will probably receive.
    pub later: u64,
}
