//! `bit.` as a zone: from an owner name to the name key that holds it, and
//! down the value to what stands at that name.

pub mod listing;
pub mod present;

use std::collections::{BTreeSet, HashMap, HashSet};

use hickory_proto::rr::{Name, RData, RecordType};

use crate::snapshot::{Absence, NameKey, Snapshot};
use crate::value::error::ItemError;
use crate::value::items::{Level, Part, TOR, mail};
use crate::value::names::{Place, is_domain_label};
use crate::value::object::{Object, Reader, Root, Stop};
use crate::value::work::{Parsed, Work};

/// How long a record may be kept by whoever asked, in seconds.
pub const TTL: u32 = 600;

/// Steps ([`Work`]) that a question and a label on the way take.
const QUESTION_STEPS: usize = 24;
const LABEL_STEPS: usize = 4;

/// What stands at an owner name.
#[derive(Debug, Clone)]
pub enum Located {
    /// The name exists; these are its records, perhaps none. If
    /// [`TOR`] was asked, these are its onion services, if it has any.
    Node(Vec<RData>),
    /// The name is at or below a zone cut.
    Delegated(Cut),
    /// The name is below the owner of a DNAME record.
    Translated {
        /// The owner of the DNAME record.
        owner: Name,
        /// Its target.
        target: Name,
    },
    /// The registered name has no such subdomain.
    NoSubdomain,
    /// The label below `bit` can never be registered.
    InvalidName,
    /// The name below `bit` has no value.
    Absent(Absence),
    /// The name below `bit` has a value that is no domain object.
    NoDomainObject,
}

/// A zone cut and what a referral tells about it.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The owner name of the cut.
    pub owner: Name,
    /// The name servers.
    pub ns: Vec<Name>,
    /// The DS records at the cut.
    pub ds: Vec<RData>,
    /// Addresses of those name servers that are themselves below the cut.
    pub glue: Vec<(Name, RData)>,
    /// The onion services at the owner of the cut, which a delegation does not
    /// suppress.
    pub tor: Vec<RData>,
}

/// Why a question about a name cannot be answered from a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// These names are missing from the snapshot.
    Need(BTreeSet<NameKey>),
    /// It will not do, now or with this value.
    Stop(Stop),
}

/// The zone's owner name, `bit.`.
pub fn apex() -> Name {
    let mut name = Name::from_labels([b"bit".as_slice()]).unwrap_or_default();
    name.set_fqdn(true);
    name
}

/// Where an owner name below `bit` is kept: the key of its name and the labels
/// of the subdomain, outermost first. `None` if the label below `bit` is not
/// one that can be registered. The name must be in lower case.
pub fn locate_key(name: &Name) -> Option<(NameKey, Vec<String>)> {
    let mut labels = name.iter().rev().skip(1);
    let domain = std::str::from_utf8(labels.next()?).ok()?;
    if !is_domain_label(domain) {
        return None;
    }
    let key = NameKey::new(&format!("d/{domain}"))?;
    // A label that is no UTF-8 is in no `map`.
    let subdomain = labels.map(|label| String::from_utf8_lossy(label).into_owned());
    Some((key, subdomain.collect()))
}

/// The zone as far as one query has walked it.
///
/// Names that a query asks for have most of their way in common, and a hostile
/// value can make that way long; so the way is remembered.
#[derive(Debug)]
pub struct Zone<'a> {
    reader: Reader<'a>,
    /// Which items are read on the way to a name.
    way: Part,
    roots: HashMap<NameKey, Result<usize, Located>>,
    nodes: Vec<Node>,
}

/// A name in the zone that was walked to.
#[derive(Debug)]
struct Node {
    object: Object,
    place: Place,
    /// Whether a `*` in the value stands for the name's first label.
    is_wildcard: bool,
    /// Whether the way is known to lead on from here: no delegation and no
    /// translation ends it.
    is_open: bool,
    /// By label; `None` for a subdomain that does not exist.
    children: HashMap<Box<str>, Option<usize>>,
}

