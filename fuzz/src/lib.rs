//! What the fuzz targets check. `tests/fuzz_corpus.rs` runs the same functions
//! over the inputs that were kept.

mod checks;

pub use checks::*;
