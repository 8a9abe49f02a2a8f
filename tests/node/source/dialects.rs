//! Which dialect is spoken to which node.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use ncprop279::config::settings::DialectSetting;
use ncprop279::isolation::IsolationId;
use ncprop279::snapshot::{Absence, FetchErrorKind, Fetched, NameKey};
use ncprop279::source::Source;
use serde_json::json;

use crate::support::PATIENCE;
use crate::support::node::scripted::{
    Act, NAME, Node, Request, error, fetch, good, id, is_value, limit, recorded,
};

fn is_electrum(request: &Request) -> Act {
    if request.is_positional() {
        recorded("electrum-4.1.0", "refused")
    } else {
        recorded("electrum-4.1.0", "existing")
    }
}

fn is_core(request: &Request) -> Act {
    if request.is_positional() {
        good()
    } else {
        recorded("core", "refused")
    }
}

#[test]
fn core_is_asked_with_a_list() {
    let node = Node::start(|_, request: &Request| is_core(request));
    for setting in [DialectSetting::Auto, DialectSetting::Core] {
        assert!(is_value(&fetch(&node.source(setting), NAME)));
    }
    for request in node.requests() {
        let expected = json!({
            "jsonrpc": "2.0", "id": 1, "method": "name_show",
            "params": ["642f746573746c73", {
                "nameEncoding": "hex", "valueEncoding": "hex", "streamID": "stream-isolation-1",
            }],
        });
        assert_eq!(request.body, expected);
    }
    assert_eq!(node.requests().len(), 2);
}

#[test]
fn electrum_is_recognised_once_and_then_asked_once_for_each_name() {
    let node = Node::start(|_, request: &Request| is_electrum(request));
    let source = node.source(DialectSetting::Auto);
    for _ in 0..3 {
        assert!(is_value(&fetch(&source, NAME)));
    }
    let requests = node.name_requests();
    let dialects: Vec<_> = requests.iter().map(Request::is_positional).collect();
    assert_eq!(dialects, [true, false, false, false]);
    let expected = json!({
        "identifier": "642f746573746c73",
        "options": {
            "nameEncoding": "hex", "valueEncoding": "hex", "streamID": "stream-isolation-1",
        },
    });
    assert_eq!(requests[1].body["params"], expected);
}

#[test]
fn the_id_is_in_every_request_and_missing_only_for_the_shared_one() {
    let node = Node::start(|_, request: &Request| is_electrum(request));
    let source = node.source(DialectSetting::Auto);
    let key = NameKey::new(NAME).unwrap();
    for text in ["a", "\"\\{}'", "3f-1"] {
        let reply = source.fetch(&id(text), &key, &limit());
        assert!(is_value(&reply.map(|reply| reply.fetched)));
        assert_eq!(node.name_requests().last().unwrap().stream_id(), Some(text));
    }
    assert!(node.name_requests().iter().all(|r| r.stream_id().is_some()));
    let reply = source.fetch(&IsolationId::shared(), &key, &limit());
    assert!(is_value(&reply.map(|reply| reply.fetched)));
    let last = node.name_requests().pop().unwrap();
    assert!(!last.body.to_string().contains("streamID"));
}

#[test]
fn a_node_that_changes_is_recognised_again_both_ways() {
    let electrum = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&electrum);
    let node = Node::start(move |_, request: &Request| {
        if now.load(Ordering::SeqCst) {
            is_electrum(request)
        } else {
            is_core(request)
        }
    });
    let source = node.source(DialectSetting::Auto);
    for expected in [2, 1, 2, 1, 2, 1] {
        let before = node.name_requests().len();
        assert!(is_value(&fetch(&source, NAME)));
        assert_eq!(node.name_requests().len() - before, expected);
        if expected == 1 {
            electrum.fetch_xor(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_node_that_understands_nothing_is_asked_twice_and_never_without_the_id() {
    let node = Node::start(|_, request: &Request| {
        if request.is_positional() {
            recorded("electrum-4.1.0", "refused")
        } else {
            recorded("core", "refused")
        }
    });
    let failure = fetch(&node.source(DialectSetting::Auto), NAME).unwrap_err();
    assert_eq!(failure.kind, FetchErrorKind::Unsuitable);
    assert!(failure.message.contains("--rpc-dialect"), "{failure}");
    assert_eq!(node.requests().len(), 2);
    assert!(node.requests().iter().all(|r| r.stream_id().is_some()));
}

#[test]
fn a_fixed_dialect_is_never_left() {
    for setting in [DialectSetting::Core, DialectSetting::ElectrumNmc] {
        let node = Node::start(move |_, request: &Request| match setting {
            DialectSetting::Core => is_electrum(request),
            _ => is_core(request),
        });
        let failure = fetch(&node.source(setting), NAME).unwrap_err();
        assert_eq!(failure.kind, FetchErrorKind::Unsuitable);
        assert!(failure.message.contains("--rpc-dialect"), "{failure}");
        assert!(!failure.message.contains("stream-isolation"), "{failure}");
        assert_eq!(node.requests().len(), 1);
    }
}

#[test]
fn an_unexpected_keyword_is_a_refusal_too() {
    let node = Node::start(|_, request: &Request| {
        if request.is_positional() {
            error(1, "name_show() got an unexpected keyword argument 'name'")
        } else {
            is_electrum(request)
        }
    });
    assert!(is_value(&fetch(&node.source(DialectSetting::Auto), NAME)));
}

#[test]
fn consensusj_is_asked_in_plain_text_without_options() {
    let node = Node::start(|number, _| match number {
        0 => Act::Answer(
            200,
            r#"{"result":{"name":"d/testls","value":"{\"ip\":\"192.0.2.1\"}"},"id":1}"#.into(),
        ),
        _ => recorded("core", "never-1.0"),
    });
    let source = node.source(DialectSetting::ConsensusJ);
    assert_eq!(
        fetch(&source, NAME),
        Ok(Fetched::Value(br#"{"ip":"192.0.2.1"}"#[..].into()))
    );
    assert_eq!(
        fetch(&source, NAME),
        Ok(Fetched::Absent(Absence::NeverExisted))
    );
    for request in node.requests() {
        assert_eq!(request.body["params"], json!([NAME]));
    }
}

#[test]
fn recognition_does_not_hold_up_other_fetches() {
    // The answer to the first request is held back until the other fetch has
    // ended.
    let (arrived, arrival) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let node = Node::start(move |number, request: &Request| {
        if number == 0 {
            arrived.send(()).unwrap();
            released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        is_electrum(request)
    });
    let source = node.source(DialectSetting::Auto);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| fetch(&source, NAME));
        arrival.recv_timeout(PATIENCE).unwrap();
        assert!(is_value(&fetch(&source, NAME)));
        assert!(!first.is_finished());
        release.send(()).unwrap();
        assert!(is_value(&first.join().unwrap()));
    });
}
