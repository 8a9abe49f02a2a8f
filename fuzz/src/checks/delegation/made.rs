//! Zones that are signed here, with keys that never change, and honest servers for
//! them.

use data_encoding::BASE64;
use hickory_proto::dnssec::crypto::Ed25519SigningKey;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, NSEC, RRSIG, SigInput};
use hickory_proto::dnssec::{Algorithm, DigestType, SigningKey, TBS};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::zones::{NEGATIVE_TTL, Place, TTL, Truth, Zone, below, delegation_signers};

pub const NOW: u32 = 1_800_000_000;
const DAY: u32 = 86_400;

const KEY: &str = "MFECAQEwBQYDK2VwBCIEIAElBd50ZXr84OGAG45AFKnB/3QBXM1qHDct8fEb0EnTgSEA5wyEhYO8xXRw1GUvi2hNTzTzyV8I9MfGiNfFu0UIyVE=";
const OWN_KEY: &str = "MFECAQEwBQYDK2VwBCIEIMyru2mGc/3jjGxmjg+bAExyDRl/mgpcwOTU/e85ZD5pgSEAYngFXfeL2Ccg1rwioIFiLqjJ8QNgr4umJN7Bc9NN0Vo=";
const EVIL_KEY: &str = "MFECAQEwBQYDK2VwBCIEICMFzqRt+yALWX4hJkSLFzEPU/cQD/bBEqyOWNqeeogbgSEAEEKjmSPzikYODwIYJSTQWCfkvg+iOW6VXcOnuKE9Dq4=";

/// The zones: the first was delegated in a value, the others are below it.
/// `own`, which is signed, and `plain`, which is not, have its server, so no
/// referral leads to them. The attacker has the server and the key of `evil`.
pub const ZONE: &str = "made.bit.";

/// The servers that are honest, by address, and which zones each has.
const SERVERS: [(&str, &[&str]); 3] = [
    ("192.0.2.53", &["@", "own", "plain"]),
    ("192.0.2.54", &["sub"]),
    ("192.0.2.66", &["evil"]),
];

/// What the servers of each zone have beside it.
const GLUE: [(&str, [u8; 4]); 2] = [("ns.sub", [192, 0, 2, 54]), ("ns.evil", [192, 0, 2, 66])];

/// A key that signs.
pub struct Signer {
    key: Ed25519SigningKey,
    pub dnskey: DNSKEY,
}

impl Signer {
    fn new(key: &str) -> Self {
        let key = BASE64.decode(key.as_bytes()).expect("base64");
        let key = Ed25519SigningKey::from_pkcs8(&key.as_slice().into()).expect("a key");
        let dnskey = DNSKEY::from_key(&key.to_public_key().expect("a public key"));
        Self { key, dnskey }
    }

    /// The attacker's.
    pub fn evil() -> Self {
        Self::new(EVIL_KEY)
    }

    /// The DS record that makes the key one of the zone's.
    pub fn ds(&self, zone: &Name) -> DS {
        let digest = self.dnskey.to_digest(zone, DigestType::SHA256);
        let digest = digest.expect("a digest").as_ref().to_vec();
        DS::new(self.tag(), Algorithm::ED25519, DigestType::SHA256, digest)
    }

    fn tag(&self) -> u16 {
        self.dnskey.calculate_key_tag().expect("a tag")
    }

    /// A signature over an RRset.
    pub fn sign(
        &self,
        set: &[Record],
        signer: &Name,
        labels: Option<u8>,
        now: u32,
    ) -> Option<Record> {
        let first = set.first()?;
        let input = SigInput {
            type_covered: first.record_type(),
            algorithm: Algorithm::ED25519,
            num_labels: labels.unwrap_or(first.name.num_labels()),
            original_ttl: first.ttl,
            sig_expiration: now.wrapping_add(DAY).into(),
            sig_inception: now.wrapping_sub(DAY).into(),
            key_tag: self.tag(),
            signer_name: signer.clone(),
        };
        let tbs = TBS::from_input(&first.name, DNSClass::IN, &input, set.iter()).ok()?;
        let rrsig = RRSIG::from_sig(input, self.key.sign(&tbs).ok()?);
        let data = RData::DNSSEC(DNSSECRData::RRSIG(rrsig));
        Some(Record::from_rdata(first.name.clone(), first.ttl, data))
    }
}

/// All zones.
pub fn zones() -> Vec<Zone> {
    let mut made = Zone::with_records(ZONE, "evil NS ns.evil.$");
    let apex = made.name.clone();
    let child = |label: &str| below(label, &apex).to_string();
    let lines = "@ SOA ns.$\n@ NS ns.$\nwww A 192.0.2.30\n_tor.www TXT onetwo\nalias CNAME www.$";
    let [own, evil] = [("own", OWN_KEY), ("evil", EVIL_KEY)].map(|(label, key)| {
        let mut zone = Zone::with_only(&child(label), lines);
        let signer = Signer::new(key);
        let ds = signer.ds(&zone.name);
        let data = RData::DNSSEC(DNSSECRData::DS(ds));
        made.add_record(Record::from_rdata(zone.name.clone(), TTL, data));
        sign(&mut zone, &signer);
        zone
    });
    let [plain, sub] = ["plain", "sub"].map(|label| {
        let mut zone = Zone::with_only(&child(label), lines);
        zone.published = zone.records.values().cloned().collect();
        zone
    });
    sign(&mut made, &Signer::new(KEY));
    // What it learned of its children is there already.
    vec![made, own, plain, sub, evil]
}

