//! Which streams share an isolation id: those that may share a circuit of Tor
//! (`spec/tor-control.md`, "Isolation").
//!
//! A circuit remembers by what the stream that came first on it can be told
//! apart, and in what others have differed since. A stream fits if everything
//! that it wants to be isolated by has always been the same, and is its own.
//! Here an id takes the place of a circuit.

use sha3::{Digest, Sha3_256};

use super::event::{Announcement, Target, fields};
use crate::isolation::IsolationId;

/// The most ids that are remembered, beyond which the one that was used least
/// recently is forgotten.
const MAX_IDS: usize = 4096;

/// What streams may be isolated by, as `ISO_FIELDS` names it.
const FIELDS: [&[u8]; 8] = [
    b"SOCKS_USERNAME",
    b"SOCKS_PASSWORD",
    b"CLIENT_PROTOCOL",
    b"NYM_EPOCH",
    b"SESSION_GROUP",
    b"CLIENTADDR",
    b"DESTADDR",
    b"DESTPORT",
];

/// A value of a field as 128 bits that only this process can compute: no
/// credentials are kept.
type Value = [u8; 16];

/// A bit for each of [`FIELDS`].
type FieldSet = u8;

/// By what a stream can be told apart from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traits {
    values: [Value; FIELDS.len()],
    isolate_by: FieldSet,
}

struct Record {
    id: IsolationId,
    values: [Value; FIELDS.len()],
    mixed: FieldSet,
    used: u64,
}

/// The ids of one Tor.
pub struct Ids {
    key: [u8; 32],
    records: Vec<Record>,
    /// Counts how often an id was asked for.
    clock: u64,
}

impl Ids {
    /// None yet.
    pub fn new() -> Self {
        Self {
            key: rand::random(),
            records: Vec::new(),
            clock: 0,
        }
    }

    /// What an event says of a stream; `None` if that is not everything that Tor
    /// isolates the stream by.
    pub fn traits(&self, target: &Target, announced: &Announcement<'_>) -> Option<Traits> {
        let found = fields(announced.rest)?;
        let get = |name: &[u8]| {
            let mut found = found.iter().filter(|(key, _)| *key == name);
            found.next().map(|(_, value)| *value)
        };
        let host = target.host.to_ascii_lowercase();
        let port = target.port.to_string();
        let mut isolate_by = 0;
        for name in get(b"ISO_FIELDS")?.split(|&byte| byte == b',') {
            let number = FIELDS.iter().position(|field| *field == name)?;
            isolate_by |= 1 << number;
        }
        let values = FIELDS.map(|name| {
            let value = match name {
                b"CLIENTADDR" => announced.client,
                b"DESTADDR" => Some(host.as_bytes()),
                b"DESTPORT" => Some(port.as_bytes()),
                name => get(name),
            };
            self.value(value)
        });
        Some(Traits { values, isolate_by })
    }

    fn value(&self, value: Option<&[u8]>) -> Value {
        let mut hasher = Sha3_256::new();
        hasher.update(self.key);
        // Tor takes an empty user name for none.
        hasher.update(value.unwrap_or_default());
        let hash: [u8; 32] = hasher.finalize().into();
        let (value, _) = hash.split_first_chunk().unwrap_or((&[0; 16], &[]));
        *value
    }

    /// The id of a stream. Without traits, one of its own. The second is an id
    /// that is not remembered any more.
    pub fn of(&mut self, traits: Option<&Traits>) -> (IsolationId, Option<IsolationId>) {
        let fresh = IsolationId::from_digest(&rand::random());
        let Some(traits) = traits else {
            return (fresh, None);
        };
        self.clock += 1;
        let fitting = self.records.iter_mut().filter_map(|record| {
            let differs = differences(&record.values, &traits.values);
            let fits = traits.isolate_by & (differs | record.mixed) == 0;
            let spoilt = (differs & !record.mixed).count_ones();
            fits.then_some((spoilt, differs, record))
        });
        // The fewer fields become mixed, the more streams fit later.
        if let Some((_, differs, record)) = fitting.min_by_key(|(spoilt, ..)| *spoilt) {
            record.mixed |= differs;
            record.used = self.clock;
            return (record.id.clone(), None);
        }
        let record = Record {
            id: fresh.clone(),
            values: traits.values,
            mixed: 0,
            used: self.clock,
        };
        if self.records.len() < MAX_IDS {
            self.records.push(record);
            return (fresh, None);
        }
        let oldest = self.records.iter_mut().min_by_key(|record| record.used);
        let forgotten = oldest.map(|oldest| std::mem::replace(oldest, record).id);
        (fresh, forgotten)
    }

