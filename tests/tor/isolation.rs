//! Which streams share an isolation id: those that may share a circuit of Tor.

use std::cell::Cell;
use std::collections::HashSet;

use super::Door;
use crate::support::node::Node;
use crate::support::serve::node;
use crate::support::tor_control::ModelTor;
use crate::support::tor_control::stream::{End, Stream, USUAL_FIELDS, Wish};

/// A door of which the ids are seen: the node is asked once under each.
struct Seen {
    tor: ModelTor,
    node: Node,
    _door: Door,
    expected: Cell<usize>,
}

impl Seen {
    fn start() -> Self {
        let tor = ModelTor::start();
        let value = r#"{"ip":"192.0.2.6","map":{"www":{"ip":"192.0.2.6"}}}"#;
        let node = node(&[("d/site", value)]);
        let door = Door::with_node(&tor, &node, &[]);
        Self {
            tor,
            node,
            _door: door,
            expected: Cell::new(0),
        }
    }

    fn look_up(&self, stream: &Stream) {
        let stream = self.tor.stream(stream.clone());
        assert!(
            matches!(stream.end(), End::Attached(_) | End::Answered(_)),
            "{:?}",
            stream.ends()
        );
    }

    /// A stream that shares its id with none before.
    #[track_caller]
    fn has_a_new_id(&self, stream: &Stream) {
        self.look_up(stream);
        self.expected.set(self.expected.get() + 1);
        assert_eq!(self.node.count("d/site"), self.expected.get(), "{stream:?}");
        let ids = self.node.streams("d/site");
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }

    /// A stream that shares its id with one before.
    #[track_caller]
    fn has_a_known_id(&self, stream: &Stream) {
        self.look_up(stream);
        assert_eq!(self.node.count("d/site"), self.expected.get(), "{stream:?}");
    }
}

fn alice_at(host: &str) -> Stream {
    Stream::connect(host, 80).user("alice", "1")
}

fn alice() -> Stream {
    alice_at("site.bit")
}

/// Fields with one more.
fn also(field: &str) -> String {
    format!("{field},{USUAL_FIELDS}")
}

