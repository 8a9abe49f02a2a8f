//! Servers that are in no list, but that listed ones name.
//!
//! Anybody can have ElectrumX servers name a server, so that being named says
//! little. A server that one listed operator names counts as a server of that
//! operator. Those that two operators name count as *one* further operator, all
//! of them together: two of them may be one person's. Only listed servers are
//! asked, so that nobody gets further by naming others who name others.
//!
//! A server could name another one to each user, and so know a user again, and
//! which isolation ids are one user's. So none is used that was not named on two
//! connections: who names servers cannot tell that both are one user's.
//!
//! The file `discovered` begins with a line that names its version. Each other
//! line has a server's host and port, `s` with TLS or `t` without, and the
//! operators that name it, each with the connections on which it did.

mod judge;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use rand::Rng;
use rand::seq::SliceRandom;

pub(super) use self::judge::{Place, place};
use super::reply::Named;
use super::servers::{Server, Standing};
use super::state::{ELSEWHERE, State};

/// The file in the state directory, and its first line.
const FILE: &str = "discovered";
const VERSION: &str = "ncprop279 discovered 1";

/// The most that is read of the file, in bytes.
const MAX_FILE: usize = 1 << 18;

/// Servers that one operator may name. Others are passed over, so that none can
/// crowd out what another names.
const MOST: usize = 24;

/// The operator of servers that two listed operators name.
pub(super) const DISCOVERED: &str = "a discovered server";

/// Operators that must name a server so that it need not be one of theirs.
const WITNESSES: usize = 2;

/// Connections on which a server must have been named. More are not counted.
const CONFIRMED: u8 = 2;

/// The operators that name a server, and on how many connections in a row each
/// did.
type Witnesses = BTreeMap<String, u8>;

/// The servers that listed ones name.
#[derive(Debug)]
pub(super) struct Discovery {
    /// `None` if servers are not discovered.
    rules: Option<Rules>,
    /// Also those that were named once so far.
    found: BTreeMap<Place, Witnesses>,
    /// Where changes are written; `None` to keep them in memory.
    state: Option<Arc<State>>,
}

/// What servers are judged by.
#[derive(Debug)]
struct Rules {
    listed: Vec<Server>,
    is_proxied: bool,
}

/// What came of learning.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    /// Whether other servers are known than before, or are others' now.
    pub is_news: bool,
    /// Why that could not be written.
    pub trouble: Option<String>,
}

impl Discovery {
    /// Servers are not discovered.
    pub fn off() -> Self {
        Self {
            rules: None,
            found: BTreeMap::new(),
            state: None,
        }
    }

    /// Discovers servers besides the listed ones, beginning with those in the
    /// state directory, and returns a warning if these cannot be used. Changes
    /// are written only if the directory is this process's to write to.
    pub fn open(
        listed: &[Server],
        is_proxied: bool,
        state: Option<Arc<State>>,
    ) -> (Self, Option<String>) {
        let rules = Rules {
            listed: listed.to_vec(),
            is_proxied,
        };
        let loaded = state.as_deref().map_or(Ok(BTreeMap::new()), |state| {
            load(state).map(|lines| rules.accept(lines))
        });
        let (found, warning) = match loaded {
            Ok(found) => (found, None),
            Err(warning) => (BTreeMap::new(), Some(warning)),
        };
        let discovery = Self {
            rules: Some(rules),
            found,
            state: state.filter(|state| state.is_writable()),
        };
        (discovery, warning)
    }

    /// Whether a server is to be asked which others it knows.
    pub fn asks(&self, server: &Server) -> bool {
        self.rules.is_some() && server.standing != Standing::Discovered
    }

    /// The servers that may be used, each with the operator whose word theirs is.
    pub fn servers(&self) -> Vec<Server> {
        let Some(rules) = &self.rules else {
            return Vec::new();
        };
        let found = self.found.iter();
        let known = found.filter(|(_, by)| by.values().sum::<u8>() >= CONFIRMED);
        let servers = known.filter_map(|(place, by)| {
            Some(Server {
                address: place.address(),
                is_tls: place.is_tls,
                operator: rules.operator(place, by)?.to_owned(),
                standing: Standing::Discovered,
                identity: None,
            })
        });
        servers.collect()
    }

    /// Takes note of the servers that a listed one names, in the place of what
    /// its operator named before. To be called once for each connection. One
    /// that names none of use changes nothing: it may just have been started.
    pub fn learn(&mut self, by: &Server, named: &[Named], random: &mut impl Rng) -> Learned {
        let Some(rules) = self.rules.as_ref().filter(|_| self.asks(by)) else {
            return Learned::default();
        };
        let mut places: Vec<Place> = named
            .iter()
            .filter_map(|named| judge::place(named, rules.is_proxied))
            .filter(|place| !rules.lists(place))
            .collect();
        places.shuffle(random);
        // What is known already goes first, so that it shows who else names it.
        places.sort_by_key(|place| !self.found.contains_key(place));
        let mut hosts = BTreeSet::new();
        places.retain(|place| hosts.len() < MOST && hosts.insert(place.host.clone()));
        if places.is_empty() {
            return Learned::default();
        }
        let before = self.found.clone();
        for (place, witnesses) in &mut self.found {
            if !places.contains(place) {
                witnesses.remove(&by.operator);
            }
        }
        for place in places {
            let witnesses = self.found.entry(place).or_default();
            let sightings = witnesses.entry(by.operator.clone()).or_default();
            *sightings = sightings.saturating_add(1).min(CONFIRMED);
        }
        self.found.retain(|_, witnesses| !witnesses.is_empty());
        if self.found == before {
            return Learned::default();
        }
        let written = self.state.as_ref().map_or(Ok(()), |state| {
            state.replace(FILE, text(&self.found).as_bytes())
        });
        let trouble = written
            .err()
            .map(|error| format!("the file {FILE} cannot be written: {error}; {ELSEWHERE}"));
        Learned {
            is_news: true,
            trouble,
        }
    }
}

