//! Names that are resolved along all zones, with servers of which some are the
//! attacker's.

use hickory_proto::dnssec::rdata::DS;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use ncprop279::delegation::dnssec::Now;
use ncprop279::fuzzing::delegation::{Ask, AskError, Extensions, Judge, Walk};
use ncprop279::snapshot::delegated::{MAX_MESSAGES, Question, Reply};

use super::super::input::Input;
use super::attack::{Asked, Attacker};
use super::zones::{NEGATIVE_TTL, Truth, Zone, below, is_same, lower};
use super::{address, framed, hear, honest, is_acceptable, sent};

/// The most connections for one question, as outside of tests.
const CONNECTIONS: usize = 16;

/// The most batches for one question: far more than there are connections.
const BATCHES: usize = 100;

/// The server of the first zone.
const SERVER: &str = "192.0.2.53";

/// Servers that say what the fuzzer has them say, and are honest when it has said
/// all.
struct Servers<'a, 'b> {
    attacker: &'a Attacker<'a>,
    question: &'a Question,
    input: &'a mut Input<'b>,
    /// Whether all have been honest.
    is_honest: &'a mut bool,
    served: &'a mut Vec<Record>,
    messages: u8,
    connections: usize,
    batches: usize,
}

impl Ask for Servers<'_, '_> {
    fn sent(&self) -> u8 {
        self.messages
    }

    fn ask(
        &mut self,
        servers: &[String],
        questions: &[(Name, RecordType)],
        extensions: Extensions,
        rounds: usize,
        judge: Judge<'_>,
    ) -> Result<(), AskError> {
        self.batches += 1;
        assert!(self.batches < BATCHES, "it does not end");
        assert!(!questions.is_empty());
        assert!(servers.iter().all(|server| is_acceptable(server)));
        for (name, kind) in questions {
            assert!(self.question.zone.zone_of(name) && name.eq_case(&lower(name)));
            let is_for_keys = matches!(kind, RecordType::DNSKEY | RecordType::DS);
            assert!(!is_for_keys || extensions == Extensions::Signed);
        }
        let mut open: Vec<usize> = (0..questions.len()).collect();
        for server in servers.iter().cycle().take(rounds * servers.len()) {
            let left = self.question.messages.saturating_sub(self.messages);
            if usize::from(left) < open.len() || self.connections == CONNECTIONS {
                break;
            }
            self.messages += u8::try_from(open.len()).expect("few questions");
            self.connections += 1;
            let Some((sent, stream)) = self.say(server, questions, &open) else {
                return Err(AskError::TimedOut);
            };
            let heard = hear(&stream, &sent);
            let replies = open.iter().copied().zip(heard);
            let replies = replies.filter_map(|(at, heard)| Some((at, heard?)));
            let replies: Vec<_> = replies.collect();
            for (_, reply) in &replies {
                if let Ok(reply) = reply {
                    self.served.extend(reply.answers.iter().cloned());
                }
            }
            let judgement = judge(server, replies);
            open.retain(|at| !judgement.settled.contains(at));
            if open.is_empty() {
                return Ok(());
            }
        }
        Err(AskError::Servers("said nothing".to_owned()))
    }
}

impl Servers<'_, '_> {
    /// What comes over a connection; `None` if the time is up.
    fn say(
        &mut self,
        server: &str,
        questions: &[(Name, RecordType)],
        open: &[usize],
    ) -> Option<(Vec<ncprop279::fuzzing::delegation::Sent>, Vec<u8>)> {
        let how = self.input.byte();
        *self.is_honest &= how == 0;
        if how == 0xff {
            return None;
        }
        let (mut all, mut stream) = (Vec::new(), Vec::new());
        for at in open {
            let (name, kind) = &questions[*at];
            let id = 0x4000 + u16::try_from(*at).unwrap_or(0);
            let (sent, name_sent) = sent(id, name, *kind);
            all.push(sent);
            let asked = Asked {
                id,
                name: &name_sent,
                kind: *kind,
            };
            let honest = || honest(self.attacker.zones, server, name, *kind);
            let bytes = match how % 4 {
                0 => honest().and_then(|mut reply| {
                    address(&mut reply, &asked);
                    reply.to_bytes().ok()
                }),
                1 => None,
                _ => Some(self.attacker.reply(self.input, &asked, honest)),
            };
            if let Some(bytes) = bytes {
                stream.extend(framed(&bytes));
            }
        }
        if how & 0x10 != 0 {
            stream.truncate(stream.len() / 2);
        }
        Some((all, stream))
    }
}

