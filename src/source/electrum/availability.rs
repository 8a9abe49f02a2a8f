//! Which servers answered on connections for headers, and which did not.
//!
//! Most public servers are dead, and a start that remembers nothing would try them
//! all again. Only connections for headers count: the file does not show which
//! servers were asked about names.
//!
//! The first line of the file `servers` names its version. Each other line has a
//! server's host and port, when it last answered (the hour, in seconds of Unix
//! time, or 0), how often it has failed since then, and until when it is not
//! tried.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use rand::{Rng, RngExt};

use super::state_dir::{MAX_SERVER_KEY, StateDir, is_server_key, server_key};
use crate::config::settings::NodeAddress;
use crate::source::transport::lock;

/// The file in the state directory, and its first line.
const FILE: &str = "servers";
const VERSION: &str = "ncprop279 servers 1";

/// The most that is read of the file, in bytes, and what is said of a damaged one.
const MAX_FILE: usize = 1 << 18;
const DAMAGED: &str = "is damaged and is not used; servers are tried as at the first start";

/// Servers that are remembered.
const MAX_SERVERS: usize = 500;

/// How long others are preferred to a server after its first failure, in seconds.
/// The time doubles with each failure, up to the longest, and is then drawn between
/// half and one and a half of that.
const FIRST_BACK_OFF: u64 = 60;
const LONGEST_BACK_OFF: u64 = 24 * HOUR;

/// A server that has not answered for longer than this does not go first.
const MAX_AGE: u64 = 30 * 24 * HOUR;

const HOUR: u64 = 3600;

/// Which servers have answered.
#[derive(Debug)]
pub(super) struct Availability {
    /// By host and port.
    records: Mutex<BTreeMap<String, Record>>,
    /// Servers that answered in an earlier run and have not been tried in this
    /// one.
    answered_before: Mutex<BTreeSet<String>>,
    /// Where changes are written; `None` to keep them in memory.
    state: Option<Arc<StateDir>>,
}

/// What is known of one server, in seconds of Unix time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Record {
    /// The hour in which it last answered, or 0.
    answered: u64,
    /// How often it has failed since.
    failures: u32,
    /// It backs off until then.
    backed_off_until: u64,
}

impl Availability {
    /// Reads the file in the state directory, if there is one. Changes are written
    /// only if the directory is this process's to write to.
    pub fn open(state: Option<Arc<StateDir>>, now: u64) -> Self {
        let records = state.as_deref().map_or_else(BTreeMap::new, |state| {
            state.load(FILE, MAX_FILE, parse, DAMAGED)
        });
        let is_fresh =
            |record: &Record| record.failures == 0 && record.answered.saturating_add(MAX_AGE) > now;
        let answered_before = records.iter().filter(|(_, record)| is_fresh(record));
        Self {
            answered_before: Mutex::new(
                answered_before.map(|(server, _)| server.clone()).collect(),
            ),
            records: Mutex::new(records),
            state: state.filter(|state| state.is_writable()),
        }
    }

    /// Whether a server answered in an earlier run. That counts until it is
    /// tried in this one: the later changes of operators are at random.
    pub fn answered_before(&self, server: &NodeAddress) -> bool {
        lock(&self.answered_before).contains(&server_key(server))
    }

    /// Whether a server is to be left alone for now, if there are others.
    pub fn is_backed_off(&self, server: &NodeAddress, now: u64) -> bool {
        lock(&self.records)
            .get(&server_key(server))
            .is_some_and(|record| {
                // A clock that was ahead must not let it back off for ever.
                let longest = now.saturating_add(LONGEST_BACK_OFF * 3 / 2);
                (now..=longest).contains(&record.backed_off_until) && record.backed_off_until != now
            })
    }

    /// Notes that a connection for headers came about.
    pub fn answered(&self, server: &NodeAddress, now: u64) {
        self.note(server, |record| {
            *record = Record {
                answered: now / HOUR * HOUR,
                ..Record::default()
            };
        });
    }

