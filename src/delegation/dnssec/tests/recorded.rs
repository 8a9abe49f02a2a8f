//! Replies of Knot DNS and NSD (`tests/data/dnssec/`).

use std::path::Path;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use hickory_proto::dnssec::rdata;
use hickory_proto::dnssec::{Algorithm, DigestType};
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RecordType};

use RecordType::{A, AAAA, DS, TXT};

use super::super::{Bogus, Keys, Now, Validated, Work};
use super::{name, shown};

/// The replies of the servers of one zone.
pub struct Recording {
    pub zone: Name,
    pub now: Now,
    pub ds: Vec<rdata::DS>,
    /// The name below the zone, the type and the reply.
    pub replies: Vec<(String, RecordType, Vec<u8>)>,
}

impl Recording {
    pub fn read(zone: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dnssec");
        let text = std::fs::read_to_string(folder.join(format!("{zone}.txt"))).unwrap();
        let mut recording = Self {
            zone: Name::root(),
            now: Now(0),
            ds: Vec::new(),
            replies: Vec::new(),
        };
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                ["zone", zone] => recording.zone = name(zone),
                ["now", now] => recording.now = Now(now.parse().unwrap()),
                ["ds", tag, algorithm, digest_type, digest] => recording.ds.push(rdata::DS::new(
                    tag.parse().unwrap(),
                    Algorithm::from_u8(algorithm.parse().unwrap()),
                    DigestType::from(digest_type.parse::<u8>().unwrap()),
                    HEXLOWER_PERMISSIVE.decode(digest.as_bytes()).unwrap(),
                )),
                ["reply", name, kind, reply] => recording.replies.push((
                    (*name).to_owned(),
                    kind.parse().unwrap(),
                    BASE64.decode(reply.as_bytes()).unwrap(),
                )),
                _ => assert!(line.starts_with('#'), "{line}"),
            }
        }
        recording
    }

    pub fn full_name(&self, below: &str) -> Name {
        match below {
            "@" => self.zone.clone(),
            below => name(&format!("{below}.{}", self.zone)),
        }
    }

    pub fn reply(&self, below: &str, kind: RecordType) -> &[u8] {
        let mut replies = self.replies.iter();
        let found = replies.find(|(name, own, _)| name == below && *own == kind);
        &found.unwrap().2
    }

    pub fn believe(&self, reply: &[u8]) -> Result<Keys, Bogus> {
        let reply = Message::from_vec(reply).unwrap();
        Keys::believe(&self.zone, &self.ds, &reply, self.now, &mut Work::new())
    }

    pub fn keys(&self) -> Keys {
        self.believe(self.reply("@", RecordType::DNSKEY)).unwrap()
    }

    pub fn answer(&self, below: &str, kind: RecordType, reply: &[u8]) -> Result<Validated, Bogus> {
        let reply = Message::from_vec(reply).unwrap();
        let name = self.full_name(below);
        self.keys()
            .answer(&name, kind, &reply, self.now, &mut Work::new())
    }
}

/// What each reply proves: the name below the zone, the type, the outcome, and
/// that of the zone with opt-out if it differs. `$` is the zone.
const OUTCOMES: &[(&str, RecordType, &str, Option<&str>)] = &[
    ("www", A, "data 192.0.2.10 192.0.2.11 3600", None),
    ("WwW", A, "data 192.0.2.10 192.0.2.11 3600", None),
    ("www", AAAA, "data 2001:db8::10 600", None),
    ("www", TXT, "no data 300", None),
    ("_tor.www", TXT, "data onetwo 3600", None),
    ("alias", A, "alias www.example.net. 3600", None),
    ("x.wild", A, "data 192.0.2.77 300", OPT_OUT),
    ("*.wild", A, "data 192.0.2.77 3600", None),
    ("x.wild", AAAA, "no data 300", OPT_OUT),
    ("x.y.wild", A, "data 192.0.2.77 300", OPT_OUT),
    ("x.wildalias", A, "alias www.$ 300", OPT_OUT),
    ("ent", A, "no data 300", None),
    ("x.ent", A, "no name 300", OPT_OUT),
    ("nope", A, "no name 300", OPT_OUT),
    ("aaa", A, "no name 300", OPT_OUT),
    ("zzzz", A, "no name 300", OPT_OUT),
    ("x.www", A, "no name 300", OPT_OUT),
    ("www.sub", A, "referral sub.$ unsigned 300", None),
    ("sub", A, "referral sub.$ unsigned 300", None),
    ("www.safe", A, "referral safe.$ 1 DS 3600", None),
    ("safe", DS, "referral safe.$ 1 DS 3600", None),
    ("sub", DS, "referral sub.$ unsigned 300", None),
    ("www", DS, "no data 300", None),
    ("x.old", A, "alias x.new.example.net. 3600", None),
    ("a.b.old", A, "alias a.b.new.example.net. 3600", None),
    ("old", A, "no data 300", None),
    ("@", AAAA, "no data 300", None),
];