/// Signs a zone, with NSEC records.
fn sign(zone: &mut Zone, signer: &Signer) {
    zone.ds = vec![signer.ds(&zone.name)];
    let dnskey = RData::DNSSEC(DNSSECRData::DNSKEY(signer.dnskey.clone()));
    let dnskey = Record::from_rdata(zone.name.clone(), TTL, dnskey);
    let mut sets: Vec<Vec<Record>> = zone.records.values().cloned().collect();
    sets.push(vec![dnskey]);
    let mut owners: Vec<Name> = zone
        .records
        .keys()
        .map(|(owner, _)| owner.clone())
        .collect();
    owners.sort();
    owners.dedup();
    for (at, owner) in owners.iter().enumerate() {
        let next = owners.get(at + 1).unwrap_or(&zone.name);
        let own = sets.iter().filter(|set| set[0].name == *owner);
        let mut kinds: Vec<_> = own.map(|set| set[0].record_type()).collect();
        kinds.extend([RecordType::RRSIG, RecordType::NSEC]);
        let nsec = RData::DNSSEC(DNSSECRData::NSEC(NSEC::new(next.clone(), kinds)));
        sets.push(vec![Record::from_rdata(owner.clone(), NEGATIVE_TTL, nsec)]);
    }
    for set in &mut sets {
        let is_cut = set[0].record_type() == RecordType::NS && set[0].name != zone.name;
        if !is_cut {
            set.extend(signer.sign(set, &zone.name, None, NOW));
        }
    }
    zone.publish(sets, NOW);
}

/// The zones of a server, and what an honest one replies.
pub fn honest(zones: &[Zone], server: &str, name: &Name, kind: RecordType) -> Option<Message> {
    let (_, served) = SERVERS.iter().find(|(address, _)| *address == server)?;
    let apex = &zones.first()?.name;
    let served = served.iter().map(|label| below(label, apex));
    let mut served: Vec<_> = served
        .filter_map(|own| zones.iter().find(|zone| zone.name == own))
        .filter(|zone| zone.name.zone_of(name))
        // DS records are the parent's.
        .filter(|zone| kind != RecordType::DS || zone.name != *name)
        .collect();
    served.sort_by_key(|zone| zone.name.iter().count());
    Some(reply(served.pop()?, apex, name, kind))
}

fn reply(zone: &Zone, apex: &Name, name: &Name, kind: RecordType) -> Message {
    let mut reply = Message::query();
    reply.metadata.authoritative = true;
    let place = zone.locate(name);
    match &place {
        Place::Cut(cut) if kind != RecordType::DS || cut != name => {
            reply.metadata.authoritative = false;
            reply.authorities = zone.set(cut, RecordType::NS);
            let ds = zone.set(cut, RecordType::DS);
            let is_secure = !delegation_signers(&ds).is_empty();
            let proof = if is_secure { ds } else { covering(zone, cut) };
            reply.authorities.extend(proof);
            for (labels, address) in GLUE {
                let data = RData::A(A(address.into()));
                let glue = Record::from_rdata(below(labels, apex), TTL, data);
                reply.additionals.push(glue);
            }
            return reply;
        }
        Place::Dname(owner) => {
            reply.answers = zone.set(owner, RecordType::DNAME);
            if let (Truth::Alias(target, _), _) = zone.truth(name, kind) {
                let data = RData::CNAME(CNAME(target));
                reply
                    .answers
                    .push(Record::from_rdata(name.clone(), TTL, data));
            }
            return reply;
        }
        _ => {}
    }
    let owner = match &place {
        Place::Wildcard(owner) => owner,
        _ => name,
    };
    for kind in [RecordType::CNAME, kind] {
        let mut set = zone.set(owner, kind);
        if reply.answers.is_empty() && !set.is_empty() {
            set.iter_mut().for_each(|record| record.name = name.clone());
            reply.answers = set;
        }
    }
    if reply.answers.is_empty() {
        reply.authorities = zone.set(&zone.name, RecordType::SOA);
        reply.authorities.extend(covering(zone, owner));
    }
    match &place {
        Place::Wildcard(_) => reply.authorities.extend(covering(zone, name)),
        Place::Nothing(closest) => {
            reply.metadata.response_code = ResponseCode::NXDomain;
            if let Ok(wildcard) = closest.prepend_label("*") {
                reply.authorities.extend(covering(zone, &wildcard));
            }
        }
        _ => {}
    }
    reply
}

/// The NSEC record at a name, or the last before it.
fn covering(zone: &Zone, name: &Name) -> Vec<Record> {
    let mut owners: Vec<_> = zone.records.keys().map(|(owner, _)| owner).collect();
    owners.sort();
    let owner = owners.into_iter().rfind(|owner| *owner <= name);
    owner.map_or_else(Vec::new, |owner| zone.set(owner, RecordType::NSEC))
}
