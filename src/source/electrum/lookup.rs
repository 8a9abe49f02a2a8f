//! One lookup at one server: the connection, the request, the proof, and what the
//! server got wrong.

use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;
use thiserror::Error;

use super::evidence::{Claim, Operation, ProofError, script_hash, verify};
use super::pool::{Dial, Link};
use super::reply::{self, HistoryEntry, ReplyError};
use super::servers::Server;
use super::sync::Ledger;
use super::verdict::{
    NameStatus, Selection, Terms, TooManyOperationsError, USUAL_DEPTH, is_complete, newest, select,
    value_proof_height,
};
use super::wire::{
    CallError, Connection, DialError, Dialer, Protocol, Purpose, Reply, Request, ServerError,
};
use crate::chain::network::Network;
use crate::snapshot::{FetchError, FetchErrorKind, NameKey};
use crate::source::{Bounds, Cancel};

/// The JSON-RPC error of a server that does not know a method.
const NO_SUCH_METHOD: i64 = -32601;

/// The JSON-RPC error of a server that understood a request and cannot meet
/// it, such as one for the proof of a transaction that is in no block.
const BAD_REQUEST: i64 = 1;

/// The most entries of a name's history that a lookup skips because they are no
/// operations on the name. Each costs two requests.
const MAX_PASSED_OVER: usize = 8;

/// Sent after a request whose reply the server might hold back for a second to
/// send it together with another one. The reply to this one is so large that it
/// is sent at once. It is the same for every name.
fn filler() -> Request {
    Request::new("blockchain.block.headers", "[0,30,0]")
}

/// Why a lookup at a server failed.
#[derive(Debug, Error)]
pub(super) enum LookupError {
    /// The server sent what no honest server sends.
    #[error("{0}")]
    Lied(String),
    /// The answer is too large. A name's owner can cause that, so the server is
    /// not blamed.
    #[error("{0}")]
    Unusable(String),
    /// The connection cannot be used any more.
    #[error("{0}")]
    Broken(String),
    /// Our chain changed while the answer was on its way.
    #[error("the chain has changed meanwhile")]
    Changed,
    /// Nobody waits for the answer any more, or the time is up.
    #[error("no answer came in time")]
    TimedOut,
    /// The answer came, but we are not ready to verify it.
    #[error(transparent)]
    NotReady(#[from] FetchError),
}

impl From<ReplyError> for LookupError {
    fn from(error: ReplyError) -> Self {
        match error {
            ReplyError::TooLong | ReplyError::TooMany => Self::Unusable(error.to_string()),
            error => Self::Lied(error.to_string()),
        }
    }
}

impl From<TooManyOperationsError> for LookupError {
    fn from(error: TooManyOperationsError) -> Self {
        Self::Unusable(error.to_string())
    }
}

impl From<CallError> for LookupError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::TimedOut { .. } | CallError::Cancelled => Self::TimedOut,
            CallError::Protocol(_) => Self::Lied(error.to_string()),
            _ => Self::Broken(error.to_string()),
        }
    }
}

/// What an entry of a name's history has turned out to be. An honest server
/// lists something other than an operation only if its index kept part of a
/// block that was replaced (`spec/electrum.md`, 4.8).
enum Entry {
    /// An operation on the name, proven.
    Operation(Operation),
    /// None: it is proven to be something else, or the server itself says that
    /// the block does not hold it.
    None,
    /// Not known: the server could not or did not prove it.
    Unproven,
}

/// Whether an error says that a transaction is not where the history has it.
fn is_retraction(error: &ServerError) -> bool {
    error.code == BAD_REQUEST && error.message.contains("not in block")
}

/// What a lookup asks for, and what it relies on.
pub(super) struct Lookup<'a> {
    pub key: &'a NameKey,
    pub network: Network,
    pub confirmations: u32,
    pub ledger: &'a Ledger,
    pub bounds: &'a Bounds,
    /// Until when to wait for headers.
    pub headers_deadline: Instant,
}

