//! That no lookup waits for another, what may be under way at a time, and what
//! becomes of lookups that nobody waits for any more.

use std::collections::HashMap;
use std::time::Instant;

use crate::support::PATIENCE;
use crate::support::node::{Flavour, Node};
use crate::support::plugin::Plugin;

/// A node with some held names `d/n0`, `d/n1`, … and the free `d/x`.
fn held(count: usize, arguments: &[&str]) -> (Node, Plugin) {
    let node = Node::start(Flavour::Core);
    node.set("d/x", r#"{"ip":"8.8.4.4"}"#);
    for index in 0..count {
        let name = format!("d/n{index}");
        node.set(&name, r#"{"ip":"8.8.8.8"}"#);
        node.hold(&name);
    }
    let plugin = node.plugin(arguments);
    (node, plugin)
}

/// All lines so far were read: this one is answered without a lookup.
fn all_read(plugin: &mut Plugin) {
    assert!(plugin.resolve("999999", "x.com", "a").starts_with("2 "));
}

#[test]
fn a_stalled_name_delays_no_other() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        node.set("d/n0", r#"{"ip":"8.8.8.8"}"#);
        node.set("d/x", r#"{"ip":"8.8.4.4"}"#);
        node.hold("d/n0");
        let mut plugin = node.plugin(&[]);
        plugin.send("RESOLVE 1 n0.bit a");
        node.wait_for_names(1);
        // Neither under the same id nor under another.
        assert_eq!(plugin.resolve("2", "x.bit", "a"), "0 8.8.4.4");
        assert_eq!(plugin.resolve("3", "x.bit", "b"), "0 8.8.4.4");
        assert_eq!(plugin.lines().len(), 3, "{}", plugin.story());
        node.release("d/n0");
        assert_eq!(plugin.answer("1"), "0 8.8.8.8");
        plugin.finish();
    }
}

#[test]
fn one_id_has_no_more_than_its_share_and_delays_no_other() {
    let (node, mut plugin) = held(100, &[]);
    for id in 0..100 {
        plugin.send(&format!("RESOLVE {id} n{id}.bit greedy"));
    }
    node.wait_for_names(8);
    all_read(&mut plugin);
    node.stays_at(8);
    assert_eq!(plugin.resolve("200", "x.bit", "modest"), "0 8.8.4.4");
    node.stays_at(9);
    node.release_all();
    for id in 0..100 {
        assert_eq!(plugin.answer(&id.to_string()), "0 8.8.8.8");
    }
    assert_eq!(node.name_requests().len(), 101);
    plugin.finish();
}

#[test]
fn no_more_are_under_way_in_all_than_may_be() {
    let (node, mut plugin) = held(100, &[]);
    for id in 0..100 {
        plugin.send(&format!("RESOLVE {id} n{id}.bit id{}", id % 20));
    }
    node.wait_for_names(64);
    all_read(&mut plugin);
    node.stays_at(64);
    let mut share: HashMap<String, usize> = HashMap::new();
    for request in node.name_requests() {
        *share.entry(request.stream.unwrap()).or_default() += 1;
    }
    // Every id has its turn before any has another.
    assert_eq!(share.len(), 20, "{share:?}");
    assert!(share.values().all(|&n| n == 3 || n == 4), "{share:?}");
    node.release_all();
    for id in 0..100 {
        assert_eq!(plugin.answer(&id.to_string()), "0 8.8.8.8");
    }
    assert_eq!(node.name_requests().len(), 100);
    plugin.finish();
}

#[test]
fn ids_take_turns_for_the_next_free_slot() {
    let (node, mut plugin) = held(80, &[]);
    for id in 0..64 {
        plugin.send(&format!("RESOLVE {id} n{id}.bit full{}", id % 8));
    }
    node.wait_for_names(64);
    for id in 64..72 {
        // More of an id that has its share already.
        plugin.send(&format!("RESOLVE {id} n{id}.bit full0"));
    }
    plugin.send("RESOLVE 80 x.bit late");
    all_read(&mut plugin);
    node.stays_at(64);
    node.release("d/n1");
    assert_eq!(plugin.answer("80"), "0 8.8.4.4");
    node.release_all();
    for id in 0..72 {
        assert_eq!(plugin.answer(&id.to_string()), "0 8.8.8.8");
    }
    plugin.finish();
}

#[test]
fn what_is_cancelled_is_never_answered() {
    let (node, mut plugin) = held(2, &[]);
    plugin.send("RESOLVE 1 n0.bit a");
    node.wait_for_names(1);
    plugin.send("CANCEL 1");
    assert_eq!(plugin.line(), "CANCELED 1");
    node.release_all();
    // The same id, for the same name and for another.
    assert_eq!(plugin.resolve("1", "n0.bit", "a"), "0 8.8.8.8");
    assert_eq!(plugin.resolve("2", "n1.bit", "a"), "0 8.8.8.8");
    plugin.close_stdin();
    assert_eq!(plugin.wait().code(), Some(0));
    let expected = ["RESOLVED 1 0 8.8.8.8", "RESOLVED 2 0 8.8.8.8"];
    assert_eq!(plugin.rest(), expected);
}

#[test]
fn cancelling_one_of_two_leaves_the_other() {
    let (node, mut plugin) = held(1, &[]);
    plugin.send("RESOLVE 1 n0.bit a\nRESOLVE 2 n0.bit a");
    node.wait_for_names(1);
    plugin.send("CANCEL 1");
    assert_eq!(plugin.line(), "CANCELED 1");
    node.release_all();
    assert_eq!(plugin.line(), "RESOLVED 2 0 8.8.8.8");
    plugin.close_stdin();
    plugin.wait();
    assert_eq!(plugin.rest(), [""; 0]);
    assert_eq!(node.name_requests().len(), 1);
}

#[test]
fn what_waits_for_a_slot_can_be_cancelled() {
    let (node, mut plugin) = held(9, &[]);
    for id in 0..9 {
        plugin.send(&format!("RESOLVE {id} n{id}.bit a"));
    }
    node.wait_for_names(8);
    plugin.send("CANCEL 8");
    assert_eq!(plugin.line(), "CANCELED 8");
    node.release_all();
    for id in 0..8 {
        assert_eq!(plugin.answer(&id.to_string()), "0 8.8.8.8");
    }
    plugin.close_stdin();
    plugin.wait();
    // It was never asked for.
    assert!(node.count("d/n8") == 0);
    assert!(
        !plugin
            .lines()
            .iter()
            .any(|line| line.starts_with("RESOLVED 8"))
    );
}

#[test]
fn after_the_deadline_a_lookup_goes_on_for_its_own_id() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        node.set("d/n0", r#"{"ip":"8.8.8.8"}"#);
        node.hold("d/n0");
        let mut plugin = node.plugin(&["--timeout", "0.5"]);
        let said = plugin.resolve("1", "n0.bit", "a");
        assert!(said.starts_with("4 \""), "{flavour:?} {said}");
        node.release("d/n0");
        assert_eq!(plugin.resolve("2", "n0.bit", "a"), "0 8.8.8.8");
        assert_eq!(node.count("d/n0"), 1, "{flavour:?}");
        // Another id has nothing of it.
        assert_eq!(plugin.resolve("3", "n0.bit", "b"), "0 8.8.8.8");
        assert_eq!(node.count("d/n0"), 2, "{flavour:?}");
        plugin.finish();
    }
}

#[test]
fn what_nobody_waits_for_yields_to_what_somebody_waits_for() {
    // Eight lookups go on in the background; their id still has its share.
    let (node, mut plugin) = held(8, &["--timeout", "0.5"]);
    for id in 0..8 {
        plugin.send(&format!("RESOLVE {id} n{id}.bit a"));
    }
    node.wait_for_names(8);
    for id in 0..8 {
        let said = plugin.answer(&id.to_string());
        assert!(said.starts_with("4 \""), "{said}");
    }
    assert_eq!(plugin.resolve("9", "x.bit", "a"), "0 8.8.4.4");
    plugin.finish();
}

#[test]
fn a_query_whose_time_passed_while_it_waited_is_not_looked_up() {
    let (node, mut plugin) = held(9, &["--timeout", "1"]);
    for id in 0..9 {
        plugin.send(&format!("RESOLVE {id} n{id}.bit a"));
    }
    node.wait_for_names(8);
    // The eight under way have somebody who waits for them after the ninth's
    // time has passed, so none of them yields its slot.
    all_read(&mut plugin);
    for id in 0..8 {
        plugin.send(&format!("RESOLVE 1{id} n{id}.bit a"));
    }
    let said = plugin.answer("8");
    assert!(said.starts_with("4 \""), "{said}");
    for id in 0..8 {
        plugin.answer(&format!("1{id}"));
    }
    node.release_all();
    assert_eq!(plugin.resolve("20", "x.bit", "a"), "0 8.8.4.4");
    plugin.finish();
    assert!(node.count("d/n8") == 0);
}

#[test]
fn too_many_waiting_queries_of_one_id_are_turned_away() {
    let (node, mut plugin) = held(1, &[]);
    let mut lines = String::new();
    for id in 0..1001 {
        lines.push_str(&format!("RESOLVE {id} n0.bit a\n"));
    }
    plugin.send_bytes(lines.as_bytes());
    let said = plugin.answer("1000");
    assert!(said.starts_with("1 \""), "{said}");
    // Another id is not concerned.
    assert_eq!(plugin.resolve("2000", "x.bit", "b"), "0 8.8.4.4");
    node.release_all();
    for id in 0..1000 {
        assert_eq!(plugin.answer(&id.to_string()), "0 8.8.8.8");
    }
    plugin.finish();
}

#[test]
fn the_end_of_input_waits_for_answers() {
    let (node, mut plugin) = held(3, &[]);
    for id in 0..3 {
        plugin.send(&format!("RESOLVE {id} n{id}.bit a"));
    }
    node.wait_for_names(3);
    plugin.close_stdin();
    node.release_all();
    assert_eq!(plugin.wait().code(), Some(0));
    for id in 0..3 {
        assert_eq!(plugin.answer(&id.to_string()), "0 8.8.8.8");
    }
}

#[test]
fn the_end_of_input_waits_no_longer_than_the_deadline() {
    let (node, mut plugin) = held(1, &["--timeout", "0.3"]);
    plugin.send("RESOLVE 1 n0.bit a");
    node.wait_for_names(1);
    plugin.close_stdin();
    assert_eq!(plugin.wait().code(), Some(0));
    assert!(plugin.answer("1").starts_with("4 "));
}

#[test]
fn a_signal_ends_it_while_the_node_hangs() {
    for signal in ["TERM", "INT"] {
        let (node, mut plugin) = held(1, &[]);
        plugin.send("RESOLVE 1 n0.bit a");
        node.wait_for_names(1);
        let begun = Instant::now();
        plugin.signal(signal);
        assert_eq!(plugin.wait().code(), Some(0), "{signal}");
        // The query would have gone on for 20 seconds.
        assert!(begun.elapsed() < PATIENCE / 2, "{signal}");
    }
}