    /// Remembers no id any more; gives those it remembered.
    pub fn forget(&mut self) -> impl Iterator<Item = IsolationId> + use<> {
        let records = std::mem::take(&mut self.records);
        records.into_iter().map(|record| record.id)
    }
}

fn differences(one: &[Value; FIELDS.len()], other: &[Value; FIELDS.len()]) -> FieldSet {
    let pairs = one.iter().zip(other).enumerate();
    pairs.fold(0, |set, (number, (one, other))| {
        set | (FieldSet::from(one != other) << number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::tor::event::announcement;

    const DEFAULT: &str = "SOCKS_USERNAME,SOCKS_PASSWORD,CLIENTADDR,SESSION_GROUP,NYM_EPOCH";

    struct Stream {
        target: &'static str,
        user: &'static str,
        client: &'static str,
        protocol: &'static str,
        group: i32,
        epoch: u32,
        by: String,
    }

    fn stream() -> Stream {
        Stream {
            target: "a.bit:80",
            user: "",
            client: "127.0.0.1:4000",
            protocol: "SOCKS5",
            group: -4,
            epoch: 0,
            by: DEFAULT.to_owned(),
        }
    }

    fn traits(ids: &Ids, stream: &Stream) -> Option<Traits> {
        let user = match stream.user {
            "" => String::new(),
            user => format!("SOCKS_USERNAME=\"{user}\" "),
        };
        let text = format!(
            "SOURCE_ADDR={} PURPOSE=USER {user}CLIENT_PROTOCOL={} NYM_EPOCH={} SESSION_GROUP={} \
             ISO_FIELDS={}",
            stream.client, stream.protocol, stream.epoch, stream.group, stream.by
        );
        let target = Target::parse(stream.target.as_bytes()).unwrap();
        ids.traits(&target, &announcement(text.as_bytes()).unwrap())
    }

    fn id(ids: &mut Ids, stream: &Stream) -> IsolationId {
        let traits = traits(ids, stream).unwrap();
        ids.of(Some(&traits)).0
    }

    /// The ids of streams in turn, as numbers from 0.
    fn numbers(streams: &[Stream]) -> Vec<usize> {
        let mut ids = Ids::new();
        let mut known = Vec::new();
        let streams = streams.iter();
        streams
            .map(|stream| {
                let id = id(&mut ids, stream);
                known
                    .iter()
                    .position(|other| *other == id)
                    .unwrap_or_else(|| {
                        known.push(id);
                        known.len() - 1
                    })
            })
            .collect()
    }

    #[test]
    fn tors_defaults_keep_apart_what_they_name_and_nothing_else() {
        let other = |change: fn(&mut Stream)| {
            let mut stream = stream();
            change(&mut stream);
            stream
        };
        assert_eq!(
            numbers(&[
                stream(),
                other(|stream| stream.user = "alice"),
                other(|stream| stream.client = "127.0.0.2:4000"),
                other(|stream| stream.group = -5),
                other(|stream| stream.epoch = 1),
                // These do not count by default.
                other(|stream| stream.target = "b.bit:81"),
                other(|stream| stream.protocol = "HTTPCONNECT"),
                other(|stream| stream.client = "127.0.0.1:1"),
                stream(),
            ]),
            [0, 1, 2, 3, 4, 0, 0, 0, 0]
        );
    }

    #[test]
    fn a_mixed_field_admits_no_stream_that_is_isolated_by_it() {
        let with = |target, by: &str| Stream {
            target,
            by: format!("{DEFAULT}{by}"),
            ..stream()
        };
        // Two listeners with one group: one isolates by the target, one does not.
        assert_eq!(
            numbers(&[
                with("a.bit:80", ",DESTADDR"),
                with("A.bit:80", ",DESTADDR"),
                with("b.bit:80", ",DESTADDR"),
                with("b.bit:80", ""),
                // Now two targets share the second id.
                with("c.bit:80", ""),
                with("c.bit:80", ",DESTADDR"),
            ]),
            [0, 0, 1, 1, 0, 2]
        );
        let mut ids = Ids::new();
        let first = id(&mut ids, &with("a.bit:80", ""));
        assert_eq!(id(&mut ids, &with("b.bit:80", "")), first);
        assert_ne!(id(&mut ids, &with("a.bit:80", ",DESTADDR")), first);
    }

    /// Every sequence of streams of which some are isolated by some field: two
    /// with different values of a field never have one id if one of them is
    /// isolated by it.
    #[test]
    fn no_id_is_shared_by_streams_that_tor_keeps_apart() {
        use rand::rngs::SmallRng;
        use rand::{RngExt, SeedableRng};

        let mut random = SmallRng::seed_from_u64(16);
        for _ in 0..300 {
            let mut ids = Ids::new();
            let mut past: Vec<(IsolationId, Traits)> = Vec::new();
            for _ in 0..40 {
                let mut pick = || random.random_range(0..3usize);
                let extra = [
                    ["", ",DESTADDR", ",DESTPORT"][pick()],
                    ["", ",CLIENT_PROTOCOL", ""][pick()],
                ];
                let base = ["SESSION_GROUP", DEFAULT, "CLIENTADDR,NYM_EPOCH"][pick()];
                let stream = Stream {
                    target: ["a.bit:80", "b.bit:80", "a.bit:81"][pick()],
                    user: ["", "alice", "bob"][pick()],
                    client: ["127.0.0.1:1", "127.0.0.2:1", "::1:1"][pick()],
                    protocol: ["SOCKS5", "DNS", "SOCKS4"][pick()],
                    group: [1, 2, 2][pick()],
                    epoch: [0, 0, 1][pick()],
                    by: format!("{base}{}", extra.concat()),
                };
                let traits = traits(&ids, &stream).unwrap();
                let id = ids.of(Some(&traits)).0;
                for (other, other_traits) in &past {
                    let differs = differences(&traits.values, &other_traits.values);
                    let apart = differs & traits.isolate_by;
                    // The later stream decides, as on a circuit.
                    assert!(*other != id || apart == 0);
                }
                past.push((id, traits));
            }
        }
    }

    #[test]
    fn a_stream_that_is_not_understood_has_an_id_of_its_own() {
        let ids = Ids::new();
        for by in ["", "NEW_KIND", "DESTADDR,NEW_KIND"] {
            let by = by.to_owned();
            assert_eq!(traits(&ids, &Stream { by, ..stream() }), None);
        }
        let mut ids = ids;
        assert_ne!(ids.of(None).0, ids.of(None).0);
        assert!(ids.records.is_empty());
    }

    #[test]
    fn ids_are_bounded_and_forgotten() {
        let mut ids = Ids::new();
        let mut all = Vec::new();
        for epoch in 0..4096 {
            all.push(id(&mut ids, &Stream { epoch, ..stream() }));
        }
        // The first is used again, so the second is the one to go.
        assert_eq!(id(&mut ids, &stream()), all[0]);
        let traits = traits(
            &ids,
            &Stream {
                epoch: 9999,
                ..stream()
            },
        )
        .unwrap();
        let (_, forgotten) = ids.of(Some(&traits));
        assert_eq!(forgotten.as_ref(), all.get(1));
        assert_eq!(ids.records.len(), MAX_IDS);
        assert_eq!(ids.forget().count(), MAX_IDS);
        assert_ne!(id(&mut ids, &stream()), all[0]);
    }
}
