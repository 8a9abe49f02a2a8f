//! Doors that stay open until the process is stopped.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::terminal::complain;
use crate::config::settings::Settings;
use crate::door::socks::{Options, SocksDoor};
use crate::log::Level;
use crate::naming::Naming;
use crate::scheduler::{Limits, Scheduler, Timekeeper};

/// How long the last lines on stderr may take before the process ends.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Opens the doors and serves until SIGTERM or SIGINT, which end open streams
/// too.
pub fn run(settings: &Settings, warnings: &[String], level: Level) -> ExitCode {
    let Some(serve) = &settings.serve else {
        complain("there is no door to open; please report this");
        return ExitCode::FAILURE;
    };
    // Before any other thread, so that the signals come to this one.
    let mut signals = match Signals::new([SIGTERM, SIGINT]) {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("signals are not handled: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let timekeeper = match Timekeeper::start() {
        Ok(timekeeper) => timekeeper,
        Err(error) => {
            complain(&format!(
                "no thread can be started ({error}); raise the limits on processes and memory"
            ));
            return ExitCode::FAILURE;
        }
    };
    let (notices, log) = super::background_log(settings, level);
    warnings.iter().for_each(|warning| log.warn(warning));
    log.info(format_args!("names are looked up in {}", settings.source));
    let (source, _) = super::source(settings, log.clone());
    source.start();
    let scheduler = Scheduler::new(source, Limits::with(settings), log.clone(), timekeeper);
    let options = Options {
        listeners: serve.socks.clone(),
        tor: serve.tor.clone(),
    };
    let naming = Naming::new(Vec::new(), settings.timeout, settings.only_onion, &log);
    let naming = Arc::new(naming);
    let door = match SocksDoor::open(options, &scheduler, &naming, &log) {
        Ok(door) => door,
        Err(error) => {
            notices.line(&error.to_string());
            notices.flush(LAST_WORDS);
            return ExitCode::FAILURE;
        }
    };
    for address in door.addresses() {
        notices.line(&format!(
            "listening for SOCKS and HTTP CONNECT on {address}; connections go to Tor at {}",
            serve.tor
        ));
    }
    // The first signal ends the wait.
    let _ = signals.forever().next();
    drop(door);
    notices.flush(LAST_WORDS);
    ExitCode::SUCCESS
}
