//! The project itself: architecture, documents, packaging.

mod architecture;
mod assets;
mod contrib;
mod documents;
mod security_policy;
