//! Every record that a registered name yields.

use hickory_proto::rr::{Name, RData};

use crate::snapshot::Snapshot;
use crate::value::items::{Level, Part};
use crate::value::names::Place;
use crate::value::object::{Object, Reader, Root, Stop};
use crate::value::work::Parsed;

use super::{Listing, Unanswered, glue, locate_key, mail_servers};

/// How many records are listed; beyond it the value is hostile.
const MAX_RECORDS: usize = 10_000;

/// Lists the records of a name and all its subdomains, wildcards with `*` as
/// their label. `domain` is the owner name directly below `bit`; the inner
/// error is what the name leads to instead of a domain object, `None` if its
/// label cannot be registered.
///
/// # Errors
/// The snapshot does not suffice; see [`Unanswered`].
pub fn list(
    domain: &Name,
    snapshot: &Snapshot,
) -> Result<Result<Listing, Option<Root>>, Unanswered> {
    let Some((key, _)) = locate_key(domain) else {
        return Ok(Err(None));
    };
    let place = Place::top(domain.clone());
    let mut parsed = Parsed::default();
    let mut reader = Reader::with_errors(snapshot, &mut parsed);
    let mut listing = Listing::default();
    let result = match reader.root(&key, place.owner()) {
        Ok(Root::Object(object)) => level(&object, &place, &mut reader, &mut listing.records),
        Ok(other) => return Ok(Err(Some(other))),
        Err(stop) => Err(stop),
    };
    match result {
        Ok(()) => {
            listing.errors = reader.errors.into_vec();
            Ok(Ok(listing))
        }
        Err(Stop::Need) => Err(Unanswered::Need(reader.take_needed())),
        Err(stop) => Err(Unanswered::Stop(stop)),
    }
}

fn level(
    object: &Object,
    place: &Place,
    reader: &mut Reader<'_>,
    records: &mut Vec<(Name, RData)>,
) -> Result<(), Stop> {
    let level_items = Level::read(object, place, Part::All, reader);
    reader.work.check()?;
    // Nothing below a cut or a DNAME is in the zone but the glue.
    let closed = level_items.is_delegated() || level_items.translate.is_some();
    if level_items.is_delegated() {
        records.extend(glue(object, place, &level_items.ns, reader)?);
    }
    let servers = if level_items.is_closed() {
        Vec::new()
    } else {
        mail_servers(object, place, reader)?
    };
    let owner = place.owner().clone();
    records.extend(
        level_items
            .records_with(servers)
            .into_iter()
            .map(|data| (owner.clone(), data)),
    );
    if closed {
        return Ok(());
    }
    for (label, branch) in object.branches() {
        if records.len() >= MAX_RECORDS {
            return Ok(());
        }
        let Ok(place) = place.child(label) else {
            reader
                .errors
                .add(place.owner(), "map", "a subdomain's name is too long");
            continue;
        };
        if let Some(object) = reader.merge(branch, place.owner())? {
            self::level(&object, &place, reader, records)?;
        }
    }
    Ok(())
}

/// Puts records in the order of a zone file: by owner name, outermost first,
/// then by type, then by data.
pub fn sort(records: &mut [(Name, RData)]) {
    records.sort_by_cached_key(|(name, data)| {
        (
            name.clone(),
            u16::from(data.record_type()),
            super::present::data(data),
        )
    });
}
