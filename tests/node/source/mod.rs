//! A node's RPC interface as a source of values, against scripted nodes on
//! loopback that replay what real ones answered (`tests/data/name_show.json`).

mod answers;
mod credentials;
mod dialects;
mod transport;
