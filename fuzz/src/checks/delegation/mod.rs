//! What name servers reply: who reads it, and what is believed of it.

mod attack;
mod made;
mod walk;
mod zones;

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use ncprop279::address;
use ncprop279::delegation::dnssec::{Bogus, Keys, Now, Validated, Work};
use ncprop279::fuzzing::delegation::{
    Heard, Lame, Meaning, Referral, Sent, collect, heard, meaning,
};
use ncprop279::onion::OnionAddress;

use self::attack::{Asked, Attacker, address};
use self::made::Signer;
use self::zones::{TTL, Zone, is_below, lower};
use super::input::Input;

/// The time within which all replies of an input are made and read, whatever they
/// are: ten times what the slowest took with a fuzzer's instrumentation.
const LONGEST: Duration = Duration::from_millis(500);

/// The most servers in a referral.
const MAX_SERVERS: usize = 8;

/// The families of zones: first the one that a value delegates, then those below
/// it.
static WORLDS: LazyLock<[Vec<Zone>; 6]> = LazyLock::new(|| {
    macro_rules! recorded {
        ($name:literal) => {{
            let text = include_str!(concat!("../../../../tests/data/dnssec/", $name, ".txt"));
            vec![Zone::recorded(text, $name == "optout")]
        }};
    }
    [
        made::zones(),
        recorded!("ed"),
        recorded!("optout"),
        recorded!("p256"),
        recorded!("rsa"),
        recorded!("p384"),
    ]
});

static EVIL: LazyLock<Signer> = LazyLock::new(Signer::evil);

/// Any bytes as replies of name servers. The first byte says which zones there
/// are, and whether one reply is read or a name is resolved along all of them. An
/// attacker makes the replies, from any bytes, and from what real servers replied,
/// with all signatures that they publish and a key of its own.
///
/// Nothing is believed that the owner of a signed zone did not sign, and nothing
/// unsigned in its place. Whatever is asked can be asked through Tor.
pub fn delegation(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    let at = usize::from(how % 16);
    let zones = WORLDS.get(at).unwrap_or(&WORLDS[at % 2]);
    let attacker = Attacker {
        zones,
        others: &WORLDS[usize::from(at == 1) + 1],
        key: &EVIL,
    };
    let run = || {
        let input = Input(rest);
        match how >> 6 {
            0 | 1 => Some(one_reply(&attacker, input)),
            _ => {
                walk::resolve(&attacker, input);
                // Where servers are drawn, no two runs are alike.
                None
            }
        }
    };
    // Other programs on the machine make some runs longer.
    let is_in_time = (0..5).any(|_| {
        let begun = Instant::now();
        let outcome = run();
        let spent = begun.elapsed();
        if how & 0x10 != 0 && outcome.is_some() {
            assert_eq!(outcome, run());
        }
        spent < LONGEST || !cfg!(fuzzing)
    });
    assert!(is_in_time, "replies take more than {LONGEST:?}");
}

/// The question as it was sent: in some letters or other.
fn sent(id: u16, name: &Name, kind: RecordType) -> (Sent, Name) {
    let labels = name.iter().map(|label| {
        let letters = label.iter().enumerate().map(|(at, byte)| match at % 2 {
            0 => byte.to_ascii_uppercase(),
            _ => *byte,
        });
        letters.collect::<Vec<u8>>()
    });
    let labels: Vec<_> = labels.collect();
    let mut name = Name::from_labels(labels.iter().map(Vec::as_slice)).expect("a name");
    name.set_fqdn(true);
    (Sent::new(id, name.clone(), kind), name)
}

