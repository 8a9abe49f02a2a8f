//! Values from public Electrum servers, verified by proof of work.

mod pins;
mod servers;
mod wire;
