//! What our messages carry in EDNS0: the isolation id of a query (option 65312),
//! and the cause of a negative or failed reply as an extended DNS error (RFC
//! 8914). `spec/edns0-isolation.md` specifies both.

use hickory_proto::op::{Edns, Message};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use thiserror::Error;

use crate::isolation::IsolationId;
use crate::snapshot::{Absence, FetchError, FetchErrorKind};
use crate::value::import::NoObject;

/// The code of the isolation option, from the range for local use (RFC 6891
/// section 9).
pub const ISOLATION_OPTION: u16 = 65_312;

/// The UDP payload size that we announce, in bytes.
pub(super) const PAYLOAD: u16 = 1232;

/// The isolation option is present more than once, or holds no valid id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the isolation option is present more than once, or holds no valid id")]
pub struct IsolationOptionError;

/// Puts an isolation id into a query. The shared id is written as no option.
pub fn write_isolation(query: &mut Message, isolation: &IsolationId) {
    let edns = query.edns.get_or_insert_with(Edns::new);
    edns.set_max_payload(PAYLOAD);
    edns.options_mut()
        .remove(EdnsCode::Unknown(ISOLATION_OPTION));
    if let Some(id) = isolation.as_str() {
        let option = EdnsOption::Unknown(ISOLATION_OPTION, id.as_bytes().to_vec());
        edns.options_mut().insert(option);
    }
}

/// Reads the isolation id of a query; without the option it is the shared id.
///
/// # Errors
/// The option is present more than once, or holds no valid id.
pub fn read_isolation(query: &Message) -> Result<IsolationId, IsolationOptionError> {
    let Some(edns) = &query.edns else {
        return Ok(IsolationId::shared());
    };
    let options = edns.options().get_all(EdnsCode::Unknown(ISOLATION_OPTION));
    match options.as_slice() {
        [] => Ok(IsolationId::shared()),
        [EdnsOption::Unknown(_, id)] => IsolationId::parse(id).map_err(|_| IsolationOptionError),
        _ => Err(IsolationOptionError),
    }
}

/// The EDNS0 option code of extended DNS errors (RFC 8914 section 2).
const EXTENDED_ERROR: u16 = 15;

/// The first info-code for private use (RFC 8914 section 5.2).
const PRIVATE: u16 = 49_152;

/// The longest EXTRA-TEXT that is written, in bytes.
const MAX_TEXT: usize = 512;

/// Why a reply is negative or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The label below `bit` can never be registered.
    InvalidName,
    /// The name below `bit` has no value.
    Absent(Absence),
    /// The value is no domain object.
    NoDomainObject,
    /// The name is at or below a zone cut.
    Delegated,
    /// The answer depends on too many names.
    TooManyImports,
    /// The answer takes more work than one query may.
    TooComplicated,
    /// A name that the answer depends on could not be fetched for now.
    Failed(FetchError),
}

impl From<NoObject> for Cause {
    fn from(none: NoObject) -> Self {
        match none {
            NoObject::Absent(absence) => Self::Absent(absence),
            NoObject::NoDomainObject => Self::NoDomainObject,
        }
    }
}

impl Cause {
    /// Every cause; those of failures with the given message.
    fn all(message: &str) -> impl Iterator<Item = Self> + use<'_> {
        let absences = Absence::ALL.into_iter().map(Self::Absent);
        let failures = FetchErrorKind::ALL.into_iter();
        let failures = failures.map(move |kind| Self::Failed(FetchError::new(kind, message)));
        let others = [
            Self::InvalidName,
            Self::NoDomainObject,
            Self::Delegated,
            Self::TooManyImports,
            Self::TooComplicated,
        ];
        absences.chain(failures).chain(others)
    }

    fn code(&self) -> u16 {
        PRIVATE
            + match self {
                Self::InvalidName => 0,
                Self::Absent(Absence::NeverExisted) => 1,
                Self::Absent(Absence::Expired) => 2,
                Self::Absent(Absence::NotYetSafe) => 3,
                Self::Absent(Absence::AboutToExpire) => 4,
                Self::NoDomainObject => 5,
                Self::Delegated => 6,
                Self::TooManyImports => 7,
                Self::TooComplicated => 8,
                Self::Failed(failure) => match failure.kind {
                    FetchErrorKind::Unreachable => 16,
                    FetchErrorKind::NotReady => 17,
                    FetchErrorKind::Overloaded => 18,
                    FetchErrorKind::Credentials => 19,
                    FetchErrorKind::BadReply => 20,
                    FetchErrorKind::File => 21,
                    FetchErrorKind::TimedOut => 22,
                    FetchErrorKind::Internal => 23,
                    FetchErrorKind::Unsuitable => 24,
                    FetchErrorKind::NameServers => 25,
                },
            }
    }

    /// The cause in words that continue "the name …".
    pub fn words(&self) -> &str {
        match self {
            Self::InvalidName => "has a label that cannot be registered",
            Self::Absent(absence) => absence.words(),
            Self::NoDomainObject => "has a value that is no domain object",
            Self::Delegated => "is delegated to name servers",
            Self::TooManyImports => "has too many imports",
            Self::TooComplicated => "is too complicated to resolve",
            Self::Failed(failure) => &failure.message,
        }
    }

    /// The option that carries the cause.
    pub(super) fn to_option(&self) -> EdnsOption {
        let mut data = self.code().to_be_bytes().to_vec();
        data.extend(self.words().bytes().take(MAX_TEXT));
        EdnsOption::Unknown(EXTENDED_ERROR, data)
    }

    /// The cause that a reply carries.
    pub fn of(reply: &Message) -> Option<Self> {
        let options = reply.edns.as_ref()?.options();
        let Some(EdnsOption::Unknown(_, data)) = options.get(EdnsCode::Unknown(EXTENDED_ERROR))
        else {
            return None;
        };
        let (code, text) = data.split_first_chunk::<2>()?;
        let code = u16::from_be_bytes(*code);
        Self::all(&String::from_utf8_lossy(text)).find(|cause| cause.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use hickory_proto::op::{MessageType, OpCode};

    use super::*;

    #[test]
    fn every_cause_has_its_own_code_and_survives_a_message() {
        let codes: HashSet<_> = Cause::all("").map(|cause| cause.code()).collect();
        assert_eq!(codes.len(), Cause::all("").count());
        for cause in Cause::all("why") {
            let mut reply = Message::new(0, MessageType::Response, OpCode::Query);
            let mut edns = Edns::new();
            edns.options_mut().insert(cause.to_option());
            reply.edns = Some(edns);
            assert_eq!(Cause::of(&reply), Some(cause));
        }
    }
}
