//! Values, the authoritative engine, and the scheduler, through the library.

pub mod fuzz_corpus;
mod generate;
mod hostile;
mod model;
mod onion_items;
mod properties;
mod scripts;
mod slow_values;
mod values;
mod zone_file;
