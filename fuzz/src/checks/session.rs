//! A whole session: lines of a client in, answers out.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::net::IpAddr;

use ncprop279::address::is_public;
use ncprop279::config::settings::MissingIsolation;
use ncprop279::door::stdio::line::{Line, LineReader, MAX_LINE};
use ncprop279::door::stdio::request::QueryId;
use ncprop279::door::stdio::session::{Action, Options, QueryNumber, Session};
use ncprop279::isolation::IsolationId;
use ncprop279::onion::OnionAddress;
use ncprop279::policy::{CachedAnswer, Query, Question, Step, Verdict, resolve};
use ncprop279::snapshot::{
    Absence, Entry, FetchError, FetchErrorKind, Fetched, Key, NameKey, Snapshot,
};

/// The longest line that may be written, with its LF: a keyword, an id, a
/// status and a message in quotes.
const MAX_ANSWER: usize = 9 + 22 + 2 + 402 + 1;

/// Any bytes as what a client writes, up to the first pair of 0xFF; behind it
/// are values as the target `value` has them. The first byte chooses settings,
/// the second how the input is cut, the third in which order queries are
/// answered.
///
/// Every usable `RESOLVE` ends with exactly one answer or confirmation of its
/// withdrawal, none comes unasked, and each is one line that a client can read
/// and Tor accepts.
pub fn session(data: &[u8]) {
    let (client, values) = super::divide(data);
    let Some(([settings, size, order], client)) = client.split_first_chunk::<3>() else {
        return;
    };
    let mut world = World {
        session: Session::new(Options {
            only_onion: settings % 2 == 1,
            missing_isolation: match settings / 2 % 3 {
                0 => MissingIsolation::Shared,
                1 => MissingIsolation::Unique,
                _ => MissingIsolation::Refuse,
            },
        }),
        names: super::engine::names(values),
        open: BTreeMap::new(),
        waiting: VecDeque::new(),
    };
    let mut lines = LineReader::new(Cut(client, usize::from(*size) + 1));
    let mut order = *order;
    let mut count = 0;
    while let Some(line) = lines.next_line().expect("memory can be read") {
        count += 1;
        world.line(line);
        for _ in 0..order % 3 {
            world.answer(order % 2 == 0);
        }
        order = order.rotate_left(1);
    }
    let expected = client.split(|byte| *byte == b'\n').count();
    let unended = client.last().is_some_and(|byte| *byte != b'\n');
    assert_eq!(count, expected - usize::from(!unended), "lines were lost");
    while world.answer(true) {}
    assert!(world.open.is_empty(), "{} unanswered", world.open.len());
    assert_eq!(world.session.unanswered(), 0);
}

/// An input that comes in pieces.
struct Cut<'a>(&'a [u8], usize);

impl Read for Cut<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(into.len());
        self.0.read(&mut into[..count])
    }
}

/// A session, what stands behind it, and what its client believes.
struct World {
    session: Session,
    names: Vec<(NameKey, Fetched)>,
    /// The unanswered ids by their value, as they were written.
    open: BTreeMap<i128, String>,
    waiting: VecDeque<(QueryNumber, Query, IsolationId)>,
}

impl World {
    fn line(&mut self, line: Line<'_>) {
        let mut canceled = None;
        if let Line::Complete(bytes) = line {
            assert!(bytes.len() <= MAX_LINE && !bytes.contains(&b'\n'));
            match request(bytes) {
                Some((Keyword::Resolve, id, text)) => drop(self.open.entry(id).or_insert(text)),
                Some((Keyword::Cancel, id, text)) => {
                    self.open.remove(&id);
                    canceled = Some(text);
                }
                None => {}
            }
        }
        let notice = |text: &str| assert!(super::is_printable(text), "{text}");
        // Nothing is kept: the resolver is what is tried here.
        let kept = |_: QueryNumber, _: &[u8], _: &Question| None::<&CachedAnswer>;
        match self.session.line(line, kept, notice) {
            Some(Action::Resolve {
                number,
                query,
                isolation,
            }) => {
                self.waiting.push_back((number, query, isolation));
            }
            // An answer that is on its way must not come: it is left waiting.
            Some(Action::Cancel(_)) | None => {}
        }
        if let Some(id) = canceled {
            let written = std::mem::take(&mut self.session.out);
            assert_eq!(written, format!("CANCELED {id}\n").as_bytes());
        }
        self.read();
    }

    /// Answers the oldest or newest query that waits; false if none does.
    fn answer(&mut self, is_oldest: bool) -> bool {
        let next = match is_oldest {
            true => self.waiting.pop_front(),
            false => self.waiting.pop_back(),
        };
        let Some((number, query, isolation)) = next else {
            return false;
        };
        let verdict = self.verdict(&query, isolation);
        self.session.answer(number, &verdict);
        self.read();
        true
    }

