//! Zones whose contents are known, and what is true in them.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use hickory_proto::dnssec::rdata::{DNSSECRData, DS};
use hickory_proto::dnssec::{Algorithm, DigestType};
use hickory_proto::op::Message;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, NULL, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use ncprop279::delegation::dnssec::{Keys, Now, Validated, Work};

/// The TTL of the zones' records, and of proofs that there are none.
pub const TTL: u32 = 3600;
pub const NEGATIVE_TTL: u32 = 300;

/// The records of all signed zones, those for DNSSEC left out: owner, type, data.
/// `@` is the zone, `$` its name. A `?` is an address that no recording has.
const RECORDS: &str = "\
@ SOA ns.$
@ NS ns.$
@ A ?
alias CNAME www.example.net.
leaf.ent A ?
ns A 192.0.2.53
old DNAME new.example.net.
own NS ns.$
plain NS ns.$
safe NS ns.safe.$
safe DS 12345 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
sub NS ns.sub.$
*.wild A 192.0.2.77
*.wildalias CNAME www.$
www A 192.0.2.10
www A 192.0.2.11
www AAAA 2001:db8::10
_tor.www TXT onetwo
zzz A ?";

/// The records of a zone and whatever its servers publish.
pub struct Zone {
    pub name: Name,
    /// What is true: each RRset without signatures.
    pub records: BTreeMap<(Name, RecordType), Vec<Record>>,
    /// Whether unsigned zones may exist between its names.
    pub is_opt_out: bool,
    /// What vouches for it; nothing if it is unsigned.
    pub ds: Vec<DS>,
    pub keys: Option<Keys>,
    /// RRsets with their signatures, as anybody gets them.
    pub published: Vec<Vec<Record>>,
    /// What its servers replied.
    pub replies: Vec<(Name, RecordType, Message)>,
    /// The time of its keys; nothing is valid before `from` or after `until`.
    pub now: u32,
    pub from: u32,
    pub until: u32,
}

/// What is true about a name and type.
#[derive(Debug, PartialEq)]
pub enum Truth {
    /// The zone does not say.
    Outside,
    /// There is a zone cut at or above the name, with these DS records.
    Cut(Name, Vec<DS>),
    Alias(Name, u32),
    Data(Vec<RData>, u32),
    NoData,
    NoName,
}

/// Where a name is in a zone.
pub enum Place {
    Cut(Name),
    Dname(Name),
    Here,
    /// The name does not exist, but this wildcard that makes it.
    Wildcard(Name),
    /// Nor does a wildcard. This is the closest name above it.
    Nothing(Name),
}

pub fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("a name");
    name.set_fqdn(true);
    name
}

pub fn lower(name: &Name) -> Name {
    let mut name = name.to_lowercase();
    name.set_fqdn(true);
    name
}

/// The name of `labels` below the zone.
pub fn below(labels: &str, zone: &Name) -> Name {
    match labels {
        "@" => zone.clone(),
        _ => lower(&name(&format!("{labels}.{zone}"))),
    }
}

pub fn is_below(name: &Name, ancestor: &Name) -> bool {
    ancestor.zone_of(name) && name != ancestor
}

pub fn dname(target: &Name) -> RData {
    RData::Unknown {
        code: RecordType::DNAME,
        rdata: NULL::with(target.to_bytes().unwrap_or_default()),
    }
}

