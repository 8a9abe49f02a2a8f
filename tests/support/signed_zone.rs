//! A signed zone for a name server on loopback. hickory-proto signs it with a key
//! that is made when the test begins, so its signatures are valid now.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::{BASE32_DNSSEC, BASE64};
use hickory_proto::dnssec::crypto::{EcdsaSigningKey, Ed25519SigningKey};
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, NSEC, NSEC3, RRSIG, SigInput};
use hickory_proto::dnssec::{Algorithm, DigestType, Nsec3HashAlgorithm, SigningKey, TBS};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::name_server::{NameServer, Said, Zone, name, record, reply, soa};

const TTL: u32 = 300;
const DAY: i64 = 86_400;

/// How a zone proves that a name does not exist.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    Nsec,
    Nsec3,
    /// By NSEC3 records that leave room for unsigned delegations.
    OptOut,
}

/// A zone with its key.
pub struct SignedZone {
    apex: Name,
    key: Box<dyn SigningKey>,
    records: Vec<Record>,
    denial: Denial,
    valid: (i64, i64),
}

impl SignedZone {
    /// A zone with an Ed25519 key and NSEC records.
    pub fn of(apex: &str, zone: Zone<'_>) -> Self {
        Self::with(Algorithm::ED25519, apex, zone)
    }

    /// A zone with a key of this algorithm: Ed25519 or one of the ECDSA ones.
    pub fn with(algorithm: Algorithm, apex: &str, zone: Zone<'_>) -> Self {
        let key: Box<dyn SigningKey> = match algorithm {
            Algorithm::ED25519 => {
                let key = Ed25519SigningKey::generate_pkcs8().unwrap();
                Box::new(Ed25519SigningKey::from_pkcs8(&key).unwrap())
            }
            algorithm => {
                let key = EcdsaSigningKey::generate_pkcs8(algorithm).unwrap();
                Box::new(EcdsaSigningKey::from_pkcs8(&key, algorithm).unwrap())
            }
        };
        let own = [soa(apex), record(apex, "NS", "ns1.example.net")];
        let records = zone
            .iter()
            .map(|(owner, kind, data)| record(owner, kind, data));
        let mut zone = Self {
            apex: name(apex),
            key,
            records: own.into_iter().chain(records).collect(),
            denial: Denial::Nsec,
            valid: (-DAY, DAY),
        };
        let dnskey = RData::DNSSEC(DNSSECRData::DNSKEY(zone.dnskey()));
        zone.push(&name(apex), dnskey);
        zone
    }

    pub fn denying_by(mut self, denial: Denial) -> Self {
        self.denial = denial;
        self
    }

    /// Its signatures are valid from and until so many seconds from now.
    pub fn valid(mut self, from: i64, until: i64) -> Self {
        self.valid = (from, until);
        self
    }

    /// Adds the DS record of a child zone, to which its records delegate.
    pub fn vouching_for(mut self, child: &Self) -> Self {
        let ds = RData::DNSSEC(DNSSECRData::DS(child.ds(DigestType::SHA256)));
        self.push(&child.apex, ds);
        self
    }

    fn push(&mut self, owner: &Name, data: RData) {
        self.records
            .push(Record::from_rdata(owner.clone(), TTL, data));
    }

    fn dnskey(&self) -> DNSKEY {
        DNSKEY::from_key(&self.key.to_public_key().unwrap())
    }

    fn ds(&self, digest_type: DigestType) -> DS {
        let key = self.dnskey();
        let digest = key.to_digest(&self.apex, digest_type).unwrap();
        let tag = key.calculate_key_tag().unwrap();
        let digest = digest.as_ref().to_vec();
        DS::new(tag, self.key.algorithm(), digest_type, digest)
    }

    /// The zone's DS record, as values have it.
    pub fn ds_item(&self) -> String {
        self.ds_item_by(DigestType::SHA256)
    }

