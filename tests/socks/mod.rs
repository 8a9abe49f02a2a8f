//! The SOCKS door through the real binary (`spec/socks.md`).

mod clients;
mod hostile;
mod isolation;
mod limits;
mod names;
mod process;
mod requests;
mod streams;

/// An onion service that Tor accepts, and the value of a name that leads there.
const ONION: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion";

/// The value of a name that is an onion service.
fn onion_value() -> String {
    format!(r#"{{"tor":"{ONION}"}}"#)
}
