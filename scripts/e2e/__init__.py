"""The parts of `scripts/e2e-tor`."""