    fn verdict(&self, query: &Query, isolation: IsolationId) -> Verdict {
        let mut snapshot = Snapshot::new(isolation);
        loop {
            match resolve(query, &snapshot) {
                Step::Done(verdict) => return verdict,
                Step::Need(keys) => {
                    for key in keys.iter().filter_map(Key::name).cloned() {
                        assert!(snapshot.get(&key).is_none(), "asked for what is known");
                        let entry = self.entry(&key);
                        snapshot.insert(key, entry);
                    }
                }
            }
        }
    }

    fn entry(&self, key: &NameKey) -> Entry {
        if let Some((_, fetched)) = self.names.iter().find(|(name, _)| name == key) {
            return Entry::Known(fetched.clone());
        }
        match key.as_str() {
            "d/late" => Entry::Failed(FetchError::new(FetchErrorKind::TimedOut, "too late")),
            "d/fail" => Entry::Failed(FetchError::new(FetchErrorKind::BadReply, "\"\n\\\u{e4}")),
            "d/old" => Entry::Known(Fetched::Absent(Absence::Expired)),
            _ => Entry::Known(Fetched::Absent(Absence::NeverExisted)),
        }
    }

    /// Reads what was written, as a client does.
    fn read(&mut self) {
        let written = std::mem::take(&mut self.session.out);
        for line in written.split_inclusive(|byte| *byte == b'\n') {
            assert!(line.len() <= MAX_ANSWER, "{} bytes", line.len());
            let text = std::str::from_utf8(line).expect("ASCII");
            let text = text.strip_suffix('\n').expect("a whole line");
            assert!(super::is_printable(text), "{text:?}");
            let words: Vec<_> = text.splitn(4, ' ').collect();
            let [keyword, id, status, result] = words[..] else {
                panic!("{text}");
            };
            assert_eq!(keyword, "RESOLVED");
            let value: i128 = id.parse().expect("an integer");
            assert_eq!(
                self.open.remove(&value).as_deref(),
                Some(id),
                "unasked: {text}"
            );
            match status {
                "0" => assert!(is_accepted(result), "{text}"),
                "1" | "2" | "3" | "4" => check_quoted(result),
                _ => panic!("{text}"),
            }
        }
    }
}

#[derive(PartialEq)]
enum Keyword {
    Resolve,
    Cancel,
}

/// The request in a line that must be answered, its id by value and as written.
fn request(line: &[u8]) -> Option<(Keyword, i128, String)> {
    let mut words = line
        .split(|byte| b" \t\r".contains(byte))
        .filter(|word| !word.is_empty());
    let keyword = match words.next()? {
        b"RESOLVE" => Keyword::Resolve,
        b"CANCEL" => Keyword::Cancel,
        _ => return None,
    };
    let id = words.next()?;
    let text = std::str::from_utf8(id).ok()?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_id = (1..=20).contains(&digits.len()) && digits.bytes().all(|d| d.is_ascii_digit());
    assert_eq!(is_id, QueryId::parse(id).is_ok());
    is_id.then(|| (keyword, text.parse().expect("an integer"), text.to_owned()))
}

/// Whether Tor takes a result, and may be given it.
fn is_accepted(result: &str) -> bool {
    if result.ends_with(".onion") {
        return OnionAddress::parse(result).is_ok();
    }
    if let Ok(address) = result.parse::<IpAddr>() {
        let is_internal = match address {
            IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
        };
        let is_nobodys = address.is_loopback() || address.is_unspecified();
        return !is_internal && !is_nobodys && !address.is_multicast() && is_public(address);
    }
    let labels: Vec<_> = result.split('.').collect();
    let forbidden = ["bit", "onion", "exit", "local", "localhost"];
    labels.iter().all(|label| is_label(label))
        && labels.last().is_some_and(|last| !forbidden.contains(last))
}

fn is_label(label: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=63).contains(&label.len()) && label.bytes().all(is_plain)
}

/// A message stands in quotes, and those inside have a backslash.
fn check_quoted(message: &str) {
    let inner = message
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let mut bytes = inner.expect("quotes").bytes();
    while let Some(byte) = bytes.next() {
        assert_ne!(byte, b'"', "{message}");
        if byte == b'\\' {
            match bytes.next() {
                Some(b'"' | b'\\') => {}
                Some(b'x') => assert!(bytes.by_ref().take(2).all(|d| d.is_ascii_hexdigit())),
                _ => panic!("{message}"),
            }
        }
    }
}
