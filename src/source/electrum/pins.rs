//! The public keys of servers whose certificates no authority has signed.
//!
//! A key is pinned once two connections saw it, each on a circuit of its own: an
//! attacker in between would have to be in both places. Only connections for
//! headers learn keys, so that the file does not show which servers were asked
//! about names.
//!
//! The file `pins` has one line for each server: host and port, the SHA-256 of the
//! SubjectPublicKeyInfo in hexadecimal, and how often it was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use data_encoding::HEXLOWER;

use super::state_dir::{MAX_SERVER_KEY, StateDir, is_server_key, server_key};
use crate::config::settings::NodeAddress;
use crate::source::transport::lock;
use crate::source::transport::tls::KeyHash;

/// The sightings after which a key counts. More are not counted.
const CONFIRMED: u8 = 2;

/// Servers whose keys are kept. The bundled list has under fifty.
const MAX_SERVERS: usize = 1000;

/// Servers beside those whose keys are remembered in this process only.
const MAX_PASSING: usize = 300;

/// The most that is read of the file, in bytes.
const MAX_FILE: usize = 1 << 20;

/// The file in the state directory.
const FILE: &str = "pins";

/// The public keys of servers, as far as they are known.
#[derive(Debug)]
pub(super) struct Pins {
    /// By host and port.
    known: Mutex<BTreeMap<String, Pin>>,
    /// Servers for which an authority vouched, by host and port.
    vouched: Mutex<BTreeSet<String>>,
    /// Where changes are written; `None` to keep them in memory.
    state: Option<Arc<StateDir>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pin {
    key: KeyHash,
    sightings: u8,
    /// Whether it is written to the file.
    is_kept: bool,
}

impl Pins {
    /// Reads the file `pins` in the state directory, if there is one. Changes are
    /// written only if the directory is this process's to write to.
    pub fn open(state: Option<Arc<StateDir>>) -> Self {
        Self {
            known: Mutex::new(state.as_deref().map(load).unwrap_or_default()),
            vouched: Mutex::default(),
            state: state.filter(|state| state.is_writable()),
        }
    }

    /// The key that a server must show, if it is known well enough.
    pub fn confirmed(&self, server: &NodeAddress) -> Option<KeyHash> {
        lock(&self.known)
            .get(&server_key(server))
            .filter(|pin| pin.sightings >= CONFIRMED)
            .map(|pin| pin.key)
    }

    /// Whether a server can prove who it is: by its pin, or because an authority
    /// vouched for it in this process.
    pub fn is_known(&self, server: &NodeAddress) -> bool {
        self.confirmed(server).is_some() || lock(&self.vouched).contains(&server_key(server))
    }

    /// Takes note that an authority vouched for the certificate that a header
    /// connection saw. It is shown again on each connection, so nothing is
    /// written.
    pub fn vouch(&self, server: &NodeAddress) {
        let mut vouched = lock(&self.vouched);
        if vouched.len() < MAX_SERVERS {
            vouched.insert(server_key(server));
        }
    }

