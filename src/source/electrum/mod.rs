//! Values from public Electrum servers, verified by proof of work.

mod servers;
mod state;
mod store;