impl Node {
    fn new(object: Object, place: Place, is_wildcard: bool) -> Self {
        Self {
            object,
            place,
            is_wildcard,
            is_open: false,
            children: HashMap::new(),
        }
    }
}

/// What stands at an owner name, and what was met on the way there.
#[derive(Debug)]
pub struct Traced {
    /// What stands there.
    pub located: Located,
    /// The name as it is written in the value, if a `*` there stands for a
    /// label of it; without the final dot.
    pub wildcard: Option<String>,
    /// What is wrong in the items on the way.
    pub errors: Vec<ItemError>,
}

/// Like [`Zone::locate`], for people who debug a name.
///
/// # Errors
/// See [`Unanswered`].
pub fn trace(name: &Name, asked: RecordType, snapshot: &Snapshot) -> Result<Traced, Unanswered> {
    let mut parsed = Parsed::default();
    let reader = Reader::with_errors(snapshot, &mut parsed);
    let mut zone = Zone::reading(reader, Part::All);
    let located = zone.locate(name, asked)?;
    Ok(Traced {
        wildcard: match located {
            Located::NoSubdomain => None,
            _ => zone.wildcard(name),
        },
        located,
        errors: zone.reader.errors.into_vec(),
    })
}

impl<'a> Zone<'a> {
    /// The zone as a snapshot has it, for one evaluation of a query.
    pub fn new(snapshot: &'a Snapshot, parsed: &'a mut Parsed) -> Self {
        Self::reading(Reader::new(snapshot, parsed), Part::Way)
    }

    fn reading(reader: Reader<'a>, way: Part) -> Self {
        Self {
            reader,
            way,
            roots: HashMap::new(),
            nodes: Vec::new(),
        }
    }

