//! The `ncprop279` command.

use std::process::ExitCode;

use ncprop279::config::{self, Outcome};
#[cfg(unix)]
use ncprop279::door::tor::guardian;
use ncprop279::{commands, platform};

fn main() -> ExitCode {
    platform::bound_arenas();
    #[cfg(unix)]
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == guardian::WORD)
    {
        guardian::run();
        return ExitCode::SUCCESS;
    }
    let arguments = std::env::args_os().skip(1);
    match config::read(arguments, &|name| std::env::var_os(name)) {
        Ok(Outcome::Run(invocation)) => commands::run(*invocation),
        Ok(Outcome::Print(text)) => commands::print(&text),
        Err(error) => commands::refuse(&error),
    }
}
