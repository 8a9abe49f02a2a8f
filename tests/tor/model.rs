//! The door between a small model of Tor, a victim and an attacker: random
//! interleavings of what they do, from seeds that are always the same.
//!
//! The model and what must hold are those of the fuzz target `tor_control`
//! (`fuzz/src/checks/tor_control`). A failing seed is printed; set `MODEL_SEED` to
//! run it alone, or `MODEL_INTERLEAVINGS` to run more of them.

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::engine::fuzz_corpus::checks::tor_control;

const INTERLEAVINGS: u64 = 5_000;

fn run(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut choices = vec![0; random.random_range(40..400)];
    random.fill_bytes(&mut choices);
    tor_control(&choices);
}

#[test]
fn every_interleaving_leaves_the_victim_alone() {
    if let Ok(seed) = std::env::var("MODEL_SEED") {
        run(seed.parse().unwrap());
        return;
    }
    let interleavings = std::env::var("MODEL_INTERLEAVINGS");
    let interleavings: u64 = interleavings.map_or(INTERLEAVINGS, |count| count.parse().unwrap());
    for seed in 0..interleavings {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "MODEL_SEED={seed}");
    }
}
