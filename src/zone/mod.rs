//! `bit.` as a zone: from an owner name to the name key that holds it, and
//! through its value to the records at that name.

pub mod listing;

use std::collections::{HashMap, HashSet};

use hickory_proto::rr::{Name, RData, RecordType};

use crate::snapshot::{NameKey, Snapshot};
use crate::value::import::{NoObject, Reader};
use crate::value::items::{Level, Part, Server, TOR, mail};
use crate::value::names::{Place, is_domain_label};
use crate::value::object::Object;
use crate::value::work::{Parsed, Work};
use crate::value::{EvaluationError, ItemError};

/// How long a record may be cached, in seconds.
pub const TTL: u32 = 600;

/// Steps ([`Work`]) that a question takes, and those for each label of its name.
const QUESTION_STEPS: usize = 24;
const LABEL_STEPS: usize = 4;

/// What an owner name leads to.
#[derive(Debug, Clone)]
pub enum Located {
    /// The name exists. These are its records, possibly none; if the question
    /// was for [`TOR`] and the name has onion services, these instead.
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
    /// The name below `bit` has no domain object.
    NoObject(NoObject),
}

/// A zone cut, with everything that a referral contains.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The owner name of the cut.
    pub owner: Name,
    /// The name servers, at least one.
    pub ns: Vec<Server>,
    /// The DS records at the cut.
    pub ds: Vec<RData>,
    /// Whether the value has the item `ds`, even if it holds no valid record.
    pub has_ds: bool,
    /// Addresses of the name servers that are themselves below the cut.
    pub glue: Vec<(Name, RData)>,
    /// The name that the owner of the cut has at the name servers, if the value
    /// has `translate` beside them.
    pub translate: Option<Name>,
    /// The onion services at the owner of the cut; a delegation does not suppress
    /// them.
    pub tor: Vec<RData>,
}

/// The zone's owner name, `bit.`.
pub fn apex() -> Name {
    let mut name = Name::from_labels([b"bit".as_slice()]).unwrap_or_default();
    name.set_fqdn(true);
    name
}

/// The key of the name that holds an owner name below `bit`, and the labels of
/// the subdomain, outermost first. `None` if the label below `bit` cannot be
/// registered. The name must be in lower case.
pub fn locate_key(name: &Name) -> Option<(NameKey, Vec<String>)> {
    let mut labels = name.iter().rev().skip(1);
    let domain = std::str::from_utf8(labels.next()?).ok()?;
    if !is_domain_label(domain) {
        return None;
    }
    let key = NameKey::new(&format!("d/{domain}"))?;
    // No `map` has a label that is not UTF-8.
    let subdomain = labels.map(|label| String::from_utf8_lossy(label).into_owned());
    Some((key, subdomain.collect()))
}

/// The zone, as far as one query has explored it.
///
/// The owner names that a query asks for share most of their path, and a hostile
/// value can make that path expensive. So its nodes are kept.
#[derive(Debug)]
pub struct Zone<'a> {
    reader: Reader<'a>,
    /// Which items are read on the path to a name.
    path: Part,
    roots: HashMap<NameKey, Result<usize, NoObject>>,
    nodes: Vec<Node>,
}

/// An existing name in the zone.
#[derive(Debug)]
struct Node {
    object: Object,
    place: Place,
    /// Whether `*` in the value matched the name's first label.
    is_wildcard: bool,
    /// Whether subdomains are known to be in the zone: this name is neither
    /// delegated nor translated.
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

/// What an owner name leads to, and the path there.
#[derive(Debug)]
pub struct Traced {
    /// What it leads to.
    pub located: Located,
    /// The name as the value has it, without the final dot, if a `*` in it
    /// matched.
    pub wildcard: Option<String>,
    /// The errors in the items on the path.
    pub errors: Vec<ItemError>,
}

/// Like [`Zone::locate`], with details for people who debug a name.
///
/// # Errors
/// See [`EvaluationError`].
pub fn trace(
    name: &Name,
    asked: RecordType,
    snapshot: &Snapshot,
) -> Result<Traced, EvaluationError> {
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
    /// The zone in a snapshot, for one evaluation of a query.
    pub fn new(snapshot: &'a Snapshot, parsed: &'a mut Parsed) -> Self {
        Self::reading(Reader::new(snapshot, parsed), Part::Path)
    }

    fn reading(reader: Reader<'a>, path: Part) -> Self {
        Self {
            reader,
            path,
            roots: HashMap::new(),
            nodes: Vec::new(),
        }
    }

    /// The snapshot that is read.
    pub fn snapshot(&self) -> &'a Snapshot {
        self.reader.snapshot()
    }

