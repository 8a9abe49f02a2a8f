"""The parts of scripts/network: a chain, scripted servers, and a slow proxy."""
