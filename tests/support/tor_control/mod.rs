//! A stand-in for Tor's control port. It behaves as Tor does as far as a controller
//! can see, and tests open streams as Tor's clients would. `tests/tor/stand_in.rs`
//! holds it against recordings of Tor.
//!
//! A controller of ours must never attach a name of ours to an exit, redirect
//! anything to one, or attach a stream before it has read the reply to its
//! REDIRECTSTREAM: a test in which one does fails, whatever else it asserts.

pub mod auth;
mod commands;
mod handle;
mod model;
pub mod recording;
mod server;
pub mod stream;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::PATIENCE;
use auth::Auth;
pub use handle::{Handle, Rival};
use model::Model;
pub use model::When;
use server::Listening;
use stream::Stream;

/// The state, and what is notified of each change.
type Shared = Arc<(Mutex<Model>, Condvar)>;

pub struct ModelTor {
    address: String,
    shared: Shared,
    listening: Mutex<Option<Listening>>,
}

impl ModelTor {
    /// On a port of its own, open to everybody.
    pub fn start() -> Self {
        Self::with(Auth::default())
    }

    pub fn with(auth: Auth) -> Self {
        Self::at(&format!("{}:0", loopback()), auth)
    }

    /// At an address, `HOST:PORT` or `unix:PATH`.
    pub fn at(address: &str, auth: Auth) -> Self {
        let tor = Self::absent(address, auth);
        let listening = Listening::start(address, &tor.shared);
        let address = listening.address.clone();
        *tor.listening.lock().unwrap() = Some(listening);
        Self {
            address,
            shared: Arc::clone(&tor.shared),
            listening: Mutex::new(tor.listening.lock().unwrap().take()),
        }
    }

    /// Not started yet.
    pub fn absent(address: &str, auth: Auth) -> Self {
        Self {
            address: address.to_owned(),
            shared: Arc::new((Mutex::new(Model::new(auth)), Condvar::new())),
            listening: Mutex::new(None),
        }
    }

    /// Where controllers connect.
    pub fn address(&self) -> &str {
        &self.address
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.shared.0.lock().unwrap()
    }