    /// Notes that none did.
    pub fn failed(&self, server: &NodeAddress, now: u64, random: &mut impl Rng) {
        self.note(server, |record| {
            record.failures = record.failures.saturating_add(1);
            let doublings = record.failures.saturating_sub(1).min(16);
            let mean = (FIRST_BACK_OFF << doublings).min(LONGEST_BACK_OFF);
            let back_off = random.random_range(mean / 2..mean * 3 / 2);
            record.backed_off_until = now.saturating_add(back_off);
        });
    }

    fn note(&self, server: &NodeAddress, change: impl FnOnce(&mut Record)) {
        let server = server_key(server);
        lock(&self.answered_before).remove(&server);
        let mut records = lock(&self.records);
        let known = records.get(&server).copied();
        if server.len() > MAX_SERVER_KEY {
            return;
        }
        if known.is_none() && records.len() >= MAX_SERVERS {
            // Servers that are discovered come and go.
            let oldest = records.iter().min_by_key(|(_, record)| record.answered);
            if let Some(oldest) = oldest.map(|(server, _)| server.clone()) {
                records.remove(&oldest);
            }
        }
        let mut record = known.unwrap_or_default();
        change(&mut record);
        if known == Some(record) {
            return;
        }
        records.insert(server, record);
        if let Some(state) = &self.state {
            // Under the lock, so that a newer file is not replaced by an older one.
            state.keep(FILE, &text(&records));
        }
    }
}

fn parse(bytes: &[u8]) -> Option<BTreeMap<String, Record>> {
    let mut lines = str::from_utf8(bytes).ok()?.lines();
    (lines.next()? == VERSION).then_some(())?;
    let records: BTreeMap<_, _> = lines.map(parse_line).collect::<Option<_>>()?;
    (records.len() <= MAX_SERVERS).then_some(records)
}

fn parse_line(line: &str) -> Option<(String, Record)> {
    let mut words = line.split(' ');
    let server = words.next()?;
    let record = Record {
        answered: words.next()?.parse().ok()?,
        failures: words.next()?.parse().ok()?,
        backed_off_until: words.next()?.parse().ok()?,
    };
    (is_server_key(server) && words.next().is_none()).then(|| (server.to_owned(), record))
}