    /// What the zone is read from.
    pub fn snapshot(&self) -> &'a Snapshot {
        self.reader.snapshot()
    }

    /// The work so far.
    pub fn work(&mut self) -> &mut Work<'a> {
        &mut self.reader.work
    }

    /// Finds what stands at an owner name below `bit.`, in lower case, for a
    /// question of the type `asked`: only what that type needs is read.
    ///
    /// The way goes from the name registered below `bit` down to the one asked
    /// for. A delegation or DNAME on the way ends it.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub fn locate(&mut self, name: &Name, asked: RecordType) -> Result<Located, Unanswered> {
        match self.walk(name, asked) {
            Ok(located) => Ok(located),
            Err(Stop::Need) => Err(Unanswered::Need(self.reader.take_needed())),
            Err(stop) => Err(Unanswered::Stop(stop)),
        }
    }

    fn walk(&mut self, name: &Name, asked: RecordType) -> Result<Located, Stop> {
        self.reader.work.take(QUESTION_STEPS);
        let Some((key, subdomain)) = locate_key(name) else {
            return Ok(Located::InvalidName);
        };
        let mut at = match self.root(name, key)? {
            Ok(root) => root,
            Err(located) => return Ok(located),
        };
        for label in &subdomain {
            if let Some(end) = self.end_of_way(at)? {
                return Ok(end);
            }
            match self.child(at, label)? {
                Some(child) => at = child,
                None => return Ok(Located::NoSubdomain),
            }
        }
        self.end(at, asked)
    }

    /// The node of a name directly below `bit`, or what is there instead.
    fn root(&mut self, name: &Name, key: NameKey) -> Result<Result<usize, Located>, Stop> {
        if let Some(root) = self.roots.get(&key) {
            return Ok(root.clone());
        }
        let place = Place::top(name.trim_to(2));
        let root = match self.reader.root(&key, place.owner())? {
            Root::Object(object) => {
                self.nodes.push(Node::new(object, place, false));
                Ok(self.nodes.len() - 1)
            }
            Root::Absent(absence) => Err(Located::Absent(absence)),
            Root::NoDomainObject => Err(Located::NoDomainObject),
        };
        self.roots.insert(key, root.clone());
        Ok(root)
    }

    /// What ends the way to the subdomains of a node, if anything does.
    fn end_of_way(&mut self, at: usize) -> Result<Option<Located>, Stop> {
        let Some(node) = self.nodes.get_mut(at).filter(|node| !node.is_open) else {
            return Ok(None);
        };
        let level = Level::read(&node.object, &node.place, self.way, &mut self.reader);
        self.reader.work.check()?;
        if level.is_delegated() {
            return self.delegated(at, level).map(Some);
        }
        if let Some(target) = level.translate {
            let owner = node.place.owner().clone();
            return Ok(Some(Located::Translated { owner, target }));
        }
        node.is_open = true;
        Ok(None)
    }

    /// What stands at a node.
    fn end(&mut self, at: usize, asked: RecordType) -> Result<Located, Stop> {
        let Some(node) = self.nodes.get(at) else {
            return Ok(Located::NoSubdomain);
        };
        let part = match self.way {
            Part::All => Part::All,
            _ => Part::Asked(asked),
        };
        let level = Level::read(&node.object, &node.place, part, &mut self.reader);
        self.reader.work.check()?;
        if level.is_delegated() {
            return self.delegated(at, level);
        }
        if asked == TOR && !level.tor.is_empty() {
            return Ok(Located::Node(level.tor));
        }
        let servers = match asked {
            RecordType::MX | RecordType::ANY if !level.is_closed() => {
                mail_servers(&node.object, &node.place, &mut self.reader)?
            }
            _ => Vec::new(),
        };
        Ok(Located::Node(level.records_with(servers)))
    }

    fn delegated(&mut self, at: usize, level: Level) -> Result<Located, Stop> {
        let Some(node) = self.nodes.get(at) else {
            return Ok(Located::NoSubdomain);
        };
        let glue = glue(&node.object, &node.place, &level.ns, &mut self.reader)?;
        Ok(Located::Delegated(Cut {
            owner: node.place.owner().clone(),
            ns: level.ns,
            ds: level.ds,
            glue,
            tor: level.tor,
        }))
    }

    /// The node of a subdomain; `None` if there is none.
    fn child(&mut self, at: usize, label: &str) -> Result<Option<usize>, Stop> {
        let Some(node) = self.nodes.get(at) else {
            return Ok(None);
        };
        if let Some(child) = node.children.get(label) {
            return Ok(*child);
        }
        let child = match node.place.child(label) {
            Ok(place) => descend(&node.object, label, &place, &mut self.reader)?
                .map(|(object, is_wildcard)| Node::new(object, place, is_wildcard)),
            Err(_) => None,
        };
        let child = child.map(|child| {
            self.nodes.push(child);
            self.nodes.len() - 1
        });
        if let Some(node) = self.nodes.get_mut(at) {
            node.children.insert(Box::from(label), child);
        }
        Ok(child)
    }

    /// A name that was walked to as it is written in its value, if any of its
    /// labels is so by a `*`.
    fn wildcard(&self, name: &Name) -> Option<String> {
        let (key, subdomain) = locate_key(name)?;
        let mut at = *self.roots.get(&key)?.as_ref().ok()?;
        let mut written = Place::top(name.trim_to(2)).owner_text();
        let mut found = false;
        for label in &subdomain {
            let Some(&Some(child)) = self.nodes.get(at)?.children.get(&**label) else {
                break;
            };
            at = child;
            let is_wildcard = self.nodes.get(at)?.is_wildcard;
            found |= is_wildcard;
            let label = if is_wildcard { "*" } else { label };
            written = format!("{label}.{written}");
        }
        found.then_some(written)
    }
}

