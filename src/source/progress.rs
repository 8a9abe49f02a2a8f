//! How far a source is with what lookups have to wait for.

/// What is being done before names can be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Servers are looked for; counted are operators.
    Searching,
    /// Block headers are fetched; counted are headers.
    Fetching,
    /// A sample of the proofs of work is fetched and verified; counted are
    /// proofs.
    Proving,
    /// Chains are compared; counted are operators.
    Comparing,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// How many are done of what the stage counts.
    pub done: u64,
    /// How many there are; 0 if that is not known.
    pub total: u64,
    /// Bytes that have come in since the source was started.
    pub bytes: u64,
    /// Bytes that later stages are expected to bring.
    pub later: u64,
}
