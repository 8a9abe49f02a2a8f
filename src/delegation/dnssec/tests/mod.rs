//! Tests: replies that real servers gave, and replies of zones that are signed
//! here, with the mistakes and lies that no real server has.

mod flips;
mod keys;
mod nsec;
mod nsec3;
mod recorded;
mod signatures;
mod zone;

use hickory_proto::rr::Name;

use super::{Bogus, Validated};

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// An outcome in a few words: what it is, the data, the TTL.
fn shown(outcome: &Result<Validated, Bogus>) -> String {
    match outcome {
        Ok(Validated::Data { records, ttl }) => {
            let records: Vec<_> = records.iter().map(ToString::to_string).collect();
            format!("data {} {ttl}", records.join(" "))
        }
        Ok(Validated::Alias { target, ttl }) => format!("alias {target} {ttl}"),
        Ok(Validated::NoData { ttl }) => format!("no data {ttl}"),
        Ok(Validated::NoName { ttl }) => format!("no name {ttl}"),
        Ok(Validated::Referral { child, ds, ttl }) => {
            let ds = ds
                .as_ref()
                .map_or("unsigned".to_owned(), |ds| format!("{} DS", ds.len()));
            format!("referral {child} {ds} {ttl}")
        }
        Ok(Validated::OptOut { ttl }) => format!("opt-out {ttl}"),
        Ok(Validated::Below { child }) => format!("below {child}"),
        Err(bogus) => format!("bogus: {bogus}"),
    }
}
