"""The parts of `scripts/regtest`."""