    /// The work so far.
    pub fn work(&mut self) -> &mut Work<'a> {
        &mut self.reader.work
    }

    /// Finds what an owner name below `bit.`, in lower case, leads to. Only items
    /// that the type `asked` needs are read.
    ///
    /// The path goes from the name registered below `bit` down to the owner name,
    /// and ends early at a delegation or DNAME.
    ///
    /// # Errors
    /// See [`EvaluationError`].
    pub fn locate(&mut self, name: &Name, asked: RecordType) -> Result<Located, EvaluationError> {
        self.reader.work.take(QUESTION_STEPS);
        let Some((key, subdomain)) = locate_key(name) else {
            return Ok(Located::InvalidName);
        };
        let mut at = match self.root(name, key)? {
            Ok(root) => root,
            Err(none) => return Ok(Located::NoObject(none)),
        };
        for label in &subdomain {
            if let Some(end) = self.end_of_path(at)? {
                return Ok(end);
            }
            match self.child(at, label)? {
                Some(child) => at = child,
                None => return Ok(Located::NoSubdomain),
            }
        }
        self.end(at, asked)
    }

    /// The node of a name directly below `bit`.
    fn root(
        &mut self,
        name: &Name,
        key: NameKey,
    ) -> Result<Result<usize, NoObject>, EvaluationError> {
        if let Some(root) = self.roots.get(&key) {
            return Ok(*root);
        }
        let place = Place::top(name.trim_to(2));
        let object = self.reader.root(&key, place.owner())?;
        let root = object.map(|object| {
            self.nodes.push(Node::new(object, place, false));
            self.nodes.len() - 1
        });
        self.roots.insert(key, root);
        Ok(root)
    }

    /// What keeps the subdomains of a node out of the zone, if anything does.
    fn end_of_path(&mut self, at: usize) -> Result<Option<Located>, EvaluationError> {
        let Some(node) = self.nodes.get_mut(at).filter(|node| !node.is_open) else {
            return Ok(None);
        };
        let level = Level::read(&node.object, &node.place, self.path, &mut self.reader);
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

    /// The answer at a node.
    fn end(&mut self, at: usize, asked: RecordType) -> Result<Located, EvaluationError> {
        let Some(node) = self.nodes.get(at) else {
            return Ok(Located::NoSubdomain);
        };
        let part = match self.path {
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
            RecordType::MX | RecordType::ANY if !level.is_suppressed() => {
                mail_servers(&node.object, &node.place, &mut self.reader)?
            }
            _ => Vec::new(),
        };
        Ok(Located::Node(level.records_with(servers)))
    }

    fn delegated(&mut self, at: usize, mut level: Level) -> Result<Located, EvaluationError> {
        let Some(node) = self.nodes.get(at) else {
            return Ok(Located::NoSubdomain);
        };
        let glue = settle(&node.object, &node.place, &mut level, &mut self.reader)?;
        Ok(Located::Delegated(Cut {
            owner: node.place.owner().clone(),
            ns: level.ns,
            ds: level.ds,
            has_ds: level.has_ds,
            glue,
            translate: level.translate_at_servers,
            tor: level.tor,
        }))
    }

    /// The node of a subdomain; `None` if there is none.
    fn child(&mut self, at: usize, label: &str) -> Result<Option<usize>, EvaluationError> {
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

    /// A located name as its value has it, if a `*` in it matched.
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

/// The object of a subdomain, and whether it is the wildcard's. An object with
/// exactly this label takes precedence over `*`, even if it is empty.
fn descend(
    object: &Object,
    label: &str,
    place: &Place,
    reader: &mut Reader<'_>,
) -> Result<Option<(Object, bool)>, EvaluationError> {
    // Everything takes longer with a longer name.
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

/// The MX records of a level, derived from the mail service at `_smtp._tcp`
/// below it (IFA-0001, "MX"). Wildcards do not count.
fn mail_servers(
    object: &Object,
    place: &Place,
    reader: &mut Reader<'_>,
) -> Result<Vec<RData>, EvaluationError> {
    let errors = reader.errors.count();
    let found = mail_service(object, place, reader);
    // Errors are reported at `_smtp._tcp` itself.
    reader.errors.truncate(errors);
    Ok(found?.iter().filter_map(mail).collect())
}

fn mail_service(
    object: &Object,
    place: &Place,
    reader: &mut Reader<'_>,
) -> Result<Vec<RData>, EvaluationError> {
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

/// Decides what the names of a cut's name servers mean, and finds their glue.
fn settle(
    cut: &Object,
    place: &Place,
    level: &mut Level,
    reader: &mut Reader<'_>,
) -> Result<Vec<(Name, RData)>, EvaluationError> {
    let mut names = Vec::new();
    for server in &level.ns {
        if let Server::Name { name, absolute } = server {
            names.push(name.clone());
            names.extend(absolute.clone());
        }
    }
    let mut glue = glue(cut, place, &names, reader)?;
    for server in &mut level.ns {
        if let Server::Name { name, absolute } = server
            && let Some(absolute) = absolute.take()
            && glue.iter().all(|(owner, _)| owner != name)
        {
            *name = absolute;
        }
    }
    let servers = level.server_names();
    glue.retain(|(owner, _)| servers.contains(owner));
    Ok(glue)
}

/// The addresses of the name servers of a cut that are below it ("necessary glue
/// items" in IFA-0001).
fn glue(
    cut: &Object,
    place: &Place,
    servers: &[Name],
    reader: &mut Reader<'_>,
) -> Result<Vec<(Name, RData)>, EvaluationError> {
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