/// The record in a line.
fn record(line: &str, zone: &Name) -> Record {
    let line = line
        .replace('$', &zone.to_string())
        .replace('?', "192.0.2.1");
    let words: Vec<_> = line.split(' ').collect();
    let [owner, kind, data @ ..] = words.as_slice() else {
        panic!("{line}");
    };
    let first = *data.first().expect("data");
    let mut ttl = TTL;
    let data = match *kind {
        "A" => RData::A(A(first.parse().expect("an address"))),
        "AAAA" => {
            ttl = 600;
            RData::AAAA(AAAA(first.parse().expect("an address")))
        }
        "CNAME" => RData::CNAME(CNAME(name(first))),
        "NS" => RData::NS(NS(name(first))),
        "DNAME" => dname(&name(first)),
        "TXT" => RData::TXT(TXT::new(vec!["one".to_owned(), "two".to_owned()])),
        "DS" => RData::DNSSEC(DNSSECRData::DS(ds(data))),
        _ => {
            ttl = NEGATIVE_TTL;
            let mail = below("hostmaster", zone);
            RData::SOA(SOA::new(name(first), mail, 1, 2, 3, 4, NEGATIVE_TTL))
        }
    };
    Record::from_rdata(below(owner, zone), ttl, data)
}

fn ds(words: &[&str]) -> DS {
    let [tag, algorithm, digest_type, digest] = words else {
        panic!("{words:?}");
    };
    let digest = HEXLOWER_PERMISSIVE.decode(digest.as_bytes());
    DS::new(
        tag.parse().expect("a tag"),
        Algorithm::from_u8(algorithm.parse().expect("an algorithm")),
        DigestType::from(digest_type.parse::<u8>().expect("a digest type")),
        digest.expect("a digest"),
    )
}

pub fn delegation_signers(records: &[Record]) -> Vec<DS> {
    let records = records.iter().filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::DS(ds)) => Some(ds.clone()),
        _ => None,
    });
    records.collect()
}

impl Zone {
    /// A zone with the records of all and more lines.
    pub fn with_records(zone: &str, more: &str) -> Self {
        let mut made = Self::with_only(zone, RECORDS);
        made.add(more);
        made
    }

    /// A zone with the records in these lines.
    pub fn with_only(zone: &str, lines: &str) -> Self {
        let mut zone = Self {
            name: name(zone),
            records: BTreeMap::new(),
            is_opt_out: false,
            ds: Vec::new(),
            keys: None,
            published: Vec::new(),
            replies: Vec::new(),
            now: 0,
            from: 0,
            until: 0,
        };
        zone.add(lines);
        zone
    }

    fn add(&mut self, lines: &str) {
        for line in lines.lines() {
            self.add_record(record(line, &self.name));
        }
    }

    pub fn add_record(&mut self, record: Record) {
        let key = (lower(&record.name), record.record_type());
        let set = self.records.entry(key).or_default();
        if !set.contains(&record) {
            set.push(record);
        }
    }

