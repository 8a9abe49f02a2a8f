//! One function for each fuzz target. Each takes any bytes, and panics if
//! something that must hold does not.

mod auxpow;
mod config;
mod delegation;
mod electrum;
mod engine;
mod evidence;
mod http;
mod input;
mod names_file;
mod rpc;
mod session;
#[cfg(unix)]
mod socks;
#[cfg(unix)]
mod tor_control;

pub use auxpow::auxpow;
pub use config::config;
pub use delegation::delegation;
pub use electrum::electrum;
pub use engine::{engine, value, work};
pub use evidence::evidence;
pub use http::http;
pub use names_file::names_file;
pub use rpc::rpc;
pub use session::session;
#[cfg(unix)]
pub use socks::socks;
#[cfg(unix)]
pub use tor_control::tor_control;

/// The two parts of an input, divided by the first pair of 0xFF; the second is
/// empty if there is none.
fn divide(data: &[u8]) -> (&[u8], &[u8]) {
    match data.windows(2).position(|pair| pair == [0xff, 0xff]) {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &data[..0]),
    }
}

/// Whether text is one line of printable ASCII, as all words for a user are.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// A limit in the past: whatever would take I/O fails at once.
fn expired() -> ncprop279::source::Bounds {
    let now = std::time::Instant::now();
    ncprop279::source::Bounds {
        due: now,
        deadline: now,
        cancel: ncprop279::source::Cancel::new(),
    }
}
