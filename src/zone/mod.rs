//! `bit.` as a zone: from an owner name to the name key that holds it, and
//! down the value to what stands at that name.

pub mod listing;
pub mod present;

use std::collections::BTreeSet;

use hickory_proto::rr::{Name, RData, RecordType};

use crate::snapshot::{Absence, NameKey, Snapshot};
use crate::value::error::ItemError;
use crate::value::items::{Level, TOR, mail};
use crate::value::names::{Place, is_domain_label};
use crate::value::object::{Object, Reader, Root, Stop};

/// How long a record may be kept by whoever asked, in seconds.
pub const TTL: u32 = 600;

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

/// Finds what stands at an owner name below `bit.`, for a question of the
/// type `asked`: records that are made from other names' items are looked for
/// only if they are asked for.
///
/// The way goes from the name registered below `bit` down to the one asked
/// for. A delegation or DNAME on the way ends it.
///
/// # Errors
/// See [`Unanswered`].
pub fn locate(name: &Name, asked: RecordType, snapshot: &Snapshot) -> Result<Located, Unanswered> {
    trace(name, asked, snapshot).map(|traced| traced.located)
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

/// Like [`locate`], for people who debug a name.
///
/// # Errors
/// See [`Unanswered`].
pub fn trace(name: &Name, asked: RecordType, snapshot: &Snapshot) -> Result<Traced, Unanswered> {
    let Some((key, subdomain)) = locate_key(name) else {
        return Ok(Traced {
            located: Located::InvalidName,
            wildcard: None,
            errors: Vec::new(),
        });
    };
    let mut reader = Reader::new(snapshot);
    let mut wildcards = Vec::new();
    match walk(name, asked, &key, &subdomain, &mut reader, &mut wildcards) {
        Ok(located) => Ok(Traced {
            wildcard: match located {
                Located::NoSubdomain => None,
                _ => wildcard(name, &subdomain, &wildcards),
            },
            located,
            errors: reader.errors.into_vec(),
        }),
        Err(Stop::Need) => Err(Unanswered::Need(reader.needed())),
        Err(stop) => Err(Unanswered::Stop(stop)),
    }
}

fn walk(
    name: &Name,
    asked: RecordType,
    key: &NameKey,
    subdomain: &[String],
    reader: &mut Reader<'_>,
    wildcards: &mut Vec<bool>,
) -> Result<Located, Stop> {
    let mut place = Place::top(name.trim_to(2));
    let mut object = match reader.root(key, &place.owner_text())? {
        Root::Object(object) => object,
        Root::Absent(absence) => return Ok(Located::Absent(absence)),
        Root::NoDomainObject => return Ok(Located::NoDomainObject),
    };
    let mut labels = subdomain.iter();
    loop {
        let level = Level::read(&object, &place, &mut reader.errors);
        if level.is_delegated() {
            let glue = glue(&object, &place, &level.ns, reader)?;
            return Ok(Located::Delegated(Cut {
                owner: place.owner().clone(),
                ns: level.ns,
                ds: level.ds,
                glue,
                tor: level.tor,
            }));
        }
        let Some(label) = labels.next() else {
            if asked == TOR && !level.tor.is_empty() {
                return Ok(Located::Node(level.tor));
            }
            let servers = match asked {
                RecordType::MX | RecordType::ANY if !level.is_closed() => {
                    mail_servers(&object, &place, reader)?
                }
                _ => Vec::new(),
            };
            return Ok(Located::Node(level.records_with(servers)));
        };
        if let Some(target) = level.translate {
            return Ok(Located::Translated {
                owner: place.owner().clone(),
                target,
            });
        }
        let Ok(next) = place.child(label) else {
            return Ok(Located::NoSubdomain);
        };
        place = next;
        match descend(&object, label, &place, reader)? {
            Some((next, is_wildcard)) => {
                object = next;
                wildcards.push(is_wildcard);
            }
            None => return Ok(Located::NoSubdomain),
        }
    }
}

/// A name as it is written in its value, if any of its labels is so by a `*`.
/// `wildcards` goes with the labels of the subdomain, outermost first.
fn wildcard(name: &Name, subdomain: &[String], wildcards: &[bool]) -> Option<String> {
    if !wildcards.contains(&true) {
        return None;
    }
    let mut written = Place::top(name.trim_to(2)).owner_text();
    for (label, is_wildcard) in subdomain.iter().zip(wildcards) {
        let label = if *is_wildcard { "*" } else { label };
        written = format!("{label}.{written}");
    }
    Some(written)
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
    let owner = place.owner_text();
    if let Some(branch) = object.branch(label)
        && let Some(object) = reader.merge(branch, &owner)?
    {
        return Ok(Some((object, false)));
    }
    let Some(branch) = object.branch("*") else {
        return Ok(None);
    };
    let found = reader.merge(branch, &owner)?;
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
    let mut at = (object.clone(), place.clone());
    let mut records = Vec::new();
    for label in ["_tcp", "_smtp"] {
        let (Some(branch), Ok(place)) = (at.0.branch(label), at.1.child(label)) else {
            return Ok(Vec::new());
        };
        let Some(object) = reader.merge(branch, &place.owner_text())? else {
            return Ok(Vec::new());
        };
        let level = Level::read(&object, &place, &mut reader.errors);
        // An alias at `_tcp` does not reach below it.
        if level.is_delegated() || level.translate.is_some() {
            return Ok(Vec::new());
        }
        records = level.records();
        at = (object, place);
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
    let mut found = Vec::new();
    for server in servers {
        if !place.owner().zone_of(server) {
            continue;
        }
        let depth = server
            .iter()
            .count()
            .saturating_sub(place.owner().iter().count());
        let labels: Vec<&[u8]> = server.iter().take(depth).collect();
        let mut object = cut.clone();
        let mut at = Some(place.clone());
        for label in labels.into_iter().rev() {
            let label = String::from_utf8_lossy(label).into_owned();
            at = match at.take().map(|place| place.child(&label)) {
                Some(Ok(place)) => descend(&object, &label, &place, reader)?.map(|(next, _)| {
                    object = next;
                    place
                }),
                _ => None,
            };
        }
        if let Some(at) = at {
            let level = Level::read(&object, &at, &mut reader.errors);
            let addresses = level
                .data
                .into_iter()
                .filter(|data| matches!(data.record_type(), RecordType::A | RecordType::AAAA));
            found.extend(addresses.map(|data| (server.clone(), data)));
        }
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
