//! The `ncprop279` command.

use std::process::ExitCode;

use ncprop279::config::{self, Outcome};
use ncprop279::{commands, platform};

fn main() -> ExitCode {
    platform::bound_arenas();
    let arguments = std::env::args_os().skip(1);
    match config::read(arguments, &|name| std::env::var_os(name)) {
        Ok(Outcome::Run(invocation)) => commands::run(*invocation),
        Ok(Outcome::Print(text)) => commands::print(&text),
        Err(error) => commands::refuse(&error),
    }
}
