//! The defects of the program that this one replaces, those that show with a
//! node. Each test fails on its behaviour. (The others: upstream_defects.rs.)

use crate::support::node::{Flavour, Node, Reply, value};

const ONION: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion";
const IP: &str = r#"{"ip":"192.0.2.1"}"#;

/// Its call was refused by every current Electrum-NMC as soon as there was an
/// isolation id.
#[test]
fn defect_2_electrum_nmc_answers_queries_with_an_id() {
    for flavour in [Flavour::Electrum406, Flavour::Electrum410] {
        let node = Node::start(flavour);
        node.set("d/a", IP);
        let mut plugin = node.plugin(&[]);
        assert_eq!(plugin.ask("a.bit", "4a44-1"), "0 192.0.2.1", "{flavour:?}");
        assert_eq!(node.streams("d/a"), ["4a44-1"], "{flavour:?}");
        plugin.finish();
    }
}

/// It answered names that do not exist with status 1, which is retried.
#[test]
fn defect_3_a_name_that_does_not_exist_is_status_3() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        let mut plugin = node.plugin(&[]);
        let answer = plugin.ask("none.bit", "a");
        assert!(answer.starts_with("3 \""), "{flavour:?}: {answer}");
        plugin.finish();
    }
}

/// It looked up one name at a time, knew no status 4, and CANCEL did nothing.
#[test]
fn defect_4_a_slow_name_holds_up_nobody() {
    let node = Node::start(Flavour::Core);
    node.hold("d/slow");
    node.set("d/slow", IP);
    let mut plugin = node.plugin(&["--timeout", "3600"]);
    plugin.send("RESOLVE 1 slow.bit a\nRESOLVE 2 slow.bit b");
    node.wait_for("d/slow", 2);
    for n in 0..20 {
        node.set(&format!("d/a{n}"), IP);
        // Under the id of the slow one, too.
        for id in ["a", "b", "c"] {
            assert_eq!(plugin.ask(&format!("a{n}.bit"), id), "0 192.0.2.1");
        }
    }
    plugin.send("CANCEL 1");
    // The 60 answers, INIT apart, come before it.
    for _ in 0..60 {
        assert!(plugin.line().ends_with(" 0 192.0.2.1"));
    }
    assert_eq!(plugin.line(), "CANCELED 1");
    node.release("d/slow");
    assert_eq!(plugin.line(), "RESOLVED 2 0 192.0.2.1");
    plugin.finish();

    let mut plugin = node.plugin(&["--timeout", "0.3"]);
    node.script("d/silent", [Reply::Hang]);
    assert!(plugin.ask("silent.bit", "a").starts_with("4 \""));
    drop(node);
    plugin.finish();
}

/// It left a slow import out, so that an onion became an address.
#[test]
fn defect_5_a_slow_import_is_not_left_out() {
    let node = Node::start(Flavour::Core);
    node.set("d/a", r#"{"ip":"192.0.2.1","import":"dd/slow"}"#);
    let onion = format!(r#"{{"map":{{"_tor":{{"txt":"{ONION}"}}}}}}"#);
    node.script("dd/slow", [Reply::Close, value(&onion)]);
    node.hold("dd/slow");
    let mut plugin = node.plugin(&[]);
    plugin.send("RESOLVE 1 a.bit a");
    node.wait_for("dd/slow", 1);
    assert!(plugin.ask("foo.com", "a").starts_with("2 "));
    assert!(
        !plugin
            .lines()
            .iter()
            .any(|line| line.starts_with("RESOLVED 1 "))
    );
    node.release("dd/slow");
    assert_eq!(plugin.answer("1"), format!("0 {ONION}"));
    plugin.finish();
}

/// It asked 4n+1 times for a missing name, each time over a connection of its
/// own, kept no absence and no import.
#[test]
fn defect_6_nothing_is_asked_twice() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        node.set("d/a", r#"{"import":"dd/b"}"#);
        node.set("dd/b", IP);
        let mut plugin = node.plugin(&[]);
        for _ in 0..3 {
            assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.1");
            assert!(plugin.ask("x.y.z.none.bit", "a").starts_with("3 "));
        }
        for key in ["d/a", "dd/b", "d/none"] {
            assert_eq!(node.count(key), 1, "{flavour:?} {key}");
        }
        let log = node.requests();
        // Of Electrum-NMC the version is asked beside the first name, which may
        // take a second connection.
        let most = usize::from(flavour != Flavour::Core);
        assert!(log.iter().all(|one| one.connection <= most), "{log:#?}");
        plugin.finish();
    }
}

/// It kept values for ever, and every isolation id that it had seen.
#[test]
fn defect_7_what_is_kept_has_an_end() {
    let node = Node::start(Flavour::Core);
    node.set("d/a", IP);
    let mut plugin = node.plugin(&["--cache-ttl", "0"]);
    assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.1");
    node.set("d/a", r#"{"ip":"192.0.2.2"}"#);
    assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.2");
    plugin.finish();
}

/// 40,000 ids cost it 54 MB.
#[cfg(target_os = "linux")]
#[test]
fn defect_7_many_ids_take_little_memory() {
    use crate::support::plugin::Plugin;
    let mut plugin = Plugin::with_names(r#"{"d/a":{"ip":"192.0.2.1"}}"#, &[]);
    for id in 0..5_000 {
        plugin.send(&format!("RESOLVE {id} a.bit {id:064}-{id}"));
    }
    plugin.answer("4999");
    let before = plugin.peak_memory();
    for id in 5_000..20_000 {
        plugin.send(&format!("RESOLVE {id} a.bit {id:064}-{id}"));
    }
    plugin.answer("19999");
    let after = plugin.peak_memory();
    // The old growth would be 20 MB here.
    assert!(after < before + 8 * 1024, "{before} KiB, then {after} KiB");
    plugin.finish();
}

/// It answered expired names as if they were live when the node returned them.
#[test]
fn defect_8_an_expired_value_is_no_answer() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        node.script("d/old", [Reply::ExpiredValue(IP.into())]);
        let mut plugin = node.plugin(&[]);
        let answer = plugin.ask("old.bit", "a");
        assert!(answer.starts_with("3 \""), "{flavour:?}: {answer}");
        plugin.finish();
    }
}
