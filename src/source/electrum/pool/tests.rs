//! The plan with a clock of its own, and the threads with servers that are
//! made up.
