"""The parts of conformance.py."""
