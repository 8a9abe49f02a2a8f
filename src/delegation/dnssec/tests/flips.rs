//! Whatever changes in a reply, nothing else than before is believed.

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use super::super::{Validated, Work};
use super::recorded::Recording;

/// The outcome without its TTL, and the TTL.
fn parts(outcome: &Validated) -> (Validated, u32) {
    let mut outcome = outcome.clone();
    let ttl = match &mut outcome {
        Validated::Data { ttl, .. }
        | Validated::Alias { ttl, .. }
        | Validated::NoData { ttl }
        | Validated::NoName { ttl }
        | Validated::Referral { ttl, .. }
        | Validated::OptOut { ttl } => std::mem::take(ttl),
        Validated::Below { .. } => 0,
    };
    (outcome, ttl)
}

/// Replies with one byte changed. Every byte has its turn, each with one of eight
/// bits.
fn flipped(reply: &[u8]) -> impl Iterator<Item = Message> {
    (0..reply.len()).filter_map(|at| {
        let mut reply = reply.to_vec();
        reply[at] ^= 1 << (at % 8);
        Message::from_vec(&reply).ok()
    })
}

#[test]
fn a_changed_reply_is_bogus_or_says_the_same() {
    for zone in ["ed", "p256", "p384", "rsa", "optout"] {
        let recording = Recording::read(zone);
        let keys = recording.keys();
        let mut bogus = 0;
        // The slow algorithms take a few replies.
        let asked = match zone {
            "p256" | "optout" => {
                &["www", "alias", "x.wild", "nope", "x.old", "www.safe", "sub"][..]
            }
            _ => &["x.wild"],
        };
        for below in asked {
            let reply = recording.reply(below, RecordType::A);
            let expected = recording.answer(below, RecordType::A, reply).unwrap();
            let (expected, most) = parts(&expected);
            for reply in flipped(reply) {
                let name = recording.full_name(below);
                let work = &mut Work::new();
                match keys.answer(&name, RecordType::A, &reply, recording.now, work) {
                    // Which is not believed either.
                    Ok(Validated::Below { .. }) => {}
                    Ok(outcome) => {
                        let (outcome, ttl) = parts(&outcome);
                        assert_eq!(outcome, expected, "{below} in {zone}");
                        assert!(ttl <= most, "{below} in {zone}");
                    }
                    Err(_) => bogus += 1,
                }
            }
        }
        assert!(bogus > 100, "{bogus} in {zone}");
    }
}

#[test]
fn changed_keys_are_bogus_or_the_same() {
    let recording = Recording::read("p256");
    let reply = recording.reply("@", RecordType::DNSKEY);
    let signed = recording.reply("www", RecordType::A);
    let mut bogus = 0;
    for changed in flipped(reply) {
        match recording.believe(&changed.to_vec().unwrap()) {
            Ok(keys) => {
                let signed = Message::from_vec(signed).unwrap();
                let name = recording.full_name("www");
                let work = &mut Work::new();
                let outcome = keys.answer(&name, RecordType::A, &signed, recording.now, work);
                assert!(outcome.is_ok());
                assert!(keys.ttl() <= 3600);
            }
            Err(_) => bogus += 1,
        }
    }
    assert!(bogus > 100, "{bogus}");
}
