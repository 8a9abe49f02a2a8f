//! The plugin: a naming client on stdin and stdout, its signals, and our lines
//! on stderr.

use std::io::{self, IsTerminal, Read, Write};
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::terminal::{complain, unwritable};
use crate::config::settings::Settings;
use crate::door::stdio::request::Request;
use crate::door::stdio::response::{init_failed, init_ready};
use crate::door::stdio::{self, Streams};
use crate::log::Level;
use crate::log::stderr::Stderr;
use crate::platform::Stream;
use crate::scheduler::Timekeeper;

/// How long the last lines on stderr may take before the process ends.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Serves a naming client on stdin and stdout.
pub fn run(settings: &Settings, warnings: &[String], level: Level) -> ExitCode {
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        // Ends the process from within the handler, so that no blocked stream
        // can keep it alive.
        let always = Arc::new(AtomicBool::new(true));
        if let Err(error) = signal_hook::flag::register_conditional_shutdown(signal, 0, always) {
            complain(&format!("signal {signal} is not handled: {error}"));
        }
    }
    let (Ok(stdin), Ok(mut stdout)) = (Stream::stdin(), Stream::stdout()) else {
        complain("stdin or stdout is closed; a naming client starts this program with both open");
        return ExitCode::FAILURE;
    };
    let timekeeper = match Timekeeper::start() {
        Ok(timekeeper) => timekeeper,
        Err(error) => {
            let why = format!(
                "no thread can be started ({error}); raise the limits on processes and memory"
            );
            let mut line = Vec::new();
            init_failed(&mut line, &why);
            let _ = stdout.write_all(&line);
            complain(&why);
            return ExitCode::FAILURE;
        }
    };
    let mut ready = Vec::new();
    init_ready(&mut ready);
    if let Err(error) = stdout.write_all(&ready) {
        return unwritable(&error);
    }
    // The client is waiting for the line above; files, sockets and all other
    // threads come after it.
    let (notices, log) = super::background_log(settings, level);
    warnings.iter().for_each(|warning| log.warn(warning));
    let (upstreams, _) = super::upstreams(settings, &log);
    let hang_up = stdin.hang_up();
    let input = requests(stdin, &notices);
    let last = Arc::clone(&notices);
    let closed = move |why: std::io::Result<()>| {
        let Err(error) = why else { exit(0) };
        last.line(&format!("stdout cannot be written: {}", error.kind()));
        last.flush(LAST_WORDS);
        exit(1)
    };
    let client = Streams {
        input,
        output: stdout,
        hang_up,
        closed,
    };
    let served = stdio::serve(client, upstreams, settings, timekeeper, &log);
    if let Err(error) = served {
        notices.line(&format!("stdin cannot be read: {error}"));
    }
    notices.flush(LAST_WORDS);
    ExitCode::SUCCESS
}

/// What the client writes; a person at a terminal gets hints.
fn requests(stdin: Stream, notices: &Arc<Stderr>) -> Box<dyn Read> {
    if !std::io::stdin().is_terminal() {
        return Box::new(stdin);
    }
    notices.line(WELCOME);
    let hints = Arc::clone(notices);
    Box::new(Typed::new(stdin, move |hint| hints.line(hint)))
}

/// What to say when the plugin begins to read from a terminal.
const WELCOME: &str = "requests of a naming client are awaited on this terminal; to look a \
                           name up write RESOLVE 1 NAME, or end this with Ctrl-D and write \
                           ncprop279 resolve NAME";

/// What to say of a line that is no request.
const HINT: &str = "that line is no request and was ignored; write RESOLVE 1 NAME, or end \
                        this with Ctrl-D and see ncprop279 --help";

/// Input from a terminal, with a hint for each line that is no request. (The
/// protocol has a plugin ignore what it does not know, but a person wants to hear of it.)
struct Typed<R, H> {
    input: R,
    hint: H,
}

impl<R: Read, H: FnMut(&str)> Typed<R, H> {
    fn new(input: R, hint: H) -> Self {
        Self { input, hint }
    }
}

impl<R: Read, H: FnMut(&str)> Read for Typed<R, H> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        // A terminal gives a line for each read.
        let typed = buffer.get(..count).unwrap_or_default().trim_ascii();
        if !typed.is_empty() && Request::parse(typed) == Request::Ignored {
            (self.hint)(HINT);
        }
        Ok(count)
    }
}
