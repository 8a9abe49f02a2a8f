"""The parts of `scripts/e2e-tor`."""


class CannotStart(Exception):
    """Something that the run cannot do without did not start."""
