//! What the fuzz targets check. `tests/engine/fuzz_corpus.rs` runs the same functions
//! over the inputs that were kept.

mod checks;

pub use checks::*;
