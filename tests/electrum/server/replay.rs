//! The recorded sessions, request for request.

use std::time::Duration;

use bitcoin::hashes::{Hash, sha256};
use data_encoding::HEXLOWER;
use serde_json::Value;

use super::client::Client;
use crate::support::electrum::chain::Chain;
use crate::support::electrum::{Electrum, Options, Version};

const SESSIONS: &str = include_str!("../../data/electrum/server_sessions.json");

/// Whether the server cannot know the reply. Only one request of the
/// recordings is left out: `transaction.get` with `verbose`, which the node
/// behind the server decodes (ids, addresses, times of its own).
fn unknowable(send: &Value) -> bool {
    send["method"] == "blockchain.transaction.get" && send["params"][1] == true
}

/// Compares a reply with the recorded one, or with the hash of that.
fn compare(what: &str, reply: &Value, recorded: &Value) {
    for key in ["result", "error"] {
        if let Some(digest) = recorded.get(format!("{key}_sha256")) {
            let digested = HEXLOWER
                .encode(sha256::Hash::hash(reply[key].to_string().as_bytes()).as_byte_array());
            assert_eq!(*digest, digested, "{what}");
            assert!(reply.get(key).is_some(), "{what}");
        } else {
            assert_eq!(reply.get(key), recorded.get(key), "{what}");
        }
    }
}

fn replay(session: &Value, replies: &Value, hold: Duration) -> usize {
    let version = match session["version"].as_str().unwrap() {
        "1.15.0" => Version::V1_15,
        _ => Version::V2_0b1,
    };
    let options = Options {
        hold,
        ..Options::new(version)
    };
    let electrum = Electrum::start(Chain::recorded(), options);
    let mut client = Client::connect(electrum.address());
    let mut compared = 0;
    // The request that is left out has a reply above the smallest packet,
    // and so no influence on what is held.
    let exchanges = session["exchange"].as_array().unwrap();
    for exchange in exchanges {
        let text = exchange["send"].as_str().unwrap();
        let send: Value = serde_json::from_str(text).unwrap();
        if unknowable(&send) {
            continue;
        }
        client.send(text);
        let line = client.line().unwrap();
        let reply: Value = serde_json::from_str(&line).unwrap();
        let what = format!("{} {} {text}", session["version"], session["offered"]);
        assert_eq!(reply["id"], send["id"], "{what}");
        let number = usize::try_from(exchange["reply"].as_u64().unwrap()).unwrap();
        compare(&what, &reply, &replies[number]);
        assert_eq!(line.len() as u64, exchange["line"], "{what}");
        let spaces = line.len() - line.trim_end().trim_end_matches('}').trim_end().len();
        if version == Version::V2_0b1 {
            // The recorder took spaces away in pairs.
            let unpadded = serde_json::to_string(&reply).unwrap().len() + 1;
            let trimmed = unpadded + (line.len() - unpadded) % 2;
            assert_eq!(trimmed as u64, exchange["trimmed"], "{what}");
            assert_eq!(spaces, 2 + line.len() - unpadded, "{what}");
        }
        let packets = &electrum.connections()[0].packets;
        assert_eq!(packets.len(), compared + 1, "{what}");
        assert_eq!(packets[compared].small, exchange["held"], "{what}");
        compared += 1;
    }
    compared
}

fn replay_all(version: &str) -> usize {
    let recorded: Value = serde_json::from_str(SESSIONS).unwrap();
    let sessions = recorded["sessions"].as_array().unwrap();
    sessions
        .iter()
        .filter(|session| session["version"] == version)
        .map(|session| replay(session, &recorded["replies"], Duration::from_millis(5)))
        .sum()
}

/// Nine sessions, five of which agree on a version.
#[test]
fn version_1_15_answers_as_recorded() {
    assert_eq!(replay_all("1.15.0"), 5 * 29 + 4);
}

/// Nine sessions, seven of which agree on a version. Besides the replies, the
/// padding is the recorded one, and the same packets are small enough to be held.
#[test]
fn version_2_0b1_answers_as_recorded() {
    assert_eq!(replay_all("2.0b1"), 7 * 29 + 2);
}
