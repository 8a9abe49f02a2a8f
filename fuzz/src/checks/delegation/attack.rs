//! The bytes of the fuzzer as what a server replies: any bytes, or an honest reply
//! with changes.

use hickory_proto::dnssec::Nsec3HashAlgorithm;
use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC, NSEC3};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;

use super::super::input::Input;
use super::made::Signer;
use super::zones::{Zone, below, dname, lower, name};

/// The most that one reply repeats of a record.
const FLOOD: usize = 120;

const KINDS: [RecordType; 8] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::TXT,
    RecordType::CNAME,
    RecordType::DS,
    RecordType::NS,
    RecordType::SOA,
    RecordType::DNSKEY,
];

/// Names below the zone.
const LABELS: [&str; 32] = [
    "@",
    "www",
    "alias",
    "x.wild",
    "*.wild",
    "wild",
    "x.y.wild",
    "x.wildalias",
    "*.wildalias",
    "ent",
    "leaf.ent",
    "x.ent",
    "sub",
    "www.sub",
    "safe",
    "www.safe",
    "own",
    "www.own",
    "plain",
    "www.plain",
    "evil",
    "www.evil",
    "old",
    "x.old",
    "a.b.old",
    "ns",
    "zzz",
    "_tor.www",
    "x.www",
    "nope",
    "aaa",
    "*",
];

/// Other names: of the public DNS, and those that are nobody's to resolve.
const NAMES: [&str; 16] = [
    ".",
    "bit.",
    "com.",
    "www.example.net.",
    "ns.example.net.",
    "new.example.net.",
    "localhost.",
    "ns1.other.bit.",
    "x.local.",
    "ns.exit.",
    "127.0.0.1.",
    "x.onion.",
    "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion.",
    "ns.example.com.",
    "example.com.",
    "x_y.example.com.",
];

const TTLS: [u32; 8] = [0, 1, 60, 299, 3600, 86_400, 0x7fff_ffff, 0xffff_ffff];

const ADDRESSES: [[u8; 4]; 8] = [
    [192, 0, 2, 10],
    [192, 0, 2, 53],
    [192, 0, 2, 54],
    [192, 0, 2, 66],
    [127, 0, 0, 1],
    [10, 0, 0, 1],
    [0, 0, 0, 0],
    [198, 51, 100, 7],
];

impl<'a> Input<'a> {
    fn number(&mut self) -> usize {
        usize::from(u16::from_be_bytes([self.byte(), self.byte()]))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn kind(&mut self) -> RecordType {
        self.pick(&KINDS)
    }

    /// A name, perhaps made from another.
    pub fn name(&mut self, zone: &Name, of: &Name) -> Name {
        let at = usize::from(self.byte());
        let made = match at {
            0..32 => return below(LABELS[at], zone),
            32..48 => return name(NAMES[at - 32]),
            48 => of.prepend_label("x"),
            49 => of.base_name().prepend_label("*"),
            50 => return of.base_name(),
            // Too long for a DNAME record to move it.
            51 => long(&below("old", zone)),
            52 => long(of),
            53..58 => {
                let label = self.label();
                zone.prepend_label(label)
            }
            58..61 => {
                let label = self.label();
                of.prepend_label(label)
            }
            61 => {
                let label = self.label();
                name("com.").prepend_label(label)
            }
            62 => Name::from_ascii(of.to_string().to_uppercase()),
            _ => return of.clone(),
        };
        made.unwrap_or_else(|_| of.clone())
    }

    fn label(&mut self) -> &'a [u8] {
        let length = 1 + self.below(20);
        self.bytes(length)
    }
}

fn long(of: &Name) -> Result<Name, hickory_proto::ProtoError> {
    let mut name = of.clone();
    while name.len() + 64 < 250 {
        name = name.prepend_label([b'l'; 60].as_slice())?;
    }
    name.prepend_label([b'x'; 9].as_slice())
}

/// One question as a server gets it.
pub struct Asked<'a> {
    pub id: u16,
    pub name: &'a Name,
    pub kind: RecordType,
}

/// What an attacker knows: all that is published of the zones, and more.
pub struct Attacker<'a> {
    pub zones: &'a [Zone],
    pub others: &'a [Zone],
    pub key: &'a Signer,
}

