//! Nodes as a source: dialects, failures, credentials, proxies.

mod credentials;
mod dialects;
mod failures;
mod hostile_proxy;
mod proxy;
mod source;