impl Rules {
    /// Whether the list has a server at that place.
    fn lists(&self, place: &Place) -> bool {
        self.listed.iter().any(|server| {
            server.address.port == place.port
                && server.address.host.eq_ignore_ascii_case(&place.host)
        })
    }

    /// The operator that a server is counted as.
    fn operator<'a>(&'a self, place: &Place, by: &'a Witnesses) -> Option<&'a str> {
        let (only, _) = by.first_key_value()?;
        if by.len() < WITNESSES {
            return Some(only);
        }
        Some(self.kin(place).unwrap_or(DISCOVERED))
    }

    /// The listed operator that a server most likely is, by its domain or its
    /// network. That counts only where two operators have named it: on the word
    /// of one, that one could make servers of another.
    fn kin(&self, place: &Place) -> Option<&str> {
        let own = family(&place.host);
        let same = |host: &str| own.is_some() && family(host) == own;
        self.listed
            .iter()
            .find(|server| same(&server.address.host) || same(&server.operator))
            .map(|server| server.operator.as_str())
    }

    /// What of a file may be used.
    fn accept(&self, lines: Vec<Line>) -> BTreeMap<Place, Witnesses> {
        let listed: BTreeSet<&str> = self
            .listed
            .iter()
            .map(|one| one.operator.as_str())
            .collect();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut found = BTreeMap::new();
        for line in lines {
            let Some(place) = judge::kept(&line.address, line.is_tls, self.is_proxied)
                .filter(|place| !self.lists(place))
            else {
                continue;
            };
            let mut witnesses = line.witnesses;
            witnesses.retain(|operator, _| {
                let count = counts.entry(operator.clone()).or_default();
                *count += 1;
                listed.contains(operator.as_str()) && *count <= MOST
            });
            if !witnesses.is_empty() {
                found.insert(place, witnesses);
            }
        }
        found
    }
}

/// What servers of one owner often have in common: the last two labels of their
/// names, or the network of their addresses. None for onion services.
fn family(host: &str) -> Option<String> {
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, _] = address.octets();
            Some(format!("{a}.{b}.{c}"))
        }
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, ..] = address.segments();
            Some(format!("{a:x}:{b:x}:{c:x}"))
        }
        Err(_) => {
            let host = host.to_ascii_lowercase();
            let mut labels = host.rsplit('.');
            let (last, before) = (labels.next()?, labels.next()?);
            (last != "onion").then(|| format!("{before}.{last}"))
        }
    }
}

/// A line of the file.
struct Line {
    address: String,
    is_tls: bool,
    witnesses: Witnesses,
}

fn load(state: &State) -> Result<Vec<Line>, String> {
    let bytes = state
        .read(FILE, MAX_FILE)
        .map_err(|error| format!("the file {FILE} cannot be read: {error}"))?;
    let Some(bytes) = bytes else {
        return Ok(Vec::new());
    };
    parse(&bytes).ok_or_else(|| {
        format!("the file {FILE} is damaged and is not used; servers are discovered anew")
    })
}

fn parse(bytes: &[u8]) -> Option<Vec<Line>> {
    let mut lines = str::from_utf8(bytes).ok()?.lines();
    (lines.next()? == VERSION).then_some(())?;
    lines.map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    let address = words.next()?.to_owned();
    let is_tls = match words.next()? {
        "s" => true,
        "t" => false,
        _ => return None,
    };
    let witnesses = words.next()?.split(',').map(|word| {
        let (operator, sightings) = word.split_once('=')?;
        let sightings = sightings.parse().ok()?;
        (1..=CONFIRMED)
            .contains(&sightings)
            .then(|| (operator.to_owned(), sightings))
    });
    let witnesses = witnesses.collect::<Option<_>>()?;
    words.next().is_none().then_some(Line {
        address,
        is_tls,
        witnesses,
    })
}

/// The file's contents.
fn text(found: &BTreeMap<Place, Witnesses>) -> String {
    let lines = found.iter().map(|(place, witnesses)| {
        let letter = if place.is_tls { 's' } else { 't' };
        let witnesses = witnesses.iter();
        let witnesses: Vec<_> = witnesses
            .map(|(operator, sightings)| format!("{operator}={sightings}"))
            .collect();
        format!("{} {letter} {}\n", place.address(), witnesses.join(","))
    });
    format!("{VERSION}\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests;
