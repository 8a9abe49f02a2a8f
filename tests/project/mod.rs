//! The project itself: architecture, documents, packaging.

mod architecture;
mod assets;
mod contrib;
mod security_policy;
mod troubleshooting;
