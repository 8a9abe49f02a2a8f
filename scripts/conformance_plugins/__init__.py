"""A small correct plugin and wrong ones, to test the conformance kit with."""
