//! A name server on loopback, by DNS over TCP: with a zone that it answers from,
//! or with a script for what no real server does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// What a server does with a query.
pub enum Said {
    Message(Message),
    /// These bytes instead of a framed message.
    Bytes(Vec<u8>),
    /// A message, a byte at a time.
    Slowly(Message, Duration),
    /// Nothing, and the connection stays open.
    Nothing,
    /// The end of the connection.
    Close,
}

pub struct NameServer {
    address: SocketAddr,
    queries: Arc<Mutex<Vec<Message>>>,
}

/// Records as `owner type data`, as zone files have them.
pub type Zone<'a> = &'a [(&'a str, &'a str, &'a str)];

pub fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

pub fn record(owner: &str, kind: &str, data: &str) -> Record {
    let data = match kind {
        "A" => RData::A(A(data.parse().unwrap())),
        "AAAA" => RData::AAAA(AAAA(data.parse().unwrap())),
        "CNAME" => RData::CNAME(CNAME(name(data))),
        "NS" => RData::NS(NS(name(data))),
        "TXT" => RData::TXT(TXT::new(vec![data.to_owned()])),
        other => panic!("no records of type {other}"),
    };
    Record::from_rdata(name(owner), 300, data)
}

pub fn soa(apex: &str) -> Record {
    let soa = SOA::new(name("ns.invalid"), name("admin.invalid"), 1, 1, 1, 1, 60);
    Record::from_rdata(name(apex), 300, RData::SOA(soa))
}

/// An empty reply to a query, with authority.
pub fn reply(query: &Message) -> Message {
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.authoritative = true;
    reply.add_queries(query.queries.iter().cloned());
    reply
}

/// What a server for a zone replies.
pub fn answer(query: &Message, apex: &str, records: &[Record]) -> Message {
    let mut reply = reply(query);
    let question = &query.queries[0];
    let cut = records.iter().find(|record| {
        record.record_type() == RecordType::NS
            && record.name != name(apex)
            && record.name.zone_of(question.name())
    });
    if let Some(cut) = cut {
        reply.metadata.authoritative = false;
        let servers = records
            .iter()
            .filter(|record| record.name == cut.name && record.record_type() == RecordType::NS);
        let servers: Vec<Record> = servers.cloned().collect();
        let glue = records.iter().filter(|record| {
            let of = |server: &Record| matches!(&server.data, RData::NS(to) if to.0 == record.name);
            servers.iter().any(of)
        });
        let glue: Vec<Record> = glue.cloned().collect();
        reply.add_authorities(servers);
        reply.add_additionals(glue);
        return reply;
    }
    let of_name = |record: &&Record| record.name == *question.name();
    let fits = |record: &&Record| {
        matches!(record.data, RData::CNAME(_)) || record.record_type() == question.query_type()
    };
    let found: Vec<Record> = records
        .iter()
        .filter(of_name)
        .filter(fits)
        .cloned()
        .collect();
    if found.is_empty() {
        let below = |record: &Record| question.name().zone_of(&record.name);
        if !records.iter().any(below) {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        reply.add_authority(soa(apex));
    }
    reply.add_answers(found);
    reply
}

impl NameServer {
    /// A server for the zone at `apex`.
    pub fn of(apex: &str, zone: Zone<'_>) -> Self {
        let apex = apex.to_owned();
        let records = zone
            .iter()
            .map(|(owner, kind, data)| record(owner, kind, data));
        let records: Vec<Record> = records.collect();
        Self::scripted(move |query, _| vec![Said::Message(answer(query, &apex, &records))])
    }

    /// A server that does as a script says, with the query and its number.
    pub fn scripted(script: impl Fn(&Message, usize) -> Vec<Said> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let queries = Arc::new(Mutex::new(Vec::new()));
        let (script, heard) = (Arc::new(script), Arc::clone(&queries));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, heard) = (Arc::clone(&script), Arc::clone(&heard));
                thread::spawn(move || serve(stream, &*script, &heard));
            }
        });
        Self { address, queries }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn queries(&self) -> Vec<Message> {
        self.queries.lock().unwrap().clone()
    }

    /// What was asked, in lower case, as `type name`.
    pub fn asked(&self) -> Vec<String> {
        let queries = self.queries();
        let asked = queries.iter().map(|query| {
            let question = &query.queries[0];
            let name = question.name().to_lowercase();
            format!("{} {name}", question.query_type())
        });
        asked.collect()
    }
}

fn serve(
    mut stream: TcpStream,
    script: &dyn Fn(&Message, usize) -> Vec<Said>,
    heard: &Mutex<Vec<Message>>,
) -> Option<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut bytes = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut bytes).ok()?;
        let query = Message::from_vec(&bytes).expect("a query");
        let number = {
            let mut heard = heard.lock().unwrap();
            heard.push(query.clone());
            heard.len() - 1
        };
        for said in script(&query, number) {
            match said {
                Said::Message(message) => stream.write_all(&framed(&message)).ok()?,
                Said::Bytes(bytes) => stream.write_all(&bytes).ok()?,
                Said::Slowly(message, pause) => {
                    for byte in framed(&message) {
                        stream.write_all(&[byte]).ok()?;
                        thread::sleep(pause);
                    }
                }
                Said::Nothing => {}
                Said::Close => return None,
            }
        }
    }
}

/// A message with its length in front (RFC 1035 section 4.2.2).
pub fn framed(message: &Message) -> Vec<u8> {
    let bytes = message.to_vec().unwrap();
    let mut framed = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    framed.extend(bytes);
    framed
}