/// The file's contents.
fn text(records: &BTreeMap<String, Record>) -> String {
    let mut text = format!("{VERSION}\n");
    for (server, record) in records {
        let Record {
            answered,
            failures,
            backed_off_until,
        } = record;
        // Writing to a string does not fail.
        let _ = writeln!(text, "{server} {answered} {failures} {backed_off_until}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::source::electrum::testing::{address as server, state_dir};

    const NOW: u64 = 1_790_000_000;

    /// What a directory holds, which causes no warning.
    fn open(directory: &Path, now: u64) -> Availability {
        let (state, warnings) = state_dir(directory);
        let availability = Availability::open(state, now);
        assert_eq!(*lock(&warnings), [""; 0]);
        availability
    }

    fn random() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    #[test]
    fn back_off_doubles_up_to_a_day_and_ends_with_an_answer() {
        let availability = Availability::open(None, NOW);
        let (one, mut random) = (server("one.example"), random());
        let mut whole = FIRST_BACK_OFF;
        for failures in 1..=100 {
            availability.failed(&one, NOW, &mut random);
            let record = lock(&availability.records)["one.example:50002"];
            let back_off = record.backed_off_until - NOW;
            assert_eq!(record.failures, failures);
            assert!(
                (whole / 2..whole * 3 / 2).contains(&back_off),
                "{whole}: {back_off}"
            );
            assert!(availability.is_backed_off(&one, NOW));
            assert!(!availability.is_backed_off(&one, record.backed_off_until));
            whole = (whole * 2).min(LONGEST_BACK_OFF);
        }
        // The clock was ahead.
        assert!(!availability.is_backed_off(&one, NOW - 2 * LONGEST_BACK_OFF));
        assert!(!availability.is_backed_off(&server("other.example"), NOW));
        availability.answered(&one, NOW);
        assert!(!availability.is_backed_off(&one, NOW));
    }

    #[test]
    fn what_answered_goes_first_at_the_next_start_until_it_is_tried() {
        let directory = tempfile::tempdir().unwrap();
        let [one, bad, other] = ["One.example", "bad.example", "2001:db8::1"].map(server);
        let availability = open(directory.path(), NOW);
        for server in [&one, &bad, &other] {
            availability.answered(server, NOW);
            assert!(!availability.answered_before(server), "not in this run");
        }
        availability.failed(&bad, NOW, &mut random());
        drop(availability);
        let availability = open(directory.path(), NOW + 1);
        assert!(
            availability.answered_before(&one)
                && availability.answered_before(&other)
                && !availability.answered_before(&bad)
        );
        assert!(
            availability.is_backed_off(&bad, NOW + 1) && !availability.is_backed_off(&one, NOW + 1)
        );
        availability.answered(&one, NOW);
        availability.failed(&other, NOW, &mut random());
        assert!(!availability.answered_before(&one) && !availability.answered_before(&other));
        drop(availability);
        assert!(!open(directory.path(), NOW + MAX_AGE).answered_before(&one));
    }

    #[test]
    fn the_file_is_private_and_has_servers_and_hours_only() {
        let directory = tempfile::tempdir().unwrap();
        let availability = open(directory.path(), NOW);
        availability.answered(&server("one.example"), NOW);
        let file = directory.path().join(FILE);
        let text = std::fs::read_to_string(&file).unwrap();
        let hour = NOW / HOUR * HOUR;
        assert_eq!(text, format!("{VERSION}\none.example:50002 {hour} 0 0\n"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_file_is_not_used_and_is_written_anew() {
        let answered_before = "good.example:50002 1 0 0";
        for text in [
            String::new(),
            "ncprop279 servers 2\n".to_owned(),
            format!("{VERSION}\n{answered_before}\n\n"),
            format!("{VERSION}\n{answered_before} 1\n"),
            format!("{VERSION}\ngood.example:50002 1 0\n"),
            format!("{VERSION}\ngood.example 1 0 0\n"),
            format!("{VERSION}\n:50002 1 0 0\n"),
            format!("{VERSION}\ngood.example:70000 1 0 0\n"),
            format!("{VERSION}\ngood.example:50002 -1 0 0\n"),
            format!("{VERSION}\ngood.example:50002 1 4294967296 0\n"),
            format!("{VERSION}\n{}:1 1 0 0\n", "x".repeat(MAX_SERVER_KEY)),
            "x".repeat(MAX_FILE + 1),
        ] {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join(FILE), &text).unwrap();
            let (state, warnings) = state_dir(directory.path());
            let availability = Availability::open(state, 2);
            assert!(lock(&warnings)[0].contains("the file servers"), "{text}");
            assert!(!availability.answered_before(&server("good.example")));
            availability.answered(&server("new.example"), NOW);
            drop(availability);
            assert!(open(directory.path(), NOW).answered_before(&server("new.example")));
        }
    }

    #[test]
    fn the_number_of_servers_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let lines: Vec<_> = (0..MAX_SERVERS)
            .map(|number| format!("s{number}.example:50002 1 0 0"))
            .collect();
        let text = format!("{VERSION}\n{}\n", lines.join("\n"));
        std::fs::write(directory.path().join(FILE), text).unwrap();
        let availability = open(directory.path(), 2);
        availability.answered(&server("s0.example"), NOW);
        availability.answered(&server("new.example"), NOW);
        let records = lock(&availability.records);
        assert_eq!(records.len(), MAX_SERVERS);
        assert!(records["s0.example:50002"].answered > 1);
        // One of those that answered longest ago gives way.
        assert!(records["new.example:50002"].answered > 1);
    }
}
