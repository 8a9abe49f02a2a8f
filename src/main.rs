//! The `ncprop279` command.

fn main() {}