    /// Takes note that a header connection saw this key. To be called once for
    /// each connection. A key that is not yet confirmed gives way to another.
    ///
    /// Without `is_kept` it is remembered in this process only: servers that
    /// are discovered come and go, and must not fill the file.
    pub fn sight(&self, server: &NodeAddress, key: KeyHash, is_kept: bool) {
        let mut known = lock(&self.known);
        let server = server_key(server);
        let sightings = match known.get(&server) {
            Some(pin) if pin.sightings >= CONFIRMED => return,
            Some(pin) if pin.key == key => pin.sightings.saturating_add(1),
            Some(_) => 1,
            None => {
                let same = known.values().filter(|pin| pin.is_kept == is_kept);
                let most = if is_kept { MAX_SERVERS } else { MAX_PASSING };
                if same.count() >= most || server.len() > MAX_SERVER_KEY {
                    return;
                }
                1
            }
        };
        let is_kept = is_kept || known.get(&server).is_some_and(|pin| pin.is_kept);
        let pin = Pin {
            key,
            sightings,
            is_kept,
        };
        known.insert(server, pin);
        if let Some(state) = self.state.as_ref().filter(|_| is_kept) {
            // Under the lock, so that a newer file is not replaced by an older one.
            state.keep(FILE, &text(&known));
        }
    }
}

/// Reads the file, without lines that are no pins.
fn load(state: &StateDir) -> BTreeMap<String, Pin> {
    let mut known = BTreeMap::new();
    let text = state.load(FILE, MAX_FILE, |bytes| Some(bytes.to_vec()), "");
    let mut skipped = 0_usize;
    for line in text.split(|byte| *byte == b'\n') {
        match parse(line) {
            Some((server, pin)) if known.len() < MAX_SERVERS => {
                known.insert(server, pin);
            }
            None if line.is_empty() => {}
            _ => skipped += 1,
        }
    }
    if skipped > 0 {
        state.warn(format_args!(
            "{skipped} lines of the file {FILE} are no pins and were skipped"
        ));
    }
    known
}

fn parse(line: &[u8]) -> Option<(String, Pin)> {
    let line = str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    let (server, key, sightings) = (words.next()?, words.next()?, words.next()?);
    let key = HEXLOWER.decode(key.as_bytes()).ok()?.try_into().ok()?;
    let sightings = sightings.parse().ok().filter(|count| *count > 0)?;
    let pin = Pin {
        key,
        sightings,
        is_kept: true,
    };
    (is_server_key(server) && words.next().is_none()).then(|| (server.to_owned(), pin))
}

/// The file's contents.
fn text(known: &BTreeMap<String, Pin>) -> String {
    let mut text = String::new();
    for (server, pin) in known.iter().filter(|(_, pin)| pin.is_kept) {
        let Pin { key, sightings, .. } = pin;
        // Writing to a string does not fail.
        let _ = writeln!(text, "{server} {} {sightings}", HEXLOWER.encode(key));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::source::electrum::testing::{address as server, state_dir};

    const A: KeyHash = [0xaa; 32];
    const B: KeyHash = [0xbb; 32];

    /// The pins of a directory that no other process has.
    fn open(directory: &Path) -> Pins {
        let (state, warnings) = state_dir(directory);
        let pins = Pins::open(state);
        assert_eq!(*lock(&warnings), [""; 0]);
        pins
    }

    #[test]
    fn a_key_counts_after_two_sightings() {
        let pins = Pins::open(None);
        let (one, other) = (server("one.example"), server("2001:db8::1"));
        pins.sight(&one, A, true);
        assert_eq!(pins.confirmed(&one), None);
        // Another key starts over.
        pins.sight(&one, B, true);
        pins.sight(&other, B, true);
        assert_eq!(pins.confirmed(&one), None);
        pins.sight(&one, B, true);
        assert_eq!(pins.confirmed(&one), Some(B));
        assert_eq!(pins.confirmed(&other), None);
        // What is confirmed stays.
        pins.sight(&one, A, true);
        pins.sight(&one, A, true);
        assert_eq!(pins.confirmed(&one), Some(B));
        assert_eq!(pins.confirmed(&server("ONE.example")), Some(B));
    }

    #[test]
    fn pins_outlive_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (server("One.example"), server("2001:db8::1"));
        let pins = open(directory.path());
        pins.sight(&one, A, true);
        pins.sight(&other, B, true);
        pins.sight(&other, B, true);
        drop(pins);
        let pins = open(directory.path());
        assert_eq!(pins.confirmed(&other), Some(B));
        assert_eq!(pins.confirmed(&one), None);
        // The sighting of the first run counts.
        pins.sight(&one, A, true);
        drop(pins);
        assert_eq!(open(directory.path()).confirmed(&one), Some(A));
        let text = std::fs::read_to_string(directory.path().join("pins")).unwrap();
        let (a, b) = ("aa".repeat(32), "bb".repeat(32));
        assert_eq!(
            text,
            format!("[2001:db8::1]:50002 {b} 2\none.example:50002 {a} 2\n")
        );
        let names: Vec<_> = directory.path().read_dir().unwrap().collect();
        assert_eq!(names.len(), 2, "and the lock: {names:?}");
    }

    #[test]
    fn bad_lines_are_skipped_with_a_warning() {
        let directory = tempfile::tempdir().unwrap();
        let (a, long) = ("aa".repeat(32), "x".repeat(300));
        let lines = [
            format!("good.example:50002 {a} 2"),
            String::new(),
            format!("{a} 2"),
            format!("bad.example {a} 2"),
            format!("bad.example:70000 {a} 2"),
            format!(":50002 {a} 2"),
            format!("{long}:50002 {a} 2"),
            format!("bad.example:50002 {} 2", &a[1..]),
            format!("bad.example:50002 {}zz 2", &a[2..]),
            format!("bad.example:50002 {a} 0"),
            format!("bad.example:50002 {a} 300"),
            format!("bad.example:50002 {a} 2 x"),
            format!("bad.example:50002 {a}"),
            format!("b\u{e4}d.example:50002 {a} 2"),
            "\0".to_owned(),
        ];
        let file = directory.path().join("pins");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let (state, warnings) = state_dir(directory.path());
        let pins = Pins::open(state);
        assert_eq!(
            *lock(&warnings),
            ["warning: 13 lines of the file pins are no pins and were skipped"]
        );
        assert_eq!(pins.confirmed(&server("good.example")), Some(A));
        assert_eq!(lock(&pins.known).len(), 1);
    }

    #[test]
    fn the_number_of_pins_is_bounded() {
        let pins = Pins::open(None);
        for number in 0..2 * MAX_SERVERS {
            pins.sight(&server(&format!("s{number}.example")), A, true);
        }
        pins.sight(&server(&"x".repeat(MAX_SERVER_KEY)), A, true);
        assert_eq!(lock(&pins.known).len(), MAX_SERVERS);
        // Those that are there go on.
        pins.sight(&server("s0.example"), A, true);
        assert_eq!(pins.confirmed(&server("s0.example")), Some(A));
    }

    #[test]
    fn keys_of_discovered_servers_take_no_room_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let pins = open(directory.path());
        for number in 0..2 * MAX_SERVERS {
            pins.sight(&server(&format!("d{number}.example")), A, false);
        }
        pins.sight(&server("d0.example"), A, false);
        assert_eq!(pins.confirmed(&server("d0.example")), Some(A));
        assert_eq!(lock(&pins.known).len(), MAX_PASSING);
        pins.sight(&server("one.example"), B, true);
        pins.sight(&server("one.example"), B, false);
        drop(pins);
        let pins = open(directory.path());
        assert_eq!(lock(&pins.known).len(), 1);
        assert_eq!(pins.confirmed(&server("one.example")), Some(B));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_reported_and_does_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let gone = directory.path().join("gone");
        let (state, warnings) = state_dir(&gone);
        let pins = Pins::open(state);
        std::fs::remove_dir_all(&gone).unwrap();
        pins.sight(&server("a.example"), A, true);
        let warnings = lock(&warnings);
        assert!(warnings[0].contains("pins cannot be written") && warnings.len() == 1);
        drop(warnings);
        pins.sight(&server("a.example"), A, true);
        assert_eq!(pins.confirmed(&server("a.example")), Some(A));
    }
}