    /// Changes something. Events that this causes are written.
    fn turn<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        let mut model = self.model();
        let result = change(&mut model);
        model.flush();
        drop(model);
        self.shared.1.notify_all();
        result
    }

    // Life.

    /// Tor ends, and its control port with it.
    pub fn stop(&self) {
        if let Some(listening) = self.listening.lock().unwrap().take() {
            listening.stop();
        }
    }

    /// Tor starts, for the first time or again.
    pub fn start_again(&self) {
        let mut listening = self.listening.lock().unwrap();
        *listening = Some(Listening::start(&self.address, &self.shared));
    }

    /// What a reload of Tor's configuration does.
    pub fn reload(&self) {
        self.turn(Model::reload);
    }

    pub fn newnym(&self) {
        self.turn(Model::newnym);
    }

    /// Who may control it from now on.
    pub fn set_auth(&self, auth: Auth) {
        self.model().auth = auth;
    }

    /// Hosts with this suffix have virtual addresses from now on.
    pub fn automap(&self, suffixes: &str) {
        self.turn(|model| {
            model.set(model::AUTOMAP, "1");
            model.set(model::SUFFIXES, suffixes);
        });
    }

    /// What it writes arrives byte by byte from the next connection on.
    pub fn dribbles(&self) {
        self.model().dribbles = true;
    }

    /// As somebody else's controller does.
    pub fn set_leave(&self, value: &str) {
        self.turn(|model| model.set(model::LEAVE, value));
    }

    // Streams.

    /// A client opens a stream.
    pub fn stream(&self, stream: Stream) -> Handle {
        self.opened(None, stream)
    }

    /// A stream with an id that a recording gave it.
    pub fn stream_with_id(&self, id: u64, stream: Stream) -> Handle {
        self.opened(Some(id), stream)
    }

    /// Several streams in one turn.
    pub fn streams(&self, streams: impl IntoIterator<Item = Stream>) -> Vec<Handle> {
        let places = self.turn(|model| {
            let open = |stream| model.open(None, stream);
            streams.into_iter().map(open).collect::<Vec<_>>()
        });
        places.into_iter().map(|at| self.handle(at)).collect()
    }

    fn opened(&self, id: Option<u64>, stream: Stream) -> Handle {
        let at = self.turn(|model| model.open(id, stream));
        self.handle(at)
    }

    fn handle(&self, at: usize) -> Handle {
        Handle {
            id: self.model().streams[at].id,
            at,
            shared: Arc::clone(&self.shared),
        }
    }

    /// A stream that opened behind a command.
    #[track_caller]
    pub fn opened_behind(&self, id: u64) -> Handle {
        self.wait("stream behind a command", |model| {
            model.streams.iter().any(|one| one.id == id)
        });
        let at = self.model().streams.iter().rposition(|one| one.id == id);
        self.handle(at.unwrap())
    }

    /// The id that the next stream will have.
    pub fn next_id(&self) -> u64 {
        self.model().next
    }

    // What happens to controllers.

    /// The next command that begins with these words meets this.
    pub fn when(&self, command: &str, when: When) {
        self.model().script.push_back((command.to_owned(), when));
    }

    /// What was to happen before commands that have not come does not happen.
    pub fn forget_plans(&self) {
        self.model().script.clear();
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.turn(|model| model.paused = false);
    }

    /// Writes bytes to everybody who wants events of streams, as if they were such.
    pub fn raw_event(&self, bytes: impl AsRef<[u8]>) {
        self.turn(|model| model.event("STREAM", bytes.as_ref()));
    }

    // What controllers did.

    /// All commands of all controllers, in order, without marks.
    pub fn commands(&self) -> Vec<String> {
        let model = self.model();
        let all = model.commands.iter();
        all.filter(|(_, line)| !is_mark(line))
            .map(|(_, line)| line.clone())
            .collect()
    }

    /// What was done to a stream, such as `ATTACH 0`, in order. A question whether it
    /// exists, an ATTACHSTREAM to a circuit that does not, does nothing.
    pub fn done_to(&self, id: u64) -> Vec<String> {
        let id = id.to_string();
        let mut done = Vec::new();
        for line in self.commands() {
            let words: Vec<_> = line.split(' ').collect();
            let [command, named, rest @ ..] = &words[..] else {
                continue;
            };
            let rest = rest.join(" ");
            if let Some(verb) = command.strip_suffix("STREAM")
                && *named == id
                && (verb != "ATTACH" || rest == "0")
            {
                done.push(format!("{verb} {rest}"));
            }
        }
        // Said again because somebody forged the reply.
        done.dedup();
        done
    }

    /// How many batches of commands were sent: each ends with a mark.
    pub fn batches(&self) -> usize {
        let model = self.model();
        let commands = model.commands.iter();
        commands.filter(|(_, line)| is_mark(line)).count()
    }

    /// How many commands begin with these words.
    pub fn count(&self, begin: &str) -> usize {
        let commands = self.commands();
        commands.iter().filter(|one| one.starts_with(begin)).count()
    }

    /// Waits until so many commands begin with these words.
    #[track_caller]
    pub fn wait_for(&self, begin: &str, count: usize) {
        self.wait(&format!("{count} {begin}"), |model| {
            let commands = model.commands.iter();
            commands.filter(|(_, one)| one.starts_with(begin)).count() >= count
        });
    }

    /// Waits until a controller has taken over: its events are on, the option is set,
    /// and it has read which streams exist.
    #[track_caller]
    pub fn wait_until_taken_over(&self) {
        self.wait("controller that takes over", |model| {
            model.leaves_streams()
                && model.controllers.iter().any(|one| {
                    let mut commands = one.commands.iter();
                    one.open && commands.any(|line| line.starts_with("GETINFO stream-status"))
                })
        });
    }

    /// Waits until a command has met [`When::Pauses`].
    #[track_caller]
    pub fn wait_until_paused(&self) {
        self.wait("pause", |model| model.paused);
    }

    /// Waits until the option has this value.
    #[track_caller]
    pub fn wait_until_left(&self, leaves: bool) {
        self.wait(&format!("streams left unattached: {leaves}"), |model| {
            model.leaves_streams() == leaves
        });
    }

    pub fn leaves_streams(&self) -> bool {
        self.model().leaves_streams()
    }

    /// Waits until so many controllers are connected.
    #[track_caller]
    pub fn wait_for_controllers(&self, count: usize) {
        self.wait(&format!("{count} controllers"), |model| {
            model.controllers.iter().filter(|one| one.open).count() == count
        });
    }

    /// Waits until so many connections were made in all.
    #[track_caller]
    pub fn wait_for_connections(&self, count: usize) {
        self.wait(&format!("{count} connections"), |model| {
            model.controllers.len() >= count
        });
    }

    #[track_caller]
    fn wait(&self, what: &str, fits: impl Fn(&Model) -> bool) {
        let left = wait(&self.shared, PATIENCE, |model| fits(model).then_some(()));
        if left.is_none() {
            panic!("no {what}; {}", self.story());
        }
    }

    /// Forgets what no controller of ours may do.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.model().violations)
    }

    /// Everything that went to and fro, for the message of a failing test.
    pub fn story(&self) -> String {
        self.model().story()
    }
}

/// A loopback address for each stand-in, where there are so many: the guardian of a
/// door that was killed may try for a while, and must not find another test's Tor.
fn loopback() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(1);

    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST;
    }
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let process = u8::try_from(std::process::id() % 250).unwrap() + 1;
    Ipv4Addr::new(127, process, high, low)
}

/// Whether a command is one that can only fail, by which a controller knows where it
/// is in what Tor writes.
fn is_mark(line: &str) -> bool {
    let key = line.strip_prefix("GETINFO ");
    key.is_some_and(|key| key.len() >= 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn wait<T>(shared: &Shared, patience: Duration, found: impl Fn(&Model) -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    let mut model = shared.0.lock().unwrap();
    loop {
        if let Some(found) = found(&model) {
            return Some(found);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        model = shared.1.wait_timeout(model, left).unwrap().0;
    }
}

impl Drop for ModelTor {
    fn drop(&mut self) {
        // A failed test may have poisoned the locks.
        let listening = self.listening.lock();
        if let Some(listening) = listening.ok().and_then(|mut it| it.take()) {
            listening.stop();
        }
        if std::thread::panicking() {
            return;
        }
        let model = self.model();
        let violations = &model.violations;
        assert!(
            violations.is_empty(),
            "{violations:#?} in {}",
            model.story()
        );
    }
}
