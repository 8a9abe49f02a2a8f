//! What a node's reply means.

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::settings::NodeAddress;
use crate::snapshot::{Absence, FailureKind, FetchFailure, Fetched, NameKey};
use crate::text::{clip, printable};

use super::dialect::Dialect;

/// An HTTP reply: its status and body.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status code.
    pub status: u16,
    /// The body, of at most 1 MiB.
    pub body: Vec<u8>,
}

/// The envelope of JSON-RPC 1.0 and 2.0 alike.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Error>,
}

/// An error of JSON-RPC.
#[derive(Debug, Deserialize)]
pub struct Error {
    /// The node's number for it.
    #[serde(default)]
    pub code: i64,
    /// The node's words for it. They may quote the name that was asked.
    #[serde(default)]
    pub message: String,
}

/// The result of `name_show`, as far as it matters.
#[derive(Deserialize)]
struct NameShow {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    expired: Option<bool>,
}

impl Reply {
    /// Whether the node refused our credentials: Namecoin Core says 401 and
    /// Electrum-NMC 403.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self.status, 401 | 403)
    }

    fn envelope(&self) -> Option<Envelope<'_>> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The error that the reply carries, whatever its HTTP status.
    pub fn error(&self) -> Option<Error> {
        self.envelope()?.error
    }

    /// The result that the reply carries.
    pub fn result(&self) -> Option<&RawValue> {
        let envelope = self.envelope()?;
        if envelope.error.is_some() {
            return None;
        }
        envelope.result
    }
}

/// What a reply to `name_show` says of the name.
pub fn fetched(reply: Reply, dialect: Dialect, key: &NameKey) -> Result<Fetched, FetchFailure> {
    if let Some(error) = reply.error() {
        return failed(&error);
    }
    let bad = |what: &str| Err(FetchFailure::new(FailureKind::BadReply, what));
    let Some(result) = reply.result() else {
        return Err(no_json(&reply));
    };
    let Ok(shown) = serde_json::from_str::<NameShow>(result.get()) else {
        return bad("the result of name_show has another form than expected");
    };
    if shown.expired == Some(true) {
        return Ok(Fetched::Absent(Absence::Expired));
    }
    let Some(value) = shown.value else {
        return bad("the result of name_show has no value");
    };
    if !dialect.is_hex() {
        return Ok(Fetched::Value(value.into_bytes().into()));
    }
    let decode = |hex: &str| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok();
    if let Some(name) = shown.name
        && decode(&name).as_deref() != Some(key.as_str().as_bytes())
    {
        return bad("the result of name_show is of another name than the one asked");
    }
    match decode(&value) {
        Some(value) => Ok(Fetched::Value(value.into())),
        None => bad("the value in the result of name_show is not in hexadecimal"),
    }
}

/// What an error of `name_show` means.
fn failed(error: &Error) -> Result<Fetched, FetchFailure> {
    let says = |part: &str| error.message.contains(part);
    let fail = |kind, what: String| Err(FetchFailure::new(kind, what));
    match error.code {
        -4 if says("semi-expired") => Ok(Fetched::Absent(Absence::AboutToExpire)),
        -4 if says("unconfirmed") => Ok(Fetched::Absent(Absence::NotYetSafe)),
        -4 if says("expired") => Ok(Fetched::Absent(Absence::Expired)),
        -4 if says("never existed") => Ok(Fetched::Absent(Absence::NeverExisted)),
        -10 => fail(
            FailureKind::NotReady,
            "it is still downloading blocks".into(),
        ),
        -28 => fail(FailureKind::NotReady, "it is still starting".into()),
        1 if says("still syncing") => fail(FailureKind::NotReady, "it is still syncing".into()),
        1 if says("interface") => fail(
            FailureKind::NotReady,
            "it has no connection to an Electrum server".into(),
        ),
        -32601 => fail(
            FailureKind::BadReply,
            "it has no method name_show; is it a Namecoin node?".into(),
        ),
        code => {
            // The words may quote the name, which belongs in no log; only those
            // without any quoting are passed on.
            let quotes = ['\'', '"', '/', '{', '0'];
            if error.message.is_empty() || error.message.contains(quotes) {
                return fail(FailureKind::BadReply, format!("it reports error {code}"));
            }
            let words = clip(&printable(&error.message), 100);
            fail(
                FailureKind::BadReply,
                format!("it reports error {code}, {words}"),
            )
        }
    }
}

/// The meaning of a reply that is no JSON-RPC.
fn no_json(reply: &Reply) -> FetchFailure {
    match reply.status {
        503 => FetchFailure::new(
            FailureKind::Overloaded,
            "it is overloaded or shutting down (HTTP status 503)",
        ),
        200 => FetchFailure::new(FailureKind::BadReply, "its reply is no JSON-RPC"),
        status => FetchFailure::new(
            FailureKind::BadReply,
            format!("its reply is no JSON-RPC (HTTP status {status})"),
        ),
    }
}

/// Says which node a failure is about.
pub fn at(address: &NodeAddress, failure: FetchFailure) -> FetchFailure {
    FetchFailure::new(
        failure.kind,
        format!("the node at {address}: {}", failure.message),
    )
}
