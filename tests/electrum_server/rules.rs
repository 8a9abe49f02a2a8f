//! The rules of merged mining, written down a second time.
