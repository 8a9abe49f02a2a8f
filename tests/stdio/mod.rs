//! The door on stdin and stdout, through the real binary.

mod address_space;
mod answers;
mod before_init;
mod concurrency;
mod defects_with_node;
mod hostile_scheduler;
mod isolation;
mod kept_answers;
mod learned;
mod logging;
mod panics;
mod protocol;
mod protocol_end;
mod smoke;
mod stale_clock;
mod unread_output;
mod upstream_defects;
mod upstream_drop_in;