const OPT_OUT: Option<&str> = Some("opt-out 300");

/// In the zone `ed`: zones below it with the same server, one signed and one not.
const BELOW: &[(&str, RecordType, &str)] = &[
    ("www.own", A, "below own.$"),
    ("own", DS, "referral own.$ 2 DS 3600"),
    ("nope.own", A, "below own.$"),
    ("www.plain", A, "bogus: the records are not signed"),
    ("nope.plain", A, "below plain.$"),
    ("plain", DS, "referral plain.$ unsigned 300"),
    ("www.plain", DS, "below plain.$"),
    ("www.own", DS, "below own.$"),
];

fn check(recording: &Recording, below: &str, kind: RecordType, expected: &str) {
    let reply = recording.reply(below, kind);
    let outcome = recording.answer(below, kind, reply);
    let zone = recording.zone.to_string();
    assert_eq!(
        shown(&outcome),
        expected.replace('$', &zone),
        "{below} {kind} in {zone}"
    );
}

#[test]
fn zones_of_real_servers_are_validated() {
    for zone in ["rsa", "p256", "p384", "ed", "optout"] {
        let recording = Recording::read(zone);
        for (below, kind, expected, opt_out) in OUTCOMES {
            let opt_out = opt_out.filter(|_| zone == "optout");
            check(&recording, below, *kind, opt_out.unwrap_or(expected));
        }
        let others = if zone == "ed" { BELOW } else { &[] };
        for (below, kind, expected) in others {
            check(&recording, below, *kind, expected);
        }
        // And the keys themselves.
        assert_eq!(recording.replies.len(), OUTCOMES.len() + others.len() + 1);
    }
}

#[test]
fn each_ds_record_is_enough() {
    let recording = Recording::read("p384");
    assert_eq!(recording.ds.len(), 2);
    for ds in &recording.ds {
        let one = Recording {
            ds: vec![ds.clone()],
            ..Recording::read("p384")
        };
        assert_eq!(one.keys().ttl(), 3600);
    }
}

#[test]
fn replies_of_one_zone_are_bogus_in_another() {
    let one = Recording::read("ed");
    let other = Recording::read("p384");
    let reply = other.reply("@", RecordType::DNSKEY);
    assert_eq!(one.believe(reply).err(), Some(Bogus::NoKeys));
    for (below, kind, reply) in &other.replies {
        let outcome = one.answer(below, *kind, reply);
        assert!(outcome.is_err(), "{below} {kind} {outcome:?}");
    }
}

#[test]
fn replies_for_one_name_prove_nothing_about_another() {
    let recording = Recording::read("ed");
    let reply = recording.reply("www", A);
    for other in ["ww", "x.www", "alias", "@"] {
        let outcome = recording.answer(other, A, reply);
        assert_eq!(outcome, Err(Bogus::UnprovedAbsence), "{other}");
    }
}

#[test]
fn recorded_signatures_expire() {
    for (seconds, bogus) in [
        (0, None),
        (31 * 86_400, Some(Bogus::Expired)),
        (2_u32.pow(31), Some(Bogus::NotYetValid)),
        (0_u32.wrapping_sub(86_400), Some(Bogus::NotYetValid)),
    ] {
        let mut recording = Recording::read("ed");
        recording.now.0 = recording.now.0.wrapping_add(seconds);
        let reply = recording.reply("@", RecordType::DNSKEY);
        assert_eq!(recording.believe(reply).err(), bogus, "{seconds}");
    }
}
