//! Electrum servers as a source.

mod alone;
mod answers;
mod check;
mod checkpoint;
mod discovery;
mod headers;
mod hostile;
mod isolation;
mod lies;
mod odd;
mod sampling;
mod server;
mod state;
mod tls;
