//! Servers behind a proxy, under names of their own.
