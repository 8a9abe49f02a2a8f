//! What must hold, whatever the attacker does.

use std::collections::{BTreeMap, BTreeSet};

use ncprop279::isolation::IsolationId;
use ncprop279::naming::Answer;

use super::tor::{Fields, Owner, State, Stream, Tor, is_clean};

/// What becomes of a stream with a name that is ours.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Redirected(String),
    Closed(u8),
}

/// The answer to a lookup. Each name has another.
pub fn answer(name: &str) -> Answer {
    match name.to_ascii_lowercase().trim_end_matches('.') {
        "a.bit" => Answer::Onion("a-answer.onion".to_owned()),
        "b.bit" => Answer::Address([192, 0, 2, 66].into()),
        "c.bit" => Answer::Host("c-answer.example".to_owned()),
        "late.bit" => Answer::NotNow("late".to_owned()),
        "odd.bit" => Answer::Host("a\r\nQUIT".to_owned()),
        "now.bit" => Answer::Onion("now-answer.onion".to_owned()),
        "x.auto.bit" => Answer::Onion("auto-answer.onion".to_owned()),
        "evil.bit" => Answer::Onion("evil.onion".to_owned()),
        _ => Answer::NoSuchName("gone".to_owned()),
    }
}

fn verdict(name: &str, is_resolve: bool) -> Verdict {
    match answer(name) {
        Answer::Onion(_) if is_resolve => Verdict::Closed(2),
        Answer::Host(host) if !is_clean(host.as_bytes()) => Verdict::Closed(1),
        Answer::Onion(host) | Answer::Host(host) => Verdict::Redirected(host),
        Answer::Address(address) => Verdict::Redirected(address.to_string()),
        Answer::NoSuchName(_) => Verdict::Closed(2),
        Answer::NotNow(_) => Verdict::Closed(7),
    }
}

fn is_ours(host: &[u8]) -> bool {
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(b".").unwrap_or(&host);
    is_clean(host) && host.ends_with(b".bit")
}

/// The name of ours that a host is, or that its address was given to.
fn name_of(tor: &Tor, host: &[u8], is_resolve: bool) -> Option<String> {
    let mapped = tor.mapped(host).filter(|_| tor.has_automap && !is_resolve);
    let name = mapped.unwrap_or(host);
    is_ours(name).then(|| String::from_utf8_lossy(name).into_owned())
}

/// Whether Tor itself answers what a stream asks for.
fn is_automapped(tor: &Tor, stream: &Stream) -> bool {
    let name = stream.current.to_ascii_lowercase();
    tor.has_automap && stream.is_resolve && name.ends_with(b".auto.bit")
}

struct Record {
    host: Vec<u8>,
    port: u16,
    fields: Fields,
}

/// What was seen so far.
#[derive(Default)]
pub struct Promises {
    /// The door is leaving: names of ours are refused.
    is_leaving: bool,
    /// Lookups whose answer was given.
    pub answered: BTreeSet<u64>,
    /// The streams that were looked up under an id.
    records: BTreeMap<Vec<u8>, Vec<Record>>,
    forgotten: BTreeSet<Vec<u8>>,
}

impl Promises {
    /// A command is about to be executed.
    pub fn command(&mut self, tor: &Tor, line: &[u8]) {
        let text = std::str::from_utf8(line).expect("ASCII");
        assert!(
            line.iter().all(|byte| (b' '..=b'~').contains(byte)),
            "{text:?}"
        );
        let words: Vec<&str> = text.split(' ').collect();
        let number = |digits: &str| -> u64 {
            assert!(digits.bytes().all(|digit| digit.is_ascii_digit()), "{text}");
            digits.parse().expect("a number")
        };
        match words.as_slice() {
            ["GETINFO", "stream-status" | "address-mappings/control"] => {}
            ["GETINFO", mark] => {
                assert!(mark.len() == 16 && mark.bytes().all(|digit| digit.is_ascii_hexdigit()));
            }
            ["GETCONF", settings @ ..] => assert_eq!(settings.len(), 4),
            ["SETEVENTS", "STREAM", "SIGNAL", "CONF_CHANGED"] => {}
            ["SETCONF", "__LeaveStreamsUnattached=1"] => assert!(!self.is_leaving),
            ["SETCONF", "__LeaveStreamsUnattached=0"] => self.is_leaving = true,
            ["ATTACHSTREAM", id, "none"] => drop(number(id)),
            ["ATTACHSTREAM", id, "0"] => self.attaches(tor, number(id)),
            ["REDIRECTSTREAM", id, host] => {
                assert!(is_clean(host.as_bytes()), "{text}");
                self.redirects(tor, number(id), host);
            }
            ["CLOSESTREAM", id, reason @ ("1" | "2" | "7")] => {
                self.closes(tor, number(id), reason.parse().expect("a digit"));
            }
            _ => panic!("{text}"),
        }
    }