/// Resolves a name.
pub fn resolve(attacker: &Attacker<'_>, mut input: Input<'_>) {
    let zone = &attacker.zones[0];
    let how = input.byte();
    let name = lower(&input.name(&zone.name, &zone.name));
    if !zone.name.zone_of(&name) {
        return;
    }
    let mut asked = vec![
        (name.clone(), RecordType::A),
        (name.clone(), RecordType::AAAA),
    ];
    let ds = match how % 8 {
        0 => Vec::new(),
        // Of an algorithm that nobody has, and too short.
        1 => vec![vec![1, 2, 5, 2, 3, 4]],
        2 => vec![vec![1]],
        _ => zone.ds.iter().map(bytes).collect(),
    };
    if let Ok(name) = name.prepend_label("_tor")
        && !ds.is_empty()
    {
        asked.insert(0, (name, RecordType::TXT));
    }
    let mut servers = vec![SERVER.to_owned()];
    if how & 0x10 != 0 {
        servers.extend(["192.0.2.54".to_owned(), "ns.example.net".to_owned()]);
    }
    let question = Question {
        zone: zone.name.clone(),
        servers,
        ds,
        asked,
        messages: match how >> 6 {
            0 => 1 + u8::try_from(input.below(16)).unwrap_or(0),
            _ => MAX_MESSAGES,
        },
    };
    let (mut is_honest, mut served) = (true, Vec::new());
    let asking = Servers {
        attacker,
        question: &question,
        input: &mut input,
        is_honest: &mut is_honest,
        served: &mut served,
        messages: 0,
        connections: 0,
        batches: 0,
    };
    let answer = Walk::new(asking, Now(zone.now)).run(&question);
    let is_easy = is_honest && zone.replies.is_empty() && question.messages == MAX_MESSAGES;
    let is_easy = is_easy && question.ds.iter().all(|ds| ds.len() > 6);
    let can_be_found = |name: &Name, kind| is_easy && can_be_found(attacker.zones, name, kind);
    let Ok(answer) = answer else {
        let mut asked = question.asked.iter();
        assert!(
            !asked.any(|(name, kind)| can_be_found(name, *kind)),
            "{answer:?}"
        );
        return;
    };
    assert_eq!(answer.replies.len(), question.asked.len());
    assert!(answer.messages <= question.messages);
    for ((name, kind), reply) in question.asked.iter().zip(&answer.replies) {
        let Ok(reply) = reply else {
            assert!(!can_be_found(name, *kind), "{name} {kind}: {answer:?}");
            continue;
        };
        assert!(reply.data.iter().all(|data| data.record_type() == *kind));
        let most = if question.ds.is_empty() {
            assert!(!reply.is_signed, "nothing vouches for it");
            None
        } else {
            assert!(
                question.ds.len() > 1 || question.ds[0].len() > 6,
                "{answer:?}"
            );
            check(attacker.zones, name, *kind, reply)
        };
        if let Some(most) = most {
            assert!(
                answer.ttl.as_secs() <= most.into(),
                "{name} {kind}: {:?}",
                answer.ttl
            );
        }
        if !reply.is_signed {
            from_server(&served, name, reply);
        }
    }
}

fn bytes(ds: &DS) -> Vec<u8> {
    ds.to_bytes().expect("a record")
}

/// Whether honest servers answer a question.
fn can_be_found(zones: &[Zone], name: &Name, kind: RecordType) -> bool {
    let mut zone = &zones[0];
    while let (Truth::Cut(child, ds), _) = zone.truth(name, kind) {
        match zones.iter().find(|zone| zone.name == child) {
            Some(child) if is_same(&child.ds, &ds) => zone = child,
            _ => return false,
        }
    }
    zone.truth(name, kind).0 != Truth::Outside
}

/// Checks that a reply is true, in the innermost zone. Returns for how long it may
/// hold, if that is known.
fn check(zones: &[Zone], name: &Name, kind: RecordType, reply: &Reply) -> Option<u32> {
    let apex = &zones[0].name;
    let mut zone = &zones[0];
    loop {
        let (truth, is_proved) = zone.truth(name, kind);
        let is_safe = match &truth {
            Truth::Cut(_, ds) => !ds.is_empty(),
            _ => is_proved,
        };
        if !is_safe {
            assert!(!reply.is_signed, "{name} {kind}: {reply:?}, but {truth:?}");
            return None;
        }
        let expected = |data: &[RData], alias, exists| Reply {
            exists,
            data: data.to_vec(),
            alias,
            is_signed: true,
        };
        let (expected, most) = match truth {
            // The attacker's.
            Truth::Cut(child, _) if child == below("evil", apex) => return None,
            Truth::Cut(child, ds) => {
                let own = zones.iter().find(|zone| zone.name == child);
                let own = own.filter(|own| is_same(&own.ds, &ds));
                zone = own.unwrap_or_else(|| panic!("nobody has the keys of {child}"));
                continue;
            }
            Truth::Data(data, ttl) => (expected(&data, None, true), ttl),
            Truth::Alias(alias, ttl) => (expected(&[], Some(alias), true), ttl),
            Truth::NoData => (expected(&[], None, true), NEGATIVE_TTL),
            Truth::NoName => (expected(&[], None, false), NEGATIVE_TTL),
            Truth::Outside => panic!("{name} {kind}: {reply:?}"),
        };
        let is_true = is_same(&reply.data, &expected.data)
            && (&reply.alias, reply.exists, reply.is_signed)
                == (&expected.alias, expected.exists, true);
        assert!(is_true, "{name} {kind}: {reply:?}, but {expected:?}");
        return Some(most);
    }
}

/// What nobody signed comes from a server at least.
fn from_server(served: &[Record], name: &Name, reply: &Reply) {
    let mut own = served.iter().filter(|record| record.name == *name);
    for data in &reply.data {
        let mut own = own.clone();
        assert!(own.any(|record| record.data == *data));
    }
    if let Some(alias) = &reply.alias {
        let is_it = |record: &Record| matches!(&record.data, RData::CNAME(to) if to.0 == *alias);
        assert!(own.any(is_it));
    }
}