    /// A zone that a real server served (`tests/data/dnssec`).
    pub fn recorded(text: &str, is_opt_out: bool) -> Self {
        let mut zone = Self::with_only(".", "");
        let mut sets = BTreeMap::<(Name, RecordType), BTreeSet<Vec<u8>>>::new();
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                ["zone", name] => zone = Self::with_records(name, ""),
                ["now", now] => zone.now = now.parse().expect("a time"),
                ["ds", words @ ..] => zone.ds.push(ds(words)),
                ["reply", labels, kind, reply] => {
                    let reply = BASE64.decode(reply.as_bytes()).expect("base64");
                    let reply = Message::from_vec(&reply).expect("a message");
                    let kind = kind.parse().expect("a type");
                    for record in reply.all_sections() {
                        let covered = match &record.data {
                            RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) => rrsig.input().type_covered,
                            _ => record.record_type(),
                        };
                        let mut record = record.clone();
                        record.name = lower(&record.name);
                        let set = sets.entry((record.name.clone(), covered)).or_default();
                        set.insert(record.to_bytes().expect("a record"));
                    }
                    zone.replies.push((below(labels, &zone.name), kind, reply));
                }
                _ => {}
            }
        }
        zone.is_opt_out = is_opt_out;
        let read = |bytes: &Vec<u8>| {
            use hickory_proto::serialize::binary::BinDecodable;
            Record::from_bytes(bytes).expect("a record")
        };
        zone.published = sets
            .values()
            .map(|set| set.iter().map(read).collect())
            .collect();
        zone.learn();
        zone
    }

    /// Takes over what only the zone's signer knows: keys, times, the SOA record, and
    /// which of its children have DS records.
    fn learn(&mut self) {
        let (mut from, mut until) = (u32::MAX, 0);
        for set in self.published.clone() {
            for record in set {
                match &record.data {
                    RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) => {
                        from = from.min(rrsig.input().sig_inception.get());
                        until = until.max(rrsig.input().sig_expiration.get());
                    }
                    RData::DNSSEC(DNSSECRData::DNSKEY(_)) => self.add_record(record),
                    RData::SOA(_) if record.name == self.name => {
                        let key = (record.name.clone(), RecordType::SOA);
                        self.records.insert(key, vec![record]);
                    }
                    RData::DNSSEC(DNSSECRData::DS(_))
                        if record.name == below("own", &self.name) =>
                    {
                        self.add_record(record);
                    }
                    _ => {}
                }
            }
        }
        (self.from, self.until) = (from, until);
        let reply = self.reply_with_keys();
        let (now, work) = (Now(self.now), &mut Work::new());
        let keys = Keys::believe(&self.name, &self.ds, &reply, now, work);
        self.keys = Some(keys.expect("the zone's keys"));
    }

    pub fn reply_with_keys(&self) -> Message {
        let mut reply = Message::query();
        reply.answers = self.set(&self.name, RecordType::DNSKEY);
        reply
    }

    /// Signs of life of a zone that was made here.
    pub fn publish(&mut self, sets: Vec<Vec<Record>>, now: u32) {
        self.published = sets;
        self.now = now;
        self.learn();
    }

    /// An RRset with its signatures.
    pub fn set(&self, owner: &Name, kind: RecordType) -> Vec<Record> {
        let mut sets = self.published.iter();
        let is_it = |set: &&Vec<Record>| {
            let mut records = set.iter();
            records.any(|record| record.name == *owner && record.record_type() == kind)
        };
        sets.find(is_it).cloned().unwrap_or_default()
    }

    pub fn has(&self, owner: &Name, kind: RecordType) -> bool {
        self.records.contains_key(&(owner.clone(), kind))
    }

    fn exists(&self, name: &Name) -> bool {
        self.records.keys().any(|(owner, _)| name.zone_of(owner))
    }

    /// Where a name of the zone, in lower case, is.
    pub fn locate(&self, name: &Name) -> Place {
        let least = self.name.iter().count();
        let labels = name.iter().count();
        for count in least + 1..=labels {
            let ancestor = name.trim_to(count);
            if self.has(&ancestor, RecordType::NS) {
                return Place::Cut(ancestor);
            }
            if count < labels && self.has(&ancestor, RecordType::DNAME) {
                return Place::Dname(ancestor);
            }
        }
        if self.exists(name) {
            return Place::Here;
        }
        let above = (least..labels).rev().map(|count| name.trim_to(count));
        let closest = above.into_iter().find(|name| self.exists(name));
        let closest = closest.unwrap_or_else(|| self.name.clone());
        match closest.prepend_label("*") {
            Ok(wildcard) if self.exists(&wildcard) => Place::Wildcard(wildcard),
            _ => Place::Nothing(closest),
        }
    }

    /// What is true, and whether the zone proves it: it does not where unsigned
    /// zones may exist.
    pub fn truth(&self, name: &Name, kind: RecordType) -> (Truth, bool) {
        let name = lower(name);
        let is_parents = kind == RecordType::DS && name == self.name;
        if !self.name.zone_of(&name) || is_parents {
            return (Truth::Outside, true);
        }
        match self.locate(&name) {
            Place::Cut(cut) => {
                let key = (cut.clone(), RecordType::DS);
                let ds = self.records.get(&key);
                let ds = ds.map(|ds| delegation_signers(ds)).unwrap_or_default();
                let is_proved = !self.is_opt_out || !ds.is_empty();
                (Truth::Cut(cut, ds), is_proved)
            }
            Place::Dname(owner) => (self.moved(&name, &owner), true),
            Place::Here => (self.at(&name, kind), true),
            Place::Wildcard(owner) => (self.at(&owner, kind), !self.is_opt_out),
            Place::Nothing(_) => (Truth::NoName, !self.is_opt_out),
        }
    }

    fn at(&self, owner: &Name, kind: RecordType) -> Truth {
        let set = |kind| self.records.get(&(owner.clone(), kind));
        if let Some(RData::CNAME(target)) = set(RecordType::CNAME).map(|set| &set[0].data) {
            return Truth::Alias(lower(&target.0), TTL);
        }
        match set(kind) {
            Some(set) => {
                let data = set.iter().map(|record| record.data.clone());
                Truth::Data(data.collect(), set[0].ttl)
            }
            None => Truth::NoData,
        }
    }

    /// The alias that the DNAME record at `owner` makes of a name.
    fn moved(&self, name: &Name, owner: &Name) -> Truth {
        let kept = name.iter().count() - owner.iter().count();
        let kept = Name::from_labels(name.iter().take(kept)).expect("labels of a name");
        match kept.append_domain(&super::zones::name("new.example.net.")) {
            Ok(target) => Truth::Alias(target, TTL),
            // No name is that long.
            Err(_) => Truth::Outside,
        }
    }

    /// Checks that what was believed is true, at this time.
    pub fn check(&self, name: &Name, kind: RecordType, believed: &Validated, now: u32) {
        let left = u32::try_from(self.until.wrapping_sub(now).cast_signed()).unwrap_or(0);
        let (truth, is_proved) = self.truth(name, kind);
        let lie = || panic!("{name} {kind}: {believed:?}, but {truth:?}");
        let most = match (believed, &truth) {
            // Nothing is believed yet.
            (Validated::Below { child }, _) => {
                assert!(is_below(child, &self.name) && child.zone_of(name));
                assert!(kind != RecordType::DS || child != name);
                return;
            }
            (Validated::OptOut { .. }, _) if self.is_opt_out && !is_proved => NEGATIVE_TTL,
            (Validated::Referral { child, ds, .. }, _) if self.is_opt_out && !is_proved => {
                let (truth, is_proved) = self.truth(child, RecordType::DS);
                assert!(ds.is_none() && !is_proved, "{child} {truth:?}");
                assert!(is_below(child, &self.name) && child.zone_of(name));
                NEGATIVE_TTL
            }
            (Validated::Referral { child, ds, .. }, Truth::Cut(cut, true_ds)) => {
                let ds = ds.clone().unwrap_or_default();
                if child != cut || !is_same(&ds, true_ds) {
                    lie();
                }
                if ds.is_empty() { NEGATIVE_TTL } else { TTL }
            }
            (Validated::Data { records, .. }, Truth::Data(data, ttl)) if is_proved => {
                if !is_same(records, data) {
                    lie();
                }
                *ttl
            }
            (Validated::Alias { target, .. }, Truth::Alias(true_target, ttl)) if is_proved => {
                if target != true_target {
                    lie();
                }
                *ttl
            }
            (Validated::NoData { .. }, Truth::NoData) if is_proved => NEGATIVE_TTL,
            (Validated::NoName { .. }, Truth::NoName) if is_proved => NEGATIVE_TTL,
            _ => lie(),
        };
        let (Validated::Data { ttl, .. }
        | Validated::Alias { ttl, .. }
        | Validated::NoData { ttl }
        | Validated::NoName { ttl }
        | Validated::Referral { ttl, .. }
        | Validated::OptOut { ttl }) = believed
        else {
            return;
        };
        assert!(*ttl <= most.min(left), "{name} {kind}: {ttl} s");
    }
}

/// Whether two lists hold the same, each once.
pub fn is_same<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    one.len() == other.len() && one.iter().all(|item| other.contains(item))
}