    /// A stream that Tor would act upon.
    fn stream(tor: &Tor, id: u64, is_attached: bool) -> Option<&Stream> {
        let stream = tor.streams.get(&id);
        let stream = stream.filter(|s| !matches!(s.state, State::Connected | State::Closed))?;
        // Such a one waits for nobody, so that attaching it does nothing.
        let is_harmless = stream.owner != Owner::Tor || is_attached;
        assert!(is_harmless, "a stream of Tor's own: {id}");
        Some(stream)
    }

    fn attaches(&self, tor: &Tor, id: u64) {
        let Some(stream) = Self::stream(tor, id, true) else {
            return;
        };
        // While it leaves it does not ask for virtual addresses.
        let name = match self.is_leaving {
            true => None,
            false => tor.mapped(&stream.current),
        };
        let is_virtual = name.is_some_and(is_ours) && !stream.is_resolve && tor.has_automap;
        let is_attached = stream.state != State::Waiting;
        let is_refused = is_ours(&stream.current) && !is_automapped(tor, stream);
        assert!(
            is_attached || !(is_refused || is_virtual),
            "a name of ours is attached: {id} {stream:?}"
        );
    }

    fn redirects(&self, tor: &Tor, id: u64, host: &str) {
        let Some(stream) =
            Self::stream(tor, id, false).filter(|stream| stream.owner == Owner::Victim)
        else {
            return;
        };
        let name = name_of(tor, &stream.host, stream.is_resolve);
        let name = name.unwrap_or_else(|| panic!("redirected: {id} {stream:?}"));
        let verdict = verdict(&name, stream.is_resolve);
        assert_eq!(
            verdict,
            Verdict::Redirected(host.to_owned()),
            "{id} {stream:?}"
        );
    }

    fn closes(&self, tor: &Tor, id: u64, reason: u8) {
        // If two items of the list differ, one of them is the attacker's.
        if self.is_leaving {
            return;
        }
        let Some(stream) =
            Self::stream(tor, id, false).filter(|stream| stream.owner == Owner::Victim)
        else {
            return;
        };
        let name = name_of(tor, &stream.host, stream.is_resolve);
        let name = name.unwrap_or_else(|| panic!("closed: {id} {stream:?}"));
        let verdict = verdict(&name, stream.is_resolve);
        assert_eq!(verdict, Verdict::Closed(reason), "{id} {stream:?}");
        assert!(
            self.answered.contains(&id),
            "closed before its answer: {id}"
        );
    }

    /// A name is looked up for a stream.
    pub fn lookup(&mut self, tor: &Tor, id: u64, name: &str, isolation: &IsolationId) {
        let stream = tor.streams.get(&id).filter(|s| s.state != State::Connected);
        let stream = stream.unwrap_or_else(|| panic!("a lookup without a stream: {id} {name}"));
        // What is said of a stream that is closed harms nobody.
        let is_harmless = stream.owner != Owner::Tor || stream.state == State::Closed;
        assert!(is_harmless, "a stream of Tor's own: {id}");
        if stream.owner == Owner::Victim && stream.state != State::Closed {
            let true_name = name_of(tor, &stream.host, stream.is_resolve);
            assert_eq!(true_name.as_deref(), Some(name), "{id} {stream:?}");
        }
        let isolation = isolation.as_str().unwrap_or_default().as_bytes().to_vec();
        assert!(!self.forgotten.contains(&isolation), "a forgotten id");
        let record = Record {
            host: stream.host.to_ascii_lowercase(),
            port: stream.port,
            fields: stream.fields.clone(),
        };
        let records = self.records.entry(isolation).or_default();
        for other in records.iter() {
            assert!(may_share(other, &record), "one id: {id} {stream:?}");
        }
        records.push(record);
    }

    /// Nothing will be looked up under an id any more.
    pub fn forget(&mut self, isolation: &IsolationId) {
        let isolation = isolation.as_str().unwrap_or_default();
        self.forgotten.insert(isolation.as_bytes().to_vec());
    }

    /// Everything has settled, and nobody disturbs it.
    pub fn end(&self, tor: &Tor) {
        for (id, stream) in &tor.streams {
            let is_victim = stream.owner == Owner::Victim;
            assert!(
                !is_victim || stream.state != State::Waiting,
                "hangs: {id} {stream:?}"
            );
        }
        assert_eq!(tor.leaves_unattached, !self.is_leaving);
    }
}

/// Whether Tor could have put a stream on a circuit after another one: every
/// field by which it is isolated is the same.
fn may_share(earlier: &Record, later: &Record) -> bool {
    let (one, other) = (&earlier.fields, &later.fields);
    !later.fields.by.is_empty()
        && later.fields.by.split(',').all(|field| match field {
            "SOCKS_USERNAME" => one.user == other.user,
            "SOCKS_PASSWORD" => true,
            "CLIENTADDR" => one.client == other.client,
            "CLIENT_PROTOCOL" => one.protocol == other.protocol,
            "NYM_EPOCH" => one.epoch == other.epoch,
            "SESSION_GROUP" => one.group == other.group,
            "DESTADDR" => earlier.host == later.host,
            "DESTPORT" => earlier.port == later.port,
            _ => false,
        })
}
