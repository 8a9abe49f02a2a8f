//! A zone that signs whatever a test wants signed. What is signed is computed by
//! hickory-proto, not by the code under test.

use hickory_proto::dnssec::crypto::Ed25519SigningKey;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, NSEC, RRSIG, SigInput};
use hickory_proto::dnssec::{Algorithm, DigestType, PublicKeyBuf, SigningKey, TBS};
use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::rdata::{A, CNAME, NS, NULL, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;

use super::super::{Bogus, Keys, Now, Validated, Work};
use super::name;

pub const NOW: u32 = 1_800_000_000;
pub const TTL: u32 = 3600;

/// The zone `example.bit`.
pub struct Zone {
    pub name: Name,
    pub dnskey: DNSKEY,
    key: Ed25519SigningKey,
}

impl Zone {
    pub fn new() -> Self {
        let key = Ed25519SigningKey::generate_pkcs8().unwrap();
        let key = Ed25519SigningKey::from_pkcs8(&key).unwrap();
        let dnskey = DNSKEY::from_key(&key.to_public_key().unwrap());
        Self {
            name: name("example.bit."),
            dnskey,
            key,
        }
    }

    /// The same key with these flags.
    pub fn with_flags(mut self, flags: u16) -> Self {
        let public = self.key.to_public_key().unwrap();
        self.dnskey = DNSKEY::with_flags(flags, public);
        self
    }

    /// Keys with the tag of the zone's, which are sums of 16-bit words: the words
    /// change places.
    pub fn keys_with_same_tag(&self, count: usize) -> Vec<DNSKEY> {
        let public = self.key.to_public_key().unwrap().into_inner();
        let keys = (1..=count).map(|n| {
            let mut public = public.clone();
            let (first, rest) = public.split_at_mut(2);
            first.swap_with_slice(&mut rest[2 * (n % 15)..][..2]);
            public.rotate_left(2 * (n / 15));
            PublicKeyBuf::new(public, Algorithm::ED25519)
        });
        keys.map(|key| DNSKEY::with_flags(self.dnskey.flags(), key))
            .collect()
    }

    pub fn ds(&self, digest_type: DigestType) -> DS {
        ds_of(&self.name, &self.dnskey, digest_type)
    }

    /// Signs an RRset with the right values after `change`.
    pub fn sign_with(&self, records: &[Record], change: impl FnOnce(&mut SigInput)) -> Record {
        let first = &records[0];
        let mut input = SigInput {
            type_covered: first.record_type(),
            algorithm: Algorithm::ED25519,
            num_labels: first.name.num_labels(),
            original_ttl: TTL,
            sig_expiration: (NOW + 86_400).into(),
            sig_inception: (NOW - 86_400).into(),
            key_tag: self.dnskey.calculate_key_tag().unwrap(),
            signer_name: self.name.clone(),
        };
        change(&mut input);
        let tbs = TBS::from_input(&first.name, DNSClass::IN, &input, records.iter());
        // What has no data to be signed is refused before its signature counts.
        let tbs = tbs.unwrap_or_else(|_| TBS::from(&b""[..]));
        let signature = RRSIG::from_sig(input, self.key.sign(&tbs).unwrap());
        let data = RData::DNSSEC(DNSSECRData::RRSIG(signature));
        Record::from_rdata(first.name.clone(), TTL, data)
    }

    /// The RRset and its signature.
    pub fn signed(&self, records: &[Record]) -> Vec<Record> {
        let mut all = records.to_vec();
        all.push(self.sign_with(records, |_| {}));
        all
    }

    pub fn signed_one(&self, record: Record) -> Vec<Record> {
        self.signed(&[record])
    }

    /// The RRset of a wildcard and its signature, as they come for `owner`.
    pub fn expanded(&self, record: Record, owner: &str) -> Vec<Record> {
        let mut all = self.signed_one(record);
        for record in &mut all {
            record.name = name(owner);
        }
        all
    }

    pub fn nsec(&self, owner: &str, next: &str, kinds: &[RecordType]) -> Vec<Record> {
        let nsec = NSEC::new(name(next), kinds.iter().copied());
        self.signed_one(record(owner, RData::DNSSEC(DNSSECRData::NSEC(nsec))))
    }

    pub fn dnskeys(&self, others: &[DNSKEY]) -> Vec<Record> {
        let keys = others.iter().chain([&self.dnskey]);
        let record = |key: &DNSKEY| Record::from_rdata(self.name.clone(), TTL, key.clone().into());
        keys.map(record).collect()
    }

    pub fn believe(&self, reply: &Message) -> Result<Keys, Bogus> {
        let ds = [self.ds(DigestType::SHA256)];
        Keys::believe(&self.name, &ds, reply, Now(NOW), &mut Work::new())
    }

    pub fn keys(&self) -> Keys {
        let records = self.signed(&self.dnskeys(&[]));
        self.believe(&reply(&[records], &[])).unwrap()
    }

    /// What the answers and authorities prove about the name.
    pub fn answer(
        &self,
        asked: &str,
        kind: RecordType,
        answers: &[Vec<Record>],
        authorities: &[Vec<Record>],
    ) -> Result<Validated, Bogus> {
        let reply = reply(answers, authorities);
        let keys = self.keys();
        keys.answer(&name(asked), kind, &reply, Now(NOW), &mut Work::new())
    }
}

pub fn ds_of(zone: &Name, key: &DNSKEY, digest_type: DigestType) -> DS {
    let digest = key.to_digest(zone, digest_type).unwrap();
    let tag = key.calculate_key_tag().unwrap();
    DS::new(
        tag,
        Algorithm::ED25519,
        digest_type,
        digest.as_ref().to_vec(),
    )
}

pub fn reply(answers: &[Vec<Record>], authorities: &[Vec<Record>]) -> Message {
    let mut reply = Message::new(0, MessageType::Response, OpCode::Query);
    reply.answers = answers.concat();
    reply.authorities = authorities.concat();
    reply
}

pub fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(name(owner), TTL, data)
}

pub fn a(owner: &str, last: u8) -> Record {
    record(owner, RData::A(A::new(192, 0, 2, last)))
}

pub fn cname(owner: &str, target: &str) -> Record {
    record(owner, RData::CNAME(CNAME(name(target))))
}

pub fn ns(owner: &str) -> Record {
    record(owner, RData::NS(NS(name("ns.example.net."))))
}

pub fn dname(owner: &str, target: &str) -> Record {
    let rdata = NULL::with(name(target).to_bytes().unwrap());
    let code = RecordType::DNAME;
    record(owner, RData::Unknown { code, rdata })
}

pub fn soa(owner: &str, minimum: u32) -> Record {
    let (server, mail) = (name("ns.example.net."), name("mail.example.net."));
    record(
        owner,
        RData::SOA(SOA::new(server, mail, 1, 2, 3, 4, minimum)),
    )
}
