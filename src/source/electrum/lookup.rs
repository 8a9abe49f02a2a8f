//! One name, asked of one server, with the proof.

use std::time::Instant;

use serde_json::value::RawValue;
use thiserror::Error;

use super::evidence::{Claim, Operation, verify};
use super::name_script::script_hash;
use super::protocol::Protocol;
use super::reply::{self, HistoryEntry, ReplyError, ValueProof};
use super::sync::Ledger;
use super::verdict::{
    Account, Selection, Terms, TooManyOperations, is_complete, newest, select, value_proof_height,
};
use super::wire::{CallError, Connection, Reply, Request};
use crate::chain::network::Network;
use crate::snapshot::{FetchFailure, NameKey};
use crate::source::Limit;

/// The JSON-RPC error of a server that does not know a method.
const NO_SUCH_METHOD: i64 = -32601;

/// Sent behind a request whose reply a server might hold back for a second to
/// send it with another: the reply to this one is large enough to be sent at
/// once. It is the same for every name.
fn filler() -> Request {
    Request::new("blockchain.block.headers", "[0,30,0]")
}

/// Why a server's answer to a lookup is of no use.
#[derive(Debug, Error)]
pub(super) enum LookupError {
    /// The server sent what no honest server sends.
    #[error("{0}")]
    Lied(String),
    /// The answer is larger than any that is taken. A name's owner can bring
    /// that about, so the server is not blamed.
    #[error("{0}")]
    Unusable(String),
    /// The connection is of no use any more.
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
    NotReady(#[from] FetchFailure),
}

impl From<ReplyError> for LookupError {
    fn from(error: ReplyError) -> Self {
        match error {
            ReplyError::TooLong | ReplyError::TooMany => Self::Unusable(error.to_string()),
            error => Self::Lied(error.to_string()),
        }
    }
}

impl From<TooManyOperations> for LookupError {
    fn from(error: TooManyOperations) -> Self {
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

/// What a lookup is about, and what it rests on.
pub(super) struct Lookup<'a> {
    pub key: &'a NameKey,
    pub network: Network,
    pub confirmations: u32,
    pub ledger: &'a Ledger,
    pub limit: &'a Limit,
    /// How long headers are waited for.
    pub patience: Instant,
}

impl Lookup<'_> {
    /// Asks a server. The request goes out at once; only its proof waits for
    /// headers.
    pub fn ask(&self, server: &Connection) -> Result<Account, LookupError> {
        let hash = script_hash(self.key.as_str().as_bytes());
        if server.protocol() >= Protocol::V1_4_3
            && let Some(account) = self.by_value_proof(server, &hash)?
        {
            return Ok(account);
        }
        self.by_history(server, &hash)
    }

    /// In one round trip. `None` if the server cannot do it.
    fn by_value_proof(
        &self,
        server: &Connection,
        hash: &str,
    ) -> Result<Option<Account>, LookupError> {
        let mut height = match self.ledger.settled() {
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
        let proofs = reply::value_proofs(text.get(), hash)?;
        let terms = self.terms()?;
        match select(proofs, terms)? {
            Selection::Settled(_) if !is_complete(height, terms.tip, self.confirmations) => {
                Err(LookupError::Changed)
            }
            Selection::Settled(account) => Ok(Some(account)),
            Selection::Prove(proofs) => {
                let claims = proofs.into_iter().map(ValueProof::claim);
                self.prove(claims.collect::<Result<_, _>>()?).map(Some)
            }
        }
    }

    /// In two round trips: which operations there are, then the newest.
    fn by_history(&self, server: &Connection, hash: &str) -> Result<Account, LookupError> {
        let params = format!("[\"{hash}\"]");
        let request = Request::new("blockchain.scripthash.get_history", params);
        let text = succeed(self.call(server, request)?)?;
        let history = reply::history(text.get())?;
        match select(history, self.terms()?)? {
            Selection::Settled(account) => Ok(account),
            Selection::Prove(entries) => {
                let claims = entries.iter().map(|entry| self.claim(server, entry));
                self.prove(claims.collect::<Result<_, _>>()?)
            }
        }
    }

    /// Fetches the transaction of an entry, and its place in the block.
    fn claim(&self, server: &Connection, entry: &HistoryEntry) -> Result<Claim, LookupError> {
        let height = entry.height;
        let id = entry.txid;
        let merkle = Request::new(
            "blockchain.transaction.get_merkle",
            format!("[\"{id}\",{height}]"),
        );
        let transaction = Request::new("blockchain.transaction.get", format!("[\"{id}\"]"));
        let (merkle, transaction) = if server.pads() {
            // Held back unless each has its own filler.
            (self.call(server, merkle)?, self.call(server, transaction)?)
        } else {
            self.call_both(server, [merkle, transaction])?
        };
        let branch = reply::branch(succeed(merkle)?.get(), height)?;
        Ok(Claim {
            txid: Some(entry.txid),
            tx: reply::transaction(succeed(transaction)?.get())?,
            height,
            branch: branch.hashes,
            position: branch.position,
        })
    }

    /// Sends two requests in one go and waits for both replies.
    fn call_both(
        &self,
        server: &Connection,
        requests: [Request; 2],
    ) -> Result<(Reply, Reply), LookupError> {
        let mut replies = Vec::new();
        for ticket in server.send(&requests)? {
            replies.push(server.receive(ticket, self.limit.deadline, &self.limit.cancel)?);
        }
        let mut replies = replies.into_iter();
        match (replies.next(), replies.next()) {
            (Some(first), Some(second)) => Ok((first, second)),
            _ => Err(LookupError::Broken("a reply is missing".into())),
        }
    }

    fn prove(&self, claims: Vec<Claim>) -> Result<Account, LookupError> {
        let mut operations: Vec<Operation> = Vec::new();
        for claim in &claims {
            let root_at = |height| self.ledger.merkle_root(height);
            match verify(self.key, claim, &root_at) {
                Ok(operation) => operations.push(operation),
                Err(error) if error.is_servers_fault() => {
                    return Err(LookupError::Lied(error.to_string()));
                }
                // The chain has changed since the operation was chosen.
                Err(_) => return Err(LookupError::Changed),
            }
        }
        newest(operations)
            .map(Account::Value)
            .ok_or(LookupError::Changed)
    }

    /// The terms by which operations count, once there is a chain to judge by.
    fn terms(&self) -> Result<Terms, LookupError> {
        let limit = Limit {
            deadline: self.patience.min(self.limit.deadline),
            ..self.limit.clone()
        };
        Ok(Terms {
            tip: self.ledger.wait(&limit)?,
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
        // The filler's ticket is dropped, and with it the reply.
        let ticket = server.send(&requests)?.into_iter().next();
        let ticket = ticket.ok_or_else(|| LookupError::Broken("nothing was sent".into()))?;
        Ok(server.receive(ticket, self.limit.deadline, &self.limit.cancel)?)
    }
}

/// The result of a reply; an error's words may hold the script hash.
fn succeed(reply: Reply) -> Result<Box<RawValue>, LookupError> {
    reply
        .result()
        .map_err(|error| LookupError::Broken(format!("answered with {error}")))
}
