//! Doors that stay open until the process is stopped.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use thiserror::Error;

use super::terminal::complain;
use crate::config::settings::{ServeSettings, Settings};
use crate::door::socks::{self, SocksDoor};
use crate::door::tor::{self, TorDoor};
use crate::log::stderr::Stderr;
use crate::log::{Level, Log};
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
    let (upstreams, _) = super::upstreams(settings, &log);
    upstreams.source.start();
    let scheduler = Scheduler::new(upstreams, Limits::with(settings), log.clone(), timekeeper);
    // Lookups end with it, so it lives as long as the doors.
    let scheduler = Arc::new(scheduler);
    let naming = Arc::new(Naming::new(
        serve.plugins.clone(),
        settings.timeout,
        settings.only_onion,
        &log,
    ));
    let doors = Doors::open(serve, &scheduler, &naming, &notices, &log);
    let doors = match doors {
        Ok(doors) => doors,
        Err(error) => {
            naming.close();
            notices.line(&error.to_string());
            notices.flush(LAST_WORDS);
            return ExitCode::FAILURE;
        }
    };
    // The first signal ends the wait.
    let _ = signals.forever().next();
    drop(doors);
    naming.close();
    notices.flush(LAST_WORDS);
    ExitCode::SUCCESS
}

/// The doors that are open. Dropping them closes them.
struct Doors {
    _socks: Option<SocksDoor>,
    _tor: Option<TorDoor>,
}

/// Why a door cannot be opened.
#[derive(Debug, Error)]
enum OpenError {
    #[error(transparent)]
    Socks(#[from] socks::OpenError),
    #[error(transparent)]
    Tor(#[from] tor::OpenError),
}

impl Doors {
    fn open(
        serve: &ServeSettings,
        scheduler: &Arc<Scheduler>,
        naming: &Arc<Naming>,
        notices: &Arc<Stderr>,
        log: &Log,
    ) -> Result<Self, OpenError> {
        let mut doors = Self {
            _socks: None,
            _tor: None,
        };
        if !serve.socks.is_empty() {
            let options = socks::Options {
                listeners: serve.socks.clone(),
                tor: serve.tor.clone(),
            };
            let door = SocksDoor::open(options, scheduler, naming, log)?;
            for address in door.addresses() {
                notices.line(&format!(
                    "listening for SOCKS and HTTP CONNECT on {address}; connections go to Tor at {}",
                    serve.tor
                ));
            }
            doors._socks = Some(door);
        }
        if !serve.control.is_empty() {
            let notices = Arc::clone(notices);
            let options = tor::Options {
                control: serve.control.clone(),
                password: serve.control_password.clone(),
                plugins: serve.plugins.clone(),
                say: Box::new(move |line| notices.line(line)),
            };
            doors._tor = Some(TorDoor::open(options, scheduler, naming, log)?);
        }
        Ok(doors)
    }
}