    /// The zone's DS record with this kind of digest.
    pub fn ds_item_by(&self, digest_type: DigestType) -> String {
        let ds = self.ds(digest_type);
        item(ds.key_tag(), self.key.algorithm(), digest_type, ds.digest())
    }

    /// The zone's DS record, had its key another algorithm.
    pub fn ds_item_of(&self, algorithm: Algorithm) -> String {
        let ds = self.ds(DigestType::SHA256);
        item(ds.key_tag(), algorithm, DigestType::SHA256, ds.digest())
    }

    /// A name server for this zone alone.
    pub fn serve(self) -> NameServer {
        serve(vec![Arc::new(self)], |_, honest| honest)
    }

    /// An RRset with its signature.
    pub fn signed(&self, records: &[Record]) -> Vec<Record> {
        let first = &records[0];
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_secs()).unwrap();
        let at = |from_now: i64| u32::try_from(now + from_now).unwrap();
        let input = SigInput {
            type_covered: first.record_type(),
            algorithm: self.key.algorithm(),
            num_labels: first.name.num_labels(),
            original_ttl: TTL,
            sig_expiration: at(self.valid.1).into(),
            sig_inception: at(self.valid.0).into(),
            key_tag: self.dnskey().calculate_key_tag().unwrap(),
            signer_name: self.apex.clone(),
        };
        let tbs = TBS::from_input(&first.name, DNSClass::IN, &input, records.iter()).unwrap();
        let signature = RRSIG::from_sig(input, self.key.sign(&tbs).unwrap());
        let data = RData::DNSSEC(DNSSECRData::RRSIG(signature));
        let mut all = records.to_vec();
        all.push(Record::from_rdata(first.name.clone(), TTL, data));
        all
    }

    /// What an honest server for the zone replies.
    pub fn answer(&self, query: &Message) -> Message {
        let mut message = reply(query);
        let question = &query.queries[0];
        let asked = question.name().to_lowercase();
        let kind = question.query_type();
        if let Some(cut) = self.cut_above(&asked, kind) {
            message.metadata.authoritative = false;
            let servers = self.rrset(&cut, RecordType::NS);
            message.add_additionals(self.glue(&servers));
            message.add_authorities(servers);
            let ds = self.rrset(&cut, RecordType::DS);
            message.add_authorities(match ds.is_empty() {
                true => self.at(&cut),
                false => self.signed(&ds),
            });
            return message;
        }
        let alias = self.rrset(&asked, RecordType::CNAME);
        let found = match alias.is_empty() {
            true => self.rrset(&asked, kind),
            false => alias,
        };
        if !found.is_empty() {
            message.add_answers(self.signed(&found));
            return message;
        }
        message.add_authorities(self.signed(&self.rrset(&self.apex, RecordType::SOA)));
        if self.exists(&asked) {
            message.add_authorities(self.at(&asked));
            return message;
        }
        if let Some((answers, proof)) = self.expanded(&asked, kind) {
            message.authorities.clear();
            message.add_answers(answers);
            message.add_authorities(proof);
            return message;
        }
        let (closest, next_closer) = self.closest(&asked);
        let wildcard = closest.prepend_label("*").unwrap();
        if self.exists(&wildcard) {
            // It has no records of this type.
            let mut proof = self.at(&wildcard);
            if self.denial != Denial::Nsec {
                proof.extend(self.at(&closest));
            }
            proof.extend(self.around(&next_closer));
            message.add_authorities(proof);
            return message;
        }
        message.metadata.response_code = ResponseCode::NXDomain;
        message.add_authorities(self.without(&asked));
        message
    }

    /// What a wildcard makes of a name that does not exist, and the proof that it
    /// does not.
    fn expanded(&self, asked: &Name, kind: RecordType) -> Option<(Vec<Record>, Vec<Record>)> {
        let (closest, next_closer) = self.closest(asked);
        let found = self.rrset(&closest.prepend_label("*").unwrap(), kind);
        if found.is_empty() {
            return None;
        }
        let mut found = self.signed(&found);
        for record in &mut found {
            record.name = asked.clone();
        }
        Some((found, self.around(&next_closer)))
    }

    /// The closest name above one that does not exist, and the next one below.
    fn closest(&self, asked: &Name) -> (Name, Name) {
        let mut next_closer = asked.clone();
        while !self.exists(&next_closer.base_name()) {
            next_closer = next_closer.base_name();
        }
        (next_closer.base_name(), next_closer)
    }

    fn rrset(&self, owner: &Name, kind: RecordType) -> Vec<Record> {
        let records = self.records.iter();
        let own = records.filter(|one| one.name == *owner && one.record_type() == kind);
        own.cloned().collect()
    }

    /// The zone cut that hides a name from this zone.
    fn cut_above(&self, asked: &Name, kind: RecordType) -> Option<Name> {
        let cut = self.records.iter().find(|record| {
            record.record_type() == RecordType::NS
                && record.name != self.apex
                && record.name.zone_of(asked)
                && !(kind == RecordType::DS && record.name == *asked)
        });
        cut.map(|record| record.name.clone())
    }

    fn glue(&self, servers: &[Record]) -> Vec<Record> {
        let glue = self.records.iter().filter(|one| {
            servers
                .iter()
                .any(|server| matches!(&server.data, RData::NS(to) if to.0 == one.name))
        });
        glue.cloned().collect()
    }

    fn exists(&self, asked: &Name) -> bool {
        self.records.iter().any(|one| asked.zone_of(&one.name))
    }

    /// The owners of the zone's own records, in canonical order.
    fn owners(&self) -> BTreeSet<Name> {
        let owners = self.records.iter().map(|one| one.name.clone());
        // Glue is no part of the zone.
        let is_glue = |owner: &Name| {
            let cut = self.cut_above(owner, RecordType::DS);
            cut.is_some_and(|cut| cut != *owner)
        };
        owners.filter(|owner| !is_glue(owner)).collect()
    }

    fn types(&self, owner: &Name) -> BTreeSet<RecordType> {
        let own = self.records.iter().filter(|one| one.name == *owner);
        let own = own.map(Record::record_type);
        own.chain([RecordType::RRSIG]).collect()
    }

    /// The proof of which types a name has.
    pub fn at(&self, owner: &Name) -> Vec<Record> {
        self.span(|from, _, asked| from == asked, owner)
            // An empty non-terminal has no NSEC record of its own.
            .unwrap_or_else(|| self.around(owner))
    }

    /// The proof that a name does not exist, and no wildcard does.
    fn without(&self, asked: &Name) -> Vec<Record> {
        let (closest, next_closer) = self.closest(asked);
        let wildcard = closest.prepend_label("*").unwrap();
        let mut proof = match self.denial {
            Denial::Nsec => self.around(asked),
            Denial::Nsec3 | Denial::OptOut => {
                [self.at(&closest), self.around(&next_closer)].concat()
            }
        };
        for record in self.around(&wildcard) {
            if !proof.contains(&record) {
                proof.push(record);
            }
        }
        proof
    }

    /// The record around a name that does not exist.
    pub fn around(&self, asked: &Name) -> Vec<Record> {
        let is_around = |from: &[u8], to: &[u8], asked: &[u8]| match from < to {
            true => from < asked && asked < to,
            false => asked > from || asked < to,
        };
        self.span(is_around, asked).unwrap()
    }

    /// The NSEC or NSEC3 record whose owner and next owner fit a name; all three
    /// are compared as bytes.
    fn span(
        &self,
        fits: impl Fn(&[u8], &[u8], &[u8]) -> bool,
        asked: &Name,
    ) -> Option<Vec<Record>> {
        let mut owners: Vec<_> = self.owners().into_iter().collect();
        if self.denial != Denial::Nsec {
            // Empty non-terminals have NSEC3 records.
            for mut owner in owners.clone() {
                while owner != self.apex {
                    owner = owner.base_name();
                    owners.push(owner.clone());
                }
            }
        }
        let mut places: Vec<_> = owners.iter().map(|one| (self.place(one), one)).collect();
        places.sort();
        places.dedup();
        let asked = self.place(asked);
        let next = places.iter().cycle().skip(1);
        let mut spans = places.iter().zip(next);
        let ((from, owner), (to, next)) =
            spans.find(|((from, _), (to, _))| fits(from, to, &asked))?;
        let types = self.types(owner);
        let (owner, data) = match self.denial {
            Denial::Nsec => {
                let types = types.into_iter().chain([RecordType::NSEC]);
                let nsec = NSEC::new((*next).clone(), types);
                ((*owner).clone(), DNSSECRData::NSEC(nsec))
            }
            Denial::Nsec3 | Denial::OptOut => {
                let to = to.clone();
                let sha1 = Nsec3HashAlgorithm::SHA1;
                let opt_out = self.denial == Denial::OptOut;
                let nsec3 = NSEC3::new(sha1, opt_out, 0, Vec::new(), to, types);
                let label = BASE32_DNSSEC.encode(from);
                let owner = self.apex.prepend_label(label).unwrap();
                (owner, DNSSECRData::NSEC3(nsec3))
            }
        };
        Some(self.signed(&[Record::from_rdata(owner, TTL, RData::DNSSEC(data))]))
    }

    /// Where a name is in the order of the zone, as bytes.
    fn place(&self, owner: &Name) -> Vec<u8> {
        match self.denial {
            Denial::Nsec => {
                let labels = owner.iter().rev();
                labels.flat_map(|label| [label, &[0]].concat()).collect()
            }
            Denial::Nsec3 | Denial::OptOut => {
                let hash = Nsec3HashAlgorithm::SHA1.hash(&[], owner, 0);
                hash.unwrap().as_ref().to_vec()
            }
        }
    }
}