impl Lookup<'_> {
    /// Asks a server. The request goes out at once; only its proof waits for
    /// headers.
    pub fn ask(&self, server: &Connection) -> Result<NameStatus, LookupError> {
        let hash = script_hash(self.key.as_str().as_bytes());
        if server.protocol() >= Protocol::V1_4_3
            && let Some(status) = self.by_value_proof(server, &hash)?
        {
            return Ok(status);
        }
        self.by_history(server, &hash)
    }

    /// Asks with `get_value_proof`, in one round trip. `None` if the server
    /// does not support it.
    fn by_value_proof(
        &self,
        server: &Connection,
        hash: &str,
    ) -> Result<Option<NameStatus>, LookupError> {
        let mut height = match self.ledger.usable_tip() {
            Ok(tip) => value_proof_height(tip, self.confirmations),
            Err(_) => 0,
        };
        let text = loop {
            let params = format!("[\"{hash}\",{height}]");
            let request = Request::new("blockchain.name.get_value_proof", params);
            match self.call(server, request)? {
                Reply::Result(text) => break text,
                // The server does not have that block yet.
                Reply::Error(error) if error.code != NO_SUCH_METHOD && height > 0 => height = 0,
                Reply::Error(_) => return Ok(None),
            }
        };
        let mut proofs = reply::value_proofs(text.get(), hash)?;
        let terms = self.terms()?;
        let proofs = match select(&mut proofs, |proof| proof.height, terms)? {
            Selection::Settled(_) if !is_complete(height, terms.tip, self.confirmations) => {
                return Err(LookupError::Changed);
            }
            Selection::Settled(status) => return Ok(Some(status)),
            Selection::Prove(proofs) => proofs,
        };
        let mut operations = Vec::new();
        for proof in proofs {
            if let Entry::Operation(operation) = self.prove(&proof.claim()?, terms)? {
                operations.push(operation);
            }
        }
        // If none is proven, the list may have ended too soon.
        Ok(newest(operations).map(NameStatus::Value))
    }

    /// Asks with `get_history`, in two round trips: first for all operations,
    /// then for the newest. Each entry that is no operation costs another round
    /// trip.
    fn by_history(&self, server: &Connection, hash: &str) -> Result<NameStatus, LookupError> {
        let params = format!("[\"{hash}\"]");
        let request = Request::new("blockchain.scripthash.get_history", params);
        let text = succeed(self.call(server, request)?)?;
        let mut history = reply::history(text.get())?;
        let terms = self.terms()?;
        let (mut passed_over, mut is_sure) = (0, true);
        loop {
            let entries = match select(&mut history, |entry| entry.height, terms)? {
                Selection::Settled(status) if is_sure => return Ok(status),
                Selection::Settled(_) => {
                    return Err(LookupError::Broken("it cannot prove what it lists".into()));
                }
                Selection::Prove(entries) => entries,
            };
            let mut operations = Vec::new();
            for entry in &entries {
                match self.look_at(server, entry, terms)? {
                    Entry::Operation(operation) => operations.push(operation),
                    Entry::None => passed_over += 1,
                    Entry::Unproven => {
                        passed_over += 1;
                        is_sure = false;
                    }
                }
                if passed_over > MAX_PASSED_OVER {
                    let what = "it lists too much that is no operation on the name";
                    return Err(LookupError::Broken(what.into()));
                }
            }
            if let Some(operation) = newest(operations) {
                return Ok(NameStatus::Value(operation));
            }
        }
    }

    /// Fetches the transaction of an entry, and its place in the block.
    fn look_at(
        &self,
        server: &Connection,
        entry: &HistoryEntry,
        terms: Terms,
    ) -> Result<Entry, LookupError> {
        let height = entry.height;
        let id = entry.txid;
        let merkle = Request::new(
            "blockchain.transaction.get_merkle",
            format!("[\"{id}\",{height}]"),
        );
        let transaction = Request::new("blockchain.transaction.get", format!("[\"{id}\"]"));
        let (merkle, transaction) = if server.pads() {
            // The server would hold a reply back without a filler of its own.
            (self.call(server, merkle)?, self.call(server, transaction)?)
        } else {
            self.call_both(server, [merkle, transaction])?
        };
        let merkle = match merkle {
            Reply::Result(merkle) => merkle,
            Reply::Error(error) if is_retraction(&error) => return Ok(Entry::None),
            Reply::Error(error) if error.code == BAD_REQUEST => return Ok(Entry::Unproven),
            error @ Reply::Error(_) => succeed(error)?,
        };
        let branch = reply::branch(merkle.get(), height)?;
        let claim = Claim {
            txid: Some(entry.txid),
            tx: reply::transaction(succeed(transaction)?.get())?,
            height,
            branch: branch.hashes,
            position: branch.position,
        };
        self.prove(&claim, terms)
    }

    /// Sends two requests at once and waits for both replies.
    fn call_both(
        &self,
        server: &Connection,
        requests: [Request; 2],
    ) -> Result<(Reply, Reply), LookupError> {
        let mut replies = Vec::new();
        for request in server.send(&requests)? {
            replies.push(server.receive(request, self.bounds.deadline, &self.bounds.cancel)?);
        }
        let mut replies = replies.into_iter();
        match (replies.next(), replies.next()) {
            (Some(first), Some(second)) => Ok((first, second)),
            _ => Err(LookupError::Broken("a reply is missing".into())),
        }
    }

    fn prove(&self, claim: &Claim, terms: Terms) -> Result<Entry, LookupError> {
        let root_at = |height| self.ledger.merkle_root(height);
        match verify(self.key, claim, &root_at) {
            Ok(operation) => Ok(Entry::Operation(operation)),
            Err(error) if error.is_no_operation() => Ok(Entry::None),
            // Where fewer confirmations are wanted than usual, the server may
            // have another block there for a while.
            Err(ProofError::OtherRoot) if terms.tip < claim.height.saturating_add(USUAL_DEPTH) => {
                Ok(Entry::Unproven)
            }
            Err(error) if error.is_servers_fault() => Err(LookupError::Lied(error.to_string())),
            // The chain has changed since the operation was chosen.
            Err(_) => Err(LookupError::Changed),
        }
    }

    /// Which operations count, once there is a chain to decide it by.
    fn terms(&self) -> Result<Terms, LookupError> {
        let bounds = Bounds {
            deadline: self.headers_deadline.min(self.bounds.deadline),
            ..self.bounds.clone()
        };
        Ok(Terms {
            tip: self.ledger.wait(&bounds)?,
            confirmations: self.confirmations,
            expiry: self.network.expiry(),
        })
    }

    /// Sends one request and waits for its reply.
    fn call(&self, server: &Connection, request: Request) -> Result<Reply, LookupError> {
        let mut requests = vec![request];
        if server.pads() {
            requests.push(filler());
        }
        // The reply to the filler is discarded.
        let sent = server.send(&requests)?.into_iter().next();
        let sent = sent.ok_or_else(|| LookupError::Broken("nothing was sent".into()))?;
        Ok(server.receive(sent, self.bounds.deadline, &self.bounds.cancel)?)
    }
}