impl Attacker<'_> {
    /// A reply as bytes, perhaps made from an honest one.
    pub fn reply(
        &self,
        input: &mut Input<'_>,
        asked: &Asked<'_>,
        honest: impl FnOnce() -> Option<Message>,
    ) -> Vec<u8> {
        let how = input.byte();
        if how & 0x80 != 0 {
            let length = input.number() % 4096;
            let mut bytes = input.bytes(length).to_vec();
            if how & 1 == 0 {
                adopt(&mut bytes, asked);
            }
            return bytes;
        }
        let honest = if how & 1 == 0 { honest() } else { None };
        let mut reply = honest.unwrap_or_else(Message::query);
        address(&mut reply, asked);
        reply.metadata.authoritative ^= how & 2 != 0;
        reply.metadata.response_code = match (how >> 2) & 3 {
            0 => reply.metadata.response_code,
            1 => ResponseCode::NoError,
            2 => ResponseCode::NXDomain,
            _ => input.pick(&[
                ResponseCode::ServFail,
                ResponseCode::FormErr,
                ResponseCode::Refused,
                ResponseCode::YXDomain,
            ]),
        };
        reply.metadata.truncation = how & 0x10 != 0;
        if how & 0x20 != 0 {
            reply.queries = vec![Query::query(asked.name.to_lowercase(), input.kind())];
        }
        for _ in 0..input.below(24) {
            self.change(input, asked, &mut reply);
        }
        let Ok(mut bytes) = reply.to_vec() else {
            return Vec::new();
        };
        if how & 0x40 != 0 {
            for _ in 0..=input.below(4) {
                let at = input.number() % bytes.len();
                bytes[at] ^= input.byte();
            }
        }
        bytes
    }

    fn zone(&self) -> &Name {
        &self.zones[0].name
    }

    fn change(&self, input: &mut Input<'_>, asked: &Asked<'_>, reply: &mut Message) {
        let (zone, of) = (self.zone(), asked.name);
        let how = input.byte();
        let to = match how >> 6 {
            0 => &mut reply.answers,
            1 => &mut reply.authorities,
            2 => &mut reply.additionals,
            _ => &mut reply.answers,
        };
        match how % 14 {
            0 | 1 => to.extend(self.published(input)),
            // As if it were another's.
            2 => {
                let owner = input.name(zone, of);
                let mut set = self.published(input);
                set.iter_mut()
                    .for_each(|record| record.name = owner.clone());
                to.extend(set);
            }
            3 | 4 => to.push(self.forged(input, of)),
            5 => {
                let set: Vec<_> = (0..=input.below(3))
                    .map(|_| self.forged(input, of))
                    .collect();
                to.extend(self.signed(input, of, set));
            }
            // What a server said, signed by the attacker.
            6 => {
                let set = std::mem::take(to);
                to.extend(self.signed(input, of, set));
            }
            7 => {
                let ttl = input.pick(&TTLS);
                if let Some(record) = one(input, to) {
                    record.ttl = ttl;
                }
            }
            8 => {
                let ttl = input.pick(&TTLS);
                to.iter_mut().for_each(|record| record.ttl = ttl);
            }
            9 if !to.is_empty() => {
                to.remove(input.below(to.len()));
            }
            10 => {
                let owner = input.name(zone, of);
                if let Some(record) = one(input, to) {
                    record.name = owner;
                }
            }
            11 => {
                if let Some(record) = one(input, to) {
                    record.dns_class = DNSClass::CH;
                }
            }
            12 if !to.is_empty() => {
                let record = to[input.below(to.len())].clone();
                let other = match input.byte() % 3 {
                    0 => &mut reply.answers,
                    1 => &mut reply.authorities,
                    _ => &mut reply.additionals,
                };
                other.push(record);
            }
            13 if !to.is_empty() => {
                let record = to[input.below(to.len())].clone();
                let length = record.to_bytes().map_or(1, |bytes| bytes.len());
                let count = (1 + 2 * input.below(FLOOD / 2)).min(16_000 / length);
                to.extend(std::iter::repeat_n(record, count));
            }
            _ => to.clear(),
        }
    }

    /// An RRset that a zone published, its signatures, or both.
    fn published(&self, input: &mut Input<'_>) -> Vec<Record> {
        let which = input.byte();
        let zones = if which < 240 { self.zones } else { self.others };
        let zone = &zones[usize::from(which / 4) % zones.len()];
        let mut set = match zone.published.as_slice() {
            [] => return Vec::new(),
            sets => sets[input.below(sets.len())].clone(),
        };
        match which % 4 {
            0 => set.retain(|record| record.record_type() == RecordType::RRSIG),
            1 => set.retain(|record| record.record_type() != RecordType::RRSIG),
            _ => {}
        }
        set
    }

    fn forged(&self, input: &mut Input<'_>, of: &Name) -> Record {
        let zone = self.zone();
        let owner = input.name(zone, of);
        let ttl = input.pick(&TTLS);
        let data = match input.byte() % 12 {
            0 | 1 => RData::A(A(input.pick(&ADDRESSES).into())),
            2 => {
                let mut address = [0; 16];
                address[0] = input.pick(&[0, 0x20, 0xfc, 0xfe, 0xff]);
                address[1] = input.byte();
                address[15] = input.byte();
                RData::AAAA(AAAA(address.into()))
            }
            3 => RData::CNAME(CNAME(input.name(zone, of))),
            4 | 5 => RData::NS(NS(input.name(zone, of))),
            6 => dname(&input.name(zone, of)),
            7 => {
                let length = input.below(100);
                let text = String::from_utf8_lossy(input.bytes(length)).into_owned();
                RData::TXT(TXT::new(vec![text]))
            }
            8 => {
                let minimum = input.pick(&TTLS);
                let server = input.name(zone, of);
                RData::SOA(SOA::new(server.clone(), server, 1, 2, 3, 4, minimum))
            }
            9 => RData::DNSSEC(DNSSECRData::DS(self.key.ds(&lower(&owner)))),
            10 => RData::DNSSEC(DNSSECRData::DNSKEY(self.key.dnskey.clone())),
            _ => {
                let kinds = kinds(input.byte());
                let data = match input.byte() % 2 {
                    0 => DNSSECRData::NSEC(NSEC::new(input.name(zone, of), kinds)),
                    _ => DNSSECRData::NSEC3(NSEC3::new(
                        Nsec3HashAlgorithm::SHA1,
                        input.byte().is_multiple_of(2),
                        input.pick(&[0, 1, 150, 151, 0xffff]),
                        vec![0xab; input.below(256)],
                        vec![input.byte(); 20],
                        kinds,
                    )),
                };
                let owner = match &data {
                    DNSSECRData::NSEC3(_) => {
                        zone.prepend_label([b'0' + input.byte() % 10; 32].as_slice())
                    }
                    _ => Ok(owner.clone()),
                };
                let owner = owner.unwrap_or_else(|_| zone.clone());
                return Record::from_rdata(owner, ttl, RData::DNSSEC(data));
            }
        };
        Record::from_rdata(owner, ttl, data)
    }

    /// Records with the attacker's signature for those that are like the first.
    fn signed(&self, input: &mut Input<'_>, of: &Name, mut set: Vec<Record>) -> Vec<Record> {
        let signer = match input.byte() % 4 {
            0 => self.zone().clone(),
            1 => input.name(self.zone(), of),
            _ => below("evil", self.zone()),
        };
        let labels = Some(input.byte() % 8).filter(|labels| *labels > 0);
        let Some(first) = set.first().cloned() else {
            return set;
        };
        let alike = set.iter().filter(|record| {
            record.name == first.name && record.record_type() == first.record_type()
        });
        let alike: Vec<_> = alike.take(40).cloned().collect();
        set.extend(self.key.sign(&alike, &signer, labels, self.zones[0].now));
        set
    }
}

fn one<'r>(input: &mut Input<'_>, records: &'r mut [Record]) -> Option<&'r mut Record> {
    let at = input.below(records.len());
    records.get_mut(at)
}

/// Types as the bits say.
fn kinds(bits: u8) -> Vec<RecordType> {
    let all = KINDS.into_iter().enumerate();
    all.filter(|(at, _)| bits >> at & 1 != 0)
        .map(|(_, kind)| kind)
        .collect()
}

/// Makes a message a reply to a question.
pub fn address(reply: &mut Message, asked: &Asked<'_>) {
    reply.metadata.id = asked.id;
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.op_code = OpCode::Query;
    reply.queries = vec![Query::query(asked.name.clone(), asked.kind)];
}

/// The same for bytes: the id, and the letters of the question if it is the same.
fn adopt(bytes: &mut [u8], asked: &Asked<'_>) {
    if let Some(id) = bytes.get_mut(..2) {
        id.copy_from_slice(&asked.id.to_be_bytes());
    }
    let name = asked.name.to_bytes().unwrap_or_default();
    let question = bytes.get_mut(12..12 + name.len());
    if let Some(question) = question.filter(|own| own.eq_ignore_ascii_case(&name)) {
        question.copy_from_slice(&name);
    }
}
