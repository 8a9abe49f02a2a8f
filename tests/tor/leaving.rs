//! Leaving Tor as it was, however the process ends.

use std::time::{Duration, Instant};

use super::Door;
use crate::support::PATIENCE;
use crate::support::node::Node;
use crate::support::plugin::Start;
use crate::support::serve::node;
use crate::support::state::write_private;
use crate::support::tor_control::auth::Auth;
use crate::support::tor_control::stream::{End, Stream, attached};
use crate::support::tor_control::{Handle, ModelTor, When};

/// How long leaving may take, and something for a computer that has much else to
/// do.
const SOON: Duration = Duration::from_secs(4);

fn site() -> Node {
    let node = node(&[("d/held", r#"{"ip":"192.0.2.8"}"#)]);
    node.hold("d/held");
    node
}

/// A stream of each kind that waits: one whose name is looked up, and one of which
/// the door believes that it is attached.
struct Waiting {
    ours: Vec<Handle>,
    ordinary: Handle,
}

impl Waiting {
    fn begin(tor: &ModelTor, node: &Node) -> Self {
        let lookups = node.count("d/held");
        let ours = ["held.bit", "HELD.bit.", "held.bit.onion"];
        let ours = ours.map(|host| tor.stream(Stream::connect(host, 80).user(host, "")));
        let question = tor.stream(Stream::resolve("held.bit").user("resolve", ""));
        node.wait_for("d/held", lookups + 4);
        let command = format!("ATTACHSTREAM {} 0", tor.next_id());
        tor.when(&command, When::Replies("250 OK"));
        let ordinary = tor.stream(Stream::connect("www.example.com", 80));
        tor.wait_for(&command, 1);
        let ours = ours.into_iter().chain([question]).collect();
        Self { ours, ordinary }
    }

    #[track_caller]
    fn are_dealt_with(&self, tor: &ModelTor) {
        let begun = Instant::now();
        tor.wait_until_left(false);
        for stream in &self.ours {
            assert!(
                matches!(stream.end(), End::Closed(..)),
                "{:?}",
                stream.ends()
            );
        }
        assert_eq!(self.ordinary.end(), attached("www.example.com:80"));
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        let alone = tor.stream(Stream::connect("www.example.com", 80));
        assert_eq!(alone.end(), End::Alone("www.example.com:80".to_owned()));
    }
}

#[test]
fn a_signal_ends_it_and_leaves_tor_as_it_was() {
    let node = site();
    for signal in ["TERM", "INT"] {
        let tor = ModelTor::start();
        let mut door = Door::with_node(&tor, &node, &[]);
        let waiting = Waiting::begin(&tor, &node);
        let begun = Instant::now();
        door.process.signal(signal);
        assert_eq!(
            door.process.wait().code(),
            Some(0),
            "{}",
            door.process.story()
        );
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        waiting.are_dealt_with(&tor);
        tor.wait_for_controllers(0);
        // The guardian had nothing to do.
        assert_eq!(tor.count("AUTHENTICATE"), 1, "{}", tor.story());
    }
}

#[test]
fn a_guardian_leaves_tor_as_it_was_if_the_process_is_killed() {
    let node = site();
    let tor = ModelTor::start();
    let mut door = Door::with_node(&tor, &node, &[]);
    let waiting = Waiting::begin(&tor, &node);
    door.process.signal("KILL");
    door.process.wait();
    waiting.are_dealt_with(&tor);
    tor.wait_for_controllers(0);
}

/// The guardian proves who it is, as the door did.
#[test]
fn a_guardian_knows_the_cookie_and_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cookie");
    let config = directory.path().join("config.toml");
    write_private(&config, "tor-password = \"a word\"\n");
    let path = format!("unix:{}", directory.path().join("control").display());
    for (address, auth) in [
        (None, Auth::cookie(&file)),
        (None, Auth::password("a word")),
        (Some(&path), Auth::cookie(&file)),
    ] {
        let tor = match address {
            Some(path) => ModelTor::at(path, auth),
            None => ModelTor::with(auth),
        };
        let mut door = Door::begin(&[&tor], &["--config", config.to_str().unwrap()]);
        door.is_in_charge_of(&tor);
        door.process.signal("KILL");
        door.process.wait();
        tor.wait_until_left(false);
    }
}

/// A terminal sends its signal to all processes at once.
#[test]
fn a_guardian_outlives_signals_that_are_meant_for_all() {
    let node = site();
    let tor = ModelTor::start();
    let mut door = Door::with_node(&tor, &node, &[]);
    let waiting = Waiting::begin(&tor, &node);
    let guardians = children(door.process.id());
    assert_eq!(guardians.len(), 1);
    for signal in ["INT", "TERM", "HUP"] {
        let status = std::process::Command::new("kill")
            .args(["-s", signal, &guardians[0].to_string()])
            .status();
        assert!(status.unwrap().success());
    }
    door.process.signal("KILL");
    door.process.wait();
    waiting.are_dealt_with(&tor);
}

/// One that ends is replaced.
#[test]
fn a_guardian_that_is_killed_is_replaced() {
    let node = site();
    let tor = ModelTor::start();
    let mut door = Door::with_node(&tor, &node, &[]);
    let guardian = children(door.process.id())[0];
    let status = std::process::Command::new("kill")
        .args(["-s", "KILL", &guardian.to_string()])
        .status();
    assert!(status.unwrap().success());
    door.process.complaint("starting it again");
    let until = Instant::now() + PATIENCE;
    while children(door.process.id()).is_empty() {
        assert!(Instant::now() < until, "no other guardian");
        std::thread::sleep(Duration::from_millis(5));
    }
    // By then it has learned what it needs.
    let waiting = Waiting::begin(&tor, &node);
    door.process.signal("KILL");
    door.process.wait();
    waiting.are_dealt_with(&tor);
}

/// The processes that a process started.
fn children(parent: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let lists = tasks.map(|task| {
        std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default()
    });
    let all: Vec<_> = lists.collect();
    let words = all.iter().flat_map(|list| list.split_whitespace());
    words.map(|word| word.parse().unwrap()).collect()
}

/// A Tor that does not answer does not keep the process from ending.
#[test]
fn a_tor_that_does_not_answer_is_left_to_itself() {
    let tor = ModelTor::start();
    let mut door = Door::start(&tor);
    let command = format!("ATTACHSTREAM {}", tor.next_id());
    tor.when(&command, When::Pauses);
    let stream = tor.stream(Stream::connect("www.example.com", 80));
    tor.wait_until_paused();
    let begun = Instant::now();
    door.process.signal("TERM");
    assert_eq!(door.process.wait().code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    tor.resume();
    stream.client_closes();
}

/// A guardian that was told nothing has nothing to do.
#[test]
fn a_guardian_without_a_duty_ends() {
    for words in ["", "garbage\n", "tcp zz\n", "tcp\n\n", "password 00"] {
        let mut guardian = Start::new(&["serve-guardian"]).spawn();
        guardian.send_bytes(words.as_bytes());
        guardian.finish();
    }
}

/// Two Tors are both left as they were.
#[test]
fn every_tor_is_left_as_it_was() {
    let tors = [ModelTor::start(), ModelTor::start()];
    for signal in ["TERM", "KILL"] {
        let mut door = Door::begin(&[&tors[0], &tors[1]], &[]);
        for tor in &tors {
            tor.wait_until_left(true);
            door.is_in_charge_of(tor);
        }
        door.process.signal(signal);
        door.process.wait();
        for tor in &tors {
            tor.wait_until_left(false);
        }
    }
}

/// Names do not leak while it leaves, whatever else arrives.
#[test]
fn streams_that_come_while_it_leaves_are_not_forgotten() {
    let tor = ModelTor::start();
    let mut door = Door::start(&tor);
    let mut streams = Vec::new();
    door.process.signal("TERM");
    while tor.leaves_streams() {
        streams.push(tor.stream(Stream::connect("www.example.com", 80)));
        streams.push(tor.stream(Stream::connect("ip.bit", 80)));
        std::thread::yield_now();
    }
    door.process.wait();
    for stream in &streams {
        stream.end();
    }
}
