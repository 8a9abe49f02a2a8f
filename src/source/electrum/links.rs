//! Connections for lookups, as the pool sees them.

use std::sync::Arc;
use std::time::Instant;

use super::pool::{Dial, Link};
use super::servers::Server;
use super::wire::{Connection, DialError, Dialer, Purpose};
use crate::snapshot::{FailureKind, FetchFailure};
use crate::source::Cancel;

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
    ) -> Result<Connection, FetchFailure> {
        self.0
            .dial(server, Purpose::Lookups, deadline, cancel)
            .map_err(|error| FetchFailure::new(kind(&error), error.to_string()))
    }
}

fn kind(error: &DialError) -> FailureKind {
    match error {
        DialError::TimedOut { .. } | DialError::Cancelled { .. } => FailureKind::TimedOut,
        DialError::NotElectrum { .. } | DialError::Version { .. } => FailureKind::BadReply,
        _ => FailureKind::Unreachable,
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