/// The object of a subdomain: the one of that label, else the one of `*`,
/// which stands for one label; and whether it is that one. A label that exists
/// keeps the wildcard away even if nothing stands at it.
fn descend(
    object: &Object,
    label: &str,
    place: &Place,
    reader: &mut Reader<'_>,
) -> Result<Option<(Object, bool)>, Stop> {
    // The longer a name is, the longer everything takes that is done with it.
    reader
        .work
        .take(LABEL_STEPS + place.owner().iter().count() / 8);
    if let Some(branch) = object.branch(label)
        && let Some(object) = reader.merge(branch, place.owner())?
    {
        return Ok(Some((object, false)));
    }
    let Some(branch) = object.branch("*") else {
        return Ok(None);
    };
    let found = reader.merge(branch, place.owner())?;
    Ok(found.map(|object| (object, true)))
}

/// The MX records of a level, made from the mail service at `_smtp._tcp` below
/// it (IFA-0001, "MX"). Only labels that are written out count, no wildcards.
fn mail_servers(
    object: &Object,
    place: &Place,
    reader: &mut Reader<'_>,
) -> Result<Vec<RData>, Stop> {
    let errors = reader.errors.count();
    let found = mail_service(object, place, reader);
    // They are counted at `_smtp._tcp` itself.
    reader.errors.forget_after(errors);
    Ok(found?.iter().filter_map(mail).collect())
}

fn mail_service(
    object: &Object,
    place: &Place,
    reader: &mut Reader<'_>,
) -> Result<Vec<RData>, Stop> {
    let mut below: Option<(Object, Place)> = None;
    let mut records = Vec::new();
    for label in ["_tcp", "_smtp"] {
        let (object, place) = below.as_ref().map_or((object, place), |(o, p)| (o, p));
        let (Some(branch), Ok(place)) = (object.branch(label), place.child(label)) else {
            return Ok(Vec::new());
        };
        let Some(object) = reader.merge(branch, place.owner())? else {
            return Ok(Vec::new());
        };
        let level = Level::read(&object, &place, Part::Asked(RecordType::SRV), reader);
        // An alias at `_tcp` does not reach below it.
        if level.is_delegated() || level.translate.is_some() {
            return Ok(Vec::new());
        }
        records = level.records();
        below = Some((object, place));
    }
    Ok(records)
}

/// The addresses below a cut that belong to its name servers ("necessary glue
/// items" of IFA-0001).
fn glue(
    cut: &Object,
    place: &Place,
    servers: &[Name],
    reader: &mut Reader<'_>,
) -> Result<Vec<(Name, RData)>, Stop> {
    let part = match reader.errors.are_kept() {
        true => Part::All,
        false => Part::Addresses,
    };
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for server in servers {
        reader.work.take(LABEL_STEPS);
        if !place.owner().zone_of(server) || !seen.insert(server) {
            continue;
        }
        let depth = server
            .iter()
            .count()
            .saturating_sub(place.owner().iter().count());
        let labels: Vec<&[u8]> = server.iter().take(depth).collect();
        let mut below: Option<Object> = None;
        let mut at = Some(place.clone());
        for label in labels.into_iter().rev() {
            let label = String::from_utf8_lossy(label).into_owned();
            let object = below.as_ref().unwrap_or(cut);
            at = match at.take().map(|place| place.child(&label)) {
                Some(Ok(place)) => descend(object, &label, &place, reader)?.map(|(next, _)| {
                    below = Some(next);
                    place
                }),
                _ => break,
            };
        }
        if let Some(at) = at {
            let object = below.as_ref().unwrap_or(cut);
            let level = Level::read(object, &at, part, reader);
            let addresses = level
                .data
                .into_iter()
                .filter(|data| matches!(data.record_type(), RecordType::A | RecordType::AAAA));
            found.extend(addresses.map(|data| (server.clone(), data)));
        }
        reader.work.check()?;
    }
    Ok(found)
}

/// Errors and records of one whole name, as [`listing::list`] finds them.
#[derive(Debug, Default)]
pub struct Listing {
    /// Owner names and records.
    pub records: Vec<(Name, RData)>,
    /// What is wrong in the value and in those that it imports.
    pub errors: Vec<ItemError>,
}