/// Reads replies as they come over a connection.
fn hear(stream: &[u8], sent: &[Sent]) -> Vec<Option<Heard>> {
    let mut replies = sent.iter().map(|_| None).collect::<Vec<_>>();
    let result = collect(&mut &*stream, sent, &mut replies);
    assert_eq!(result.is_ok(), replies.iter().all(Option::is_some));
    heard(&replies, sent)
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// What a server of the zone replies to a question, if it is honest.
fn honest(zones: &[Zone], server: &str, name: &Name, kind: RecordType) -> Option<Message> {
    let first = zones.first()?;
    match first.replies.is_empty() {
        true => made::honest(zones, server, name, kind),
        false => {
            let mut replies = first.replies.iter();
            let reply = replies.find(|(owner, own, _)| owner == name && *own == kind);
            reply.map(|(_, _, reply)| reply.clone())
        }
    }
}

/// What was made of a reply, as that of an unsigned zone and of a signed one; the
/// error is why it is none.
type Outcome = Result<(Result<Meaning, Lame>, Result<Validated, Bogus>), Option<Lame>>;

/// One reply to one question, as a zone without signatures and one with them has
/// it. Returns all that was made of it.
fn one_reply(attacker: &Attacker<'_>, mut input: Input<'_>) -> Outcome {
    // The attacker signs what it wants in its own zone.
    let signed = attacker.zones.iter().filter(|zone| zone.keys.is_some());
    let signed: Vec<_> = signed.collect();
    let zone = signed[input.below(signed.len())];
    let now = match input.byte() % 16 {
        0 => zone.until.wrapping_sub(100),
        1 => zone.until.wrapping_add(301),
        2 => zone.from.wrapping_sub(301),
        _ => zone.now,
    };
    let name = lower(&input.name(&zone.name, &zone.name));
    let kind = input.kind();
    let servers = ["192.0.2.53", "192.0.2.66"];
    let honest = || {
        let mut servers = servers.iter();
        servers.find_map(|server| honest(attacker.zones, server, &name, kind))
    };
    let (sent, name_sent) = sent(0x1234, &name, kind);
    let asked = Asked {
        id: 0x1234,
        name: &name_sent,
        kind,
    };
    let bytes = attacker.reply(&mut input, &asked, honest);
    let heard = hear(&framed(&bytes), std::slice::from_ref(&sent)).remove(0);
    let reply = match heard {
        Some(Ok(reply)) => reply,
        Some(Err(lame)) => return Err(Some(lame)),
        None => return Err(None),
    };
    let metadata = &reply.metadata;
    assert_eq!(
        (metadata.id, metadata.message_type),
        (0x1234, MessageType::Response)
    );
    assert!(reply.queries.len() == 1 && reply.queries[0].name().eq_case(&name_sent));
    let mut unsigned = meaning(&reply, &name, kind, &zone.name);
    check_meaning(&reply, &name, kind, &zone.name, &unsigned);
    if let Ok(Meaning::Referral(referral)) = &mut unsigned {
        // They are drawn if there are more.
        referral.servers.sort();
        if referral.servers.len() == MAX_SERVERS {
            referral.servers.clear();
        }
    }
    let signed = validate(zone, &reply, &name, kind, now);
    Ok((unsigned, signed))
}

/// What is made of a reply without signatures.
fn check_meaning(
    reply: &Message,
    name: &Name,
    kind: RecordType,
    zone: &Name,
    meaning: &Result<Meaning, Lame>,
) {
    let Ok(meaning) = meaning else {
        return;
    };
    let is_referral = matches!(meaning, Meaning::Referral(_));
    assert!(reply.metadata.authoritative != is_referral);
    let own = |data: &RData| {
        let mut own = reply.answers.iter();
        own.find(|record| record.name == *name && record.data == *data)
            .expect("a record of the reply")
            .ttl
    };
    match meaning {
        Meaning::Data { data, ttl } => {
            assert!(!data.is_empty());
            for data in data {
                assert!(data.record_type() == kind && *ttl <= own(data));
            }
        }
        Meaning::Alias { target, ttl } => {
            let alias = RData::CNAME(hickory_proto::rr::rdata::CNAME(target.clone()));
            assert!(target.eq_case(&lower(target)) && *ttl <= own(&alias));
        }
        Meaning::Absent { .. } => assert!(reply.answers.is_empty()),
        Meaning::Referral(referral) => check_referral(referral, name, zone),
    }
}

fn check_referral(referral: &Referral, name: &Name, zone: &Name) {
    assert!(is_below(&referral.zone, zone) && referral.zone.zone_of(name));
    assert!(referral.zone.eq_case(&lower(&referral.zone)));
    assert!(referral.servers.len() <= MAX_SERVERS);
    for server in &referral.servers {
        assert!(is_acceptable(server), "{server}");
        // The zone's own names would have to be asked for first.
        let is_in_zone = Name::from_ascii(server).is_ok_and(|mut server| {
            server.set_fqdn(true);
            zone.zone_of(&server)
        });
        assert!(zone.is_root() || !is_in_zone, "{server}");
    }
}

/// Whether Tor may be asked for a connection to a server.
fn is_acceptable(server: &str) -> bool {
    if let Ok(address) = server.parse::<IpAddr>() {
        return address::is_public(address) && !address.is_loopback();
    }
    if server.ends_with(".onion") {
        return OnionAddress::parse(server).is_ok_and(|onion| onion.into_string() == server);
    }
    let last = server.rsplit('.').next().unwrap_or_default();
    let is_nobodys = ["bit", "exit", "local", "localhost", "onion"].contains(&last);
    !is_nobodys && address::host_name(server).as_deref() == Ok(server)
}

/// What a reply proves.
fn validate(
    zone: &Zone,
    reply: &Message,
    name: &Name,
    kind: RecordType,
    now: u32,
) -> Result<Validated, Bogus> {
    let keys = zone.keys.as_ref().expect("a signed zone");
    let is_attackers = zone.ds == [EVIL.ds(&zone.name)];
    if kind == RecordType::DNSKEY && *name == zone.name {
        let (ds, now) = (&zone.ds, Now(now));
        if let Ok(keys) = Keys::believe(name, ds, reply, now, &mut Work::new()) {
            assert!(keys.ttl() <= TTL && keys.zone() == name);
            assert!(is_attackers || !vouch_for(&keys), "keys of the attacker");
        }
    }
    let believed = keys.answer(name, kind, reply, Now(now), &mut Work::new());
    match &believed {
        Ok(believed) if !is_attackers => zone.check(name, kind, believed, now),
        Ok(believed) => {
            let is_named = match believed {
                Validated::Referral { child, .. } | Validated::Below { child } => {
                    is_below(child, &zone.name) && child.zone_of(name)
                }
                _ => zone.name.zone_of(name),
            };
            assert!(is_named);
        }
        Err(_) => {}
    }
    believed
}

/// Whether a signature of the attacker counts for these keys.
fn vouch_for(keys: &Keys) -> bool {
    let owner = keys.zone();
    let record = Record::from_rdata(owner.clone(), TTL, RData::A(A::new(192, 0, 2, 66)));
    let signature = EVIL.sign(std::slice::from_ref(&record), owner, None, made::NOW);
    let mut reply = Message::query();
    reply.answers = vec![record, signature.expect("a signature")];
    let (now, work) = (Now(made::NOW), &mut Work::new());
    keys.answer(owner, RecordType::A, &reply, now, work).is_ok()
}
