//! Names under other suffixes, which a naming plugin of the user's resolves.

use std::fs;

use super::Door;
use crate::support::tor_control::ModelTor;
use crate::support::tor_control::stream::{End, Stream, Wish, attached, closed};

/// A door with a plugin for `test`.
fn door(tor: &ModelTor, files: &tempfile::TempDir) -> Door {
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let script = serde_json::json!({
        "INIT": [["INIT 1 0"]],
        "site.test": [["RESOLVED {id} 0 192.0.2.50"]],
        "stall.test": [[]],
    });
    fs::write(path("script"), script.to_string()).unwrap();
    fs::write(path("plugin.py"), include_str!("../naming/plugin.py")).unwrap();
    let files = ["plugin.py", "log", "script"].map(path).join(" ");
    let plugin = format!("test=python3 {files}");
    let door = Door::begin(&[tor], &["--naming-plugin", &plugin]);
    door.is_in_charge_of(tor);
    door
}

#[test]
fn names_under_another_suffix_are_resolved_by_its_plugin() {
    let files = tempfile::tempdir().unwrap();
    let tor = ModelTor::start();
    tor.automap(".test");
    let _door = door(&tor, &files);
    for host in ["site.test", "SITE.Test", "site.test."] {
        let stream = tor.stream(Stream::connect(host, 80));
        assert_eq!(stream.end(), attached("192.0.2.50:80"), "{host}");
        assert_eq!(tor.done_to(stream.id), ["REDIRECT 192.0.2.50", "ATTACH 0"]);
    }
    let missing = tor.stream(Stream::connect("missing.test", 80));
    assert_eq!(missing.end(), closed("RESOLVEFAILED", 4));
    for (host, target) in [
        ("ip.bit", "192.0.2.1:80"),
        ("test.example", "test.example:80"),
        ("atest", "atest:80"),
    ] {
        assert_eq!(
            tor.stream(Stream::connect(host, 80)).end(),
            attached(target)
        );
    }
    let question = tor.stream(Stream::dns("site.test", Wish::A));
    let End::Answered(address) = question.end() else {
        panic!("{}", tor.story());
    };
    let stream = tor.stream(Stream::transparent(&address, 80));
    assert_eq!(stream.end(), attached("192.0.2.50:80"));
}

/// Neither the door nor its guardian attaches such a name when it leaves.
#[test]
fn names_under_another_suffix_are_refused_when_it_leaves() {
    let files = tempfile::tempdir().unwrap();
    let tor = ModelTor::start();
    for signal in ["TERM", "KILL"] {
        let mut door = door(&tor, &files);
        let stream = tor.stream(Stream::connect("stall.test", 80));
        // It is being looked up when this one is done.
        let next = tor.stream(Stream::connect("site.test", 80));
        assert_eq!(next.end(), attached("192.0.2.50:80"));
        assert!(stream.waits());
        door.process.signal(signal);
        door.process.wait();
        assert!(
            matches!(stream.end(), End::Closed(..)),
            "{:?}",
            stream.ends()
        );
        tor.wait_until_left(false);
    }
}