/// The result of a reply. An error's text may contain the script hash.
fn succeed(reply: Reply) -> Result<Box<RawValue>, LookupError> {
    reply
        .result()
        .map_err(|error| LookupError::Broken(format!("answered with {error}")))
}

/// Opens connections for lookups.
pub(super) struct LookupDialer(pub Arc<Dialer>);

impl Dial for LookupDialer {
    type Link = Connection;

    fn trusts(&self, server: &Server) -> bool {
        self.0.trusts(server)
    }

    fn dial(
        &self,
        server: &Server,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Connection, FetchError> {
        self.0
            .dial(server, Purpose::Lookups, deadline, cancel)
            .map_err(|error| {
                let kind = match error {
                    DialError::TimedOut(_) | DialError::Cancelled(_) => FetchErrorKind::TimedOut,
                    DialError::NotElectrum(_) | DialError::Version(_) => FetchErrorKind::BadReply,
                    _ => FetchErrorKind::Unreachable,
                };
                FetchError::new(kind, error.to_string())
            })
    }
}

impl Link for Connection {
    fn server(&self) -> &Server {
        self.server()
    }

    fn is_alive(&self) -> bool {
        self.is_alive()
    }

    fn keep_alive(&self) {
        // A failure shows as the end of the connection.
        let _ = self.drain();
        let _ = self.ping();
    }

    fn close(&self) {
        self.close();
    }
}