#[test]
fn everything_that_a_listener_isolates_by_makes_an_id() {
    let seen = Seen::start();
    let all = [
        alice(),
        alice().user("alice", "2"),
        alice().user("alice", ""),
        alice().user("", "1"),
        alice().user("bob", "1"),
        alice().user("alice1", ""),
        alice().user("Alice", "1"),
        alice().from("127.0.0.2:1234"),
        alice().from("::1:1234"),
        alice().from("::12:34"),
        alice().group(-5),
        alice().group(5),
        Stream::connect("site.bit", 80),
        Stream::unix("site.bit", 80),
        Stream::unix("site.bit", 80)
            .from("/run/tor/other.sock:0")
            .group(-12),
        Stream::http("site.bit", 80),
        Stream::http("site.bit", 80).user("", b"\x01\xff\x01\xffblue"),
        Stream::http("site.bit", 80).user("", b"\x01\xff\x01\xffred"),
        Stream::http("site.bit", 80).user("Basic YWxpY2U6MQ==", ""),
        Stream::dns("site.bit", Wish::A).from("127.0.0.1:53"),
        Stream::dns("site.bit", Wish::A).from("127.0.0.2:53"),
    ];
    for stream in &all {
        seen.has_a_new_id(stream);
    }
    for stream in &all {
        seen.has_a_known_id(stream);
    }
    for id in seen.node.streams("d/site") {
        assert_eq!(id.len(), 64);
        assert!(id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    }
}

/// What it does not isolate by makes none: the client's port, the target, the
/// protocol, what is wanted.
#[test]
fn nothing_else_makes_an_id() {
    let seen = Seen::start();
    seen.has_a_new_id(&alice());
    for stream in [
        alice().from("127.0.0.1:1"),
        alice().from("127.0.0.1:65535"),
        Stream::connect("SITE.bit", 80).user("alice", "1"),
        Stream::connect("site.bit.", 80).user("alice", "1"),
        Stream::connect("site.bit", 443).user("alice", "1"),
        Stream::socks4("site.bit", 80).user("alice", "1"),
        Stream::resolve("site.bit").user("alice", "1"),
    ] {
        seen.has_a_known_id(&stream);
    }
}

#[test]
fn listeners_that_isolate_by_more_have_more_ids() {
    let seen = Seen::start();
    let to = |host: &str, port, field: &str, group| {
        let stream = Stream::connect(host, port).user("alice", "1");
        stream.group(group).fields(&also(field))
    };
    seen.has_a_new_id(&to("site.bit", 80, "DESTADDR", -5));
    seen.has_a_new_id(&to("www.site.bit", 80, "DESTADDR", -5));
    seen.has_a_known_id(&to("WWW.site.bit", 443, "DESTADDR", -5));
    seen.has_a_new_id(&to("site.bit", 80, "DESTPORT", -6));
    seen.has_a_new_id(&to("site.bit", 443, "DESTPORT", -6));
    seen.has_a_known_id(&to("site.bit", 80, "DESTPORT", -6));
    let by_protocol = also("CLIENT_PROTOCOL");
    let socks4 = Stream::socks4("site.bit", 80).user("alice", "1");
    seen.has_a_new_id(&alice().group(-8).fields(&by_protocol));
    seen.has_a_new_id(&socks4.group(-8).fields(&by_protocol));
}

#[test]
fn listeners_that_isolate_by_less_have_fewer_ids() {
    let seen = Seen::start();
    let no_auth = "CLIENTADDR,SESSION_GROUP,NYM_EPOCH";
    seen.has_a_new_id(&alice().group(-7).fields(no_auth));
    seen.has_a_known_id(&alice().user("bob", "").group(-7).fields(no_auth));
    let no_address = "SOCKS_USERNAME,SOCKS_PASSWORD,SESSION_GROUP,NYM_EPOCH";
    seen.has_a_new_id(&alice().group(-9).fields(no_address));
    seen.has_a_known_id(&alice().from("127.0.0.9:1").group(-9).fields(no_address));
}

/// Two listeners in one session group, one of which isolates by less. Tor never puts
/// a stream that isolates by a field on a circuit on which that field differs.
#[test]
fn a_field_that_once_differed_fits_nobody_who_isolates_by_it() {
    let seen = Seen::start();
    let no_auth = "CLIENTADDR,SESSION_GROUP,NYM_EPOCH";
    let strict = |user: &str| alice().user(user, "").group(5);
    let lax = |user: &str| strict(user).fields(no_auth);
    // A stream that does not care joins one that does, which spoils the id.
    seen.has_a_new_id(&strict("alice"));
    seen.has_a_known_id(&lax("alice"));
    seen.has_a_known_id(&strict("alice"));
    seen.has_a_known_id(&lax("bob"));
    seen.has_a_new_id(&strict("alice"));
    seen.has_a_new_id(&strict("bob"));
}

/// The user wants to be unlinkable with what was before.
#[test]
fn a_new_identity_forgets_everything() {
    let seen = Seen::start();
    for _ in 0..3 {
        seen.has_a_new_id(&alice());
        seen.has_a_new_id(&alice().user("bob", ""));
        seen.has_a_known_id(&alice());
        seen.tor.newnym();
    }
    // Even where the listener does not isolate by it.
    let no_epoch = "SOCKS_USERNAME,SOCKS_PASSWORD,CLIENTADDR,SESSION_GROUP";
    seen.has_a_new_id(&alice().fields(no_epoch));
    seen.tor.newnym();
    seen.has_a_new_id(&alice().fields(no_epoch));
}

/// What is under way then is not lost.
#[test]
fn a_new_identity_interrupts_no_lookup() {
    let tor = ModelTor::start();
    let node = node(&[("d/held", r#"{"ip":"192.0.2.8"}"#)]);
    node.hold("d/held");
    let _door = Door::with_node(&tor, &node, &[]);
    let held = alice_at("held.bit");
    let before = tor.stream(held.clone());
    node.wait_for("d/held", 1);
    tor.newnym();
    let after = tor.stream(held);
    node.wait_for("d/held", 2);
    node.release("d/held");
    for stream in [before, after] {
        assert_eq!(stream.end(), End::Attached("192.0.2.8:80".to_owned()));
    }
    let ids = node.streams("d/held");
    assert_ne!(ids[0], ids[1]);
}

/// A field that this program does not know may keep apart what it would mix up.
#[test]
fn a_stream_isolated_by_something_unknown_has_an_id_of_its_own() {
    let seen = Seen::start();
    let strange = alice().fields(&also("MOON_PHASE"));
    for _ in 0..3 {
        seen.has_a_new_id(&strange);
        // Nothing said of it at all.
        seen.has_a_new_id(&alice().fields(""));
    }
    seen.has_a_new_id(&alice());
    seen.has_a_known_id(&alice());
}

/// In another run, all ids are others.
#[test]
fn ids_are_random() {
    let seen = Seen::start();
    seen.has_a_new_id(&alice());
    let other = ModelTor::start();
    let _door = Door::with_node(&other, &seen.node, &[]);
    other.stream(alice()).end();
    let ids = seen.node.streams("d/site");
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
}