/// A name server for several zones. What it replies in the end is up to `lie`,
/// which has the query and the honest reply.
pub fn serve(
    zones: Vec<Arc<SignedZone>>,
    lie: impl Fn(&Message, Message) -> Message + Send + Sync + 'static,
) -> NameServer {
    NameServer::scripted(move |query, _| {
        let question = &query.queries[0];
        let holding = zones.iter().filter(|zone| {
            // The DS records of a zone are its parent's.
            let is_parents = question.query_type() == RecordType::DS;
            zone.apex.zone_of(question.name()) && !(is_parents && zone.apex == *question.name())
        });
        let Some(zone) = holding.max_by_key(|zone| zone.apex.num_labels()) else {
            let mut refused = reply(query);
            refused.metadata.response_code = ResponseCode::Refused;
            return vec![Said::Message(refused)];
        };
        let mut honest = zone.answer(query);
        // Nobody sends signatures to whoever does not ask for them (RFC 4035 section
        // 3.1).
        if !query
            .edns
            .as_ref()
            .is_some_and(|edns| edns.flags().dnssec_ok)
        {
            strip(&mut honest);
        }
        vec![Said::Message(lie(query, honest))]
    })
}

/// Removes all signatures and proofs that were not asked for.
pub fn strip(message: &mut Message) {
    use RecordType::{DS, NSEC, NSEC3, RRSIG};
    let kind = message.queries[0].query_type();
    let sections = [&mut message.answers, &mut message.authorities];
    for section in sections {
        section.retain(|one| {
            let own = one.record_type();
            own == kind || ![DS, NSEC, NSEC3, RRSIG].contains(&own)
        });
    }
}

fn item(tag: u16, algorithm: Algorithm, digest_type: DigestType, digest: &[u8]) -> String {
    format!(
        r#"[{tag}, {}, {}, "{}"]"#,
        u8::from(algorithm),
        u8::from(digest_type),
        BASE64.encode(digest)
    )
}
