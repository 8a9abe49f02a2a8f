//! Why a reply is negative or failed, as an extended DNS error (RFC 8914) with
//! info-codes of the private range. `spec/edns0-isolation.md` has the table.

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};

use crate::snapshot::{Absence, FailureKind, FetchFailure};

/// The EDNS0 option code of extended DNS errors (RFC 8914 section 2).
const OPTION: u16 = 15;

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
    /// The answer depends on too many names or imports.
    TooManyImports,
    /// The answer takes more work than one query may.
    TooComplicated,
    /// A name that the answer depends on could not be fetched for now.
    Failed(FetchFailure),
}

/// The first code of the private range (RFC 8914 section 5.2).
const PRIVATE: u16 = 49_152;

impl Cause {
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
                    FailureKind::Unreachable => 16,
                    FailureKind::NotReady => 17,
                    FailureKind::Overloaded => 18,
                    FailureKind::Credentials => 19,
                    FailureKind::BadReply => 20,
                    FailureKind::File => 21,
                    FailureKind::TimedOut => 22,
                    FailureKind::Internal => 23,
                    FailureKind::Unsuitable => 24,
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
        EdnsOption::Unknown(OPTION, data)
    }

    /// The cause that a reply carries.
    pub fn of(reply: &Message) -> Option<Self> {
        let options = reply.edns.as_ref()?.options();
        let Some(EdnsOption::Unknown(_, data)) = options.get(EdnsCode::Unknown(OPTION)) else {
            return None;
        };
        let (code, text) = data.split_first_chunk::<2>()?;
        let failed = |kind| {
            let message = String::from_utf8_lossy(text).into_owned();
            Self::Failed(FetchFailure::new(kind, message))
        };
        Some(match u16::from_be_bytes(*code).checked_sub(PRIVATE)? {
            0 => Self::InvalidName,
            1 => Self::Absent(Absence::NeverExisted),
            2 => Self::Absent(Absence::Expired),
            3 => Self::Absent(Absence::NotYetSafe),
            4 => Self::Absent(Absence::AboutToExpire),
            5 => Self::NoDomainObject,
            6 => Self::Delegated,
            7 => Self::TooManyImports,
            8 => Self::TooComplicated,
            16 => failed(FailureKind::Unreachable),
            17 => failed(FailureKind::NotReady),
            18 => failed(FailureKind::Overloaded),
            19 => failed(FailureKind::Credentials),
            20 => failed(FailureKind::BadReply),
            21 => failed(FailureKind::File),
            22 => failed(FailureKind::TimedOut),
            23 => failed(FailureKind::Internal),
            24 => failed(FailureKind::Unsuitable),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Edns, MessageType, OpCode};

    use super::*;

    /// Each has a code of its own, from which it can be read again.
    #[test]
    fn every_cause_survives_a_message() {
        let absences = [
            Absence::NeverExisted,
            Absence::Expired,
            Absence::NotYetSafe,
            Absence::AboutToExpire,
        ];
        let kinds = [
            FailureKind::Unreachable,
            FailureKind::NotReady,
            FailureKind::Overloaded,
            FailureKind::Credentials,
            FailureKind::BadReply,
            FailureKind::File,
            FailureKind::TimedOut,
            FailureKind::Internal,
            FailureKind::Unsuitable,
        ];
        let failed = kinds.map(|kind| Cause::Failed(FetchFailure::new(kind, "why")));
        let causes = absences.map(Cause::Absent).into_iter().chain(failed);
        for cause in causes.chain([
            Cause::InvalidName,
            Cause::NoDomainObject,
            Cause::Delegated,
            Cause::TooManyImports,
            Cause::TooComplicated,
        ]) {
            let mut reply = Message::new(0, MessageType::Response, OpCode::Query);
            let mut edns = Edns::new();
            edns.options_mut().insert(cause.to_option());
            reply.edns = Some(edns);
            assert_eq!(Cause::of(&reply), Some(cause));
        }
    }
}
