//! A scripted node.
