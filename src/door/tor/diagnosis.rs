//! Whether a Tor could be controlled, for `check serve`. It is asked, and nothing
//! is changed.

use super::authentication::{AuthenticationError, ask};
use super::connection::{ControlError, connect};
use crate::config::settings::{ControlAddress, ProxyAddress, Secret};
use crate::source::transport::Until;
use crate::source::transport::tcp::Bounded;

/// A Tor that can be controlled.
#[derive(Debug)]
pub struct Found {
    /// Its control port.
    pub address: ProxyAddress,
    /// Whether its streams wait for a naming client already.
    pub leaves_streams: bool,
}

/// Logs in, and asks whether streams wait for a controller.
///
/// # Errors
/// The Tor cannot be controlled.
pub fn diagnose(
    control: &ControlAddress,
    password: Option<&Secret>,
    until: Until<'_>,
) -> Result<Found, ControlError> {
    let password = password.map(Secret::expose);
    let (tcp, address) = connect(control, password, until.deadline, until.cancel)?;
    let mut stream = Bounded { tcp: &tcp, until };
    // No events were asked for, so nobody can forge this reply.
    let reply = ask(&mut stream, b"GETCONF __LeaveStreamsUnattached")?;
    let leaves_streams = match reply.as_slice() {
        [only] if only == b"250 __LeaveStreamsUnattached=1" => true,
        [only] if only.starts_with(b"250 ") => false,
        _ => return Err(AuthenticationError::NotTor.into()),
    };
    Ok(Found {
        address,
        leaves_streams,
    })
}
