//! Each lie, as a client sees it that checks everything.

use std::io::Read;
use std::time::{Duration, Instant};

use bitcoin::block::Header;
use bitcoin::consensus::deserialize;
use bitcoin::hashes::Hash;
use bitcoin::{Transaction, Txid};
use serde_json::{Value, json};

use super::client::{Client, unhex, unhex_hash};
use crate::support::electrum::chain::Chain;
use crate::support::electrum::lies::Lie;
use crate::support::electrum::merkle::fold;
use crate::support::electrum::names::{name_of, script_hash};
use crate::support::electrum::{Electrum, Options, Version};

const NAME: &str = "d/example";

/// What is wrong with the newest operation that a server shows.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// The transaction does not hash to its id.
    OtherTransaction,
    /// The branch does not lead to the header's root.
    OtherRoot,
    /// The position has bits beyond the branch.
    LargePosition,
    /// No such transaction, or no proof of it.
    Unproven,
    /// A proven operation of another name.
    OtherName,
    /// A proven operation of the name, at this height.
    Proven(usize),
}

/// A chain with operations of two names: at heights 3, 40 and 50 of 65 the
/// one, at 4 the other. The first of the one has expired.
fn chain() -> Chain {
    let mut chain = Chain::new();
    chain.payments = Some(6);
    chain.mine(2);
    chain.register(NAME, "first");
    chain.register("d/other", "other");
    chain.mine(35);
    chain.update(NAME, "second");
    chain.mine(9);
    chain.update(NAME, "third");
    chain.mine(15);
    chain
}

fn start(version: Version) -> (Electrum, Client) {
    let options = Options {
        hold: Duration::ZERO,
        ..Options::new(version)
    };
    let electrum = Electrum::start(chain(), options);
    let protocol = match version {
        Version::V1_15 => "1.4.2",
        Version::V2_0b1 => "1.4.3",
    };
    let client = Client::greet(electrum.address(), protocol);
    (electrum, client)
}

/// Checks an operation; the id is known only where the server sent it.
fn check(
    client: &mut Client,
    id: Option<Txid>,
    height: usize,
    raw: &Value,
    merkle: &Value,
) -> Found {
    let transaction: Transaction = deserialize(&unhex(raw)).unwrap();
    let txid = transaction.compute_txid();
    if id.is_some_and(|id| id != txid) {
        return Found::OtherTransaction;
    }
    let branch: Vec<_> = merkle["merkle"].as_array().unwrap().iter().collect();
    let branch: Vec<_> = branch.into_iter().map(unhex_hash).collect();
    let position = u32::try_from(merkle["pos"].as_u64().unwrap()).unwrap();
    let header = client.call("blockchain.block.header", json!([height]));
    let header: Header = deserialize(&unhex(&header)[..80]).unwrap();
    let root = fold(txid.to_byte_array(), &branch, position);
    if root != header.merkle_root.to_byte_array() {
        return Found::OtherRoot;
    }
    if position >> branch.len() != 0 {
        return Found::LargePosition;
    }
    let mut outputs = transaction.output.iter();
    let named = outputs.any(|out| name_of(out.script_pubkey.as_bytes()) == Some(NAME.as_bytes()));
    if named {
        Found::Proven(height)
    } else {
        Found::OtherName
    }
}

fn height(entry: &Value) -> usize {
    usize::try_from(entry["height"].as_u64().unwrap()).unwrap()
}

/// Looks the name up by one request.
fn look_up_at_once(client: &mut Client) -> Found {
    let hash = script_hash(NAME);
    let proofs = client.call("blockchain.name.get_value_proof", json!([hash, 0]));
    let Some(newest) = proofs[hash].get(0) else {
        return Found::Nothing;
    };
    check(
        client,
        None,
        height(newest),
        &newest["tx"],
        &newest["tx_merkle"],
    )
}

/// Looks the name up by history, transaction and branch.
fn look_up_by_steps(client: &mut Client) -> Found {
    let history = client.call(
        "blockchain.scripthash.get_history",
        json!([script_hash(NAME)]),
    );
    let Some(newest) = history.as_array().unwrap().last() else {
        return Found::Nothing;
    };
    let (txid, height) = (&newest["tx_hash"], height(newest));
    let raw = client.call("blockchain.transaction.get", json!([txid]));
    let merkle = client.reply("blockchain.transaction.get_merkle", json!([txid, height]));
    if merkle["error"].is_object() {
        return Found::Unproven;
    }
    let txid = txid.as_str().unwrap().parse().unwrap();
    check(client, Some(txid), height, &raw, &merkle["result"])
}

/// Lies about a name, what shows in one request, what in three.
fn lies_about_names() -> Vec<(Lie, Found, Found)> {
    use Found::*;
    vec![
        (Lie::WrongTransaction, OtherRoot, OtherTransaction),
        (Lie::TransactionBit, OtherRoot, OtherTransaction),
        (Lie::BranchBit, OtherRoot, OtherRoot),
        (Lie::WrongPosition, OtherRoot, OtherRoot),
        (Lie::LargePosition, LargePosition, LargePosition),
        (Lie::WrongHeight, OtherRoot, OtherRoot),
        (Lie::OtherName, OtherName, OtherName),
        (Lie::Stale, Proven(40), Proven(40)),
        (Lie::Hidden, Nothing, Nothing),
        (Lie::Unproven(NAME.into()), OtherRoot, Unproven),
        (Lie::Expired, Proven(3), Proven(3)),
    ]
}

#[test]
fn lies_about_names_are_what_they_say() {
    let (old, mut steps) = start(Version::V1_15);
    let (new, mut once) = start(Version::V2_0b1);
    assert_eq!(look_up_by_steps(&mut steps), Found::Proven(50));
    assert_eq!(look_up_at_once(&mut once), Found::Proven(50));
    for (lie, at_once, by_steps) in lies_about_names() {
        new.lie(lie.clone());
        assert_eq!(look_up_at_once(&mut once), at_once, "{lie:?}");
        old.lie(lie.clone());
        assert_eq!(look_up_by_steps(&mut steps), by_steps, "{lie:?}");
    }
    old.honest();
    new.honest();
    assert_eq!(look_up_by_steps(&mut steps), Found::Proven(50));
    assert_eq!(look_up_at_once(&mut once), Found::Proven(50));
}

/// The gap between 3 and 40 is longer than the expiry; with a checkpoint the
/// history ends at the newest operation below it, which has a header.
#[test]
fn proofs_of_values_end_early() {
    let (_electrum, mut client) = start(Version::V2_0b1);
    let hash = script_hash(NAME);
    let mut proofs = |cp_height: usize| {
        let proofs = client.reply("blockchain.name.get_value_proof", json!([hash, cp_height]));
        let message = proofs["error"]["message"].as_str().map(str::to_owned);
        let proofs = proofs["result"][&hash].as_array().cloned();
        let proofs = proofs.unwrap_or_default().into_iter();
        let shown: Vec<_> = proofs
            .map(|proof| (height(&proof), proof["header"]["header"].is_string()))
            .collect();
        (shown, message)
    };
    assert_eq!(proofs(0), (vec![(50, false), (40, false)], None));
    assert_eq!(proofs(65), (vec![(50, true)], None));
    assert_eq!(proofs(49), (vec![(50, false), (40, true)], None));
    let message = "require header height 50 <= cp_height 66 <= chain height 65";
    assert_eq!(proofs(66), (vec![], Some(message.to_owned())));
}

#[test]
fn a_lie_can_be_kept_to_one_method() {
    let (electrum, mut client) = start(Version::V1_15);
    electrum.lie_in("blockchain.transaction.get", Lie::TransactionBit);
    assert_eq!(look_up_by_steps(&mut client), Found::OtherTransaction);
    electrum.lie_in("blockchain.name.get_value_proof", Lie::Hidden);
    assert_eq!(look_up_by_steps(&mut client), Found::Proven(50));
}

#[test]
fn a_forged_chain_is_shown_while_the_lie_lasts() {
    let (electrum, mut client) = start(Version::V2_0b1);
    let mut header = |height: usize| client.call("blockchain.block.header", json!([height]));
    let honest = [header(19), header(20), header(21)];
    electrum.lie(Lie::HeaderBit { height: 20, bit: 9 });
    let lying = [header(19), header(20), header(21)];
    assert_eq!(honest[0], lying[0]);
    assert_ne!(honest[1], lying[1]);
    assert_eq!(honest[2], lying[2]);
    electrum.honest();
    assert_eq!(header(20), honest[1]);
}

#[test]
fn a_withheld_tip_is_withheld_everywhere() {
    let (electrum, mut client) = start(Version::V1_15);
    electrum.lie(Lie::WithheldTip(20));
    let tip = client.call("blockchain.headers.subscribe", json!([]));
    assert_eq!(tip["height"], 45);
    assert_eq!(look_up_by_steps(&mut client), Found::Proven(40));
    let message = client.error("blockchain.block.header", json!([46]));
    assert_eq!(message, "height 46 out of range");
}

#[test]
fn replies_that_are_none() {
    let (electrum, mut client) = start(Version::V2_0b1);
    electrum.lie(Lie::WrongIds);
    let id = client.ask("server.ping", &json!([]));
    assert_eq!(client.value()["id"], id + 1000);
    electrum.lie(Lie::Twice);
    let id = client.ask("server.ping", &json!([]));
    assert_eq!([&client.value()["id"], &client.value()["id"]], [id, id]);
    electrum.lie(Lie::Batch);
    let id = client.ask("server.ping", &json!([]));
    assert_eq!(client.value()[0]["id"], id);
    electrum.lie(Lie::HugeCount);
    let headers = client.call("blockchain.block.headers", json!([0, 3]));
    assert_eq!(headers["count"], 1u64 << 53);
    electrum.lie(Lie::DeepJson);
    client.ask("server.ping", &json!([]));
    assert!(client.line().unwrap().contains(&"[".repeat(100_000)));
    electrum.lie(Lie::Junk);
    client.ask("server.ping", &json!([]));
    assert!(serde_json::from_str::<Value>(&client.line().unwrap()).is_err());
}

#[test]
fn a_line_cut_off_ends_the_connection() {
    let (electrum, mut client) = start(Version::V1_15);
    electrum.lie(Lie::CutLine);
    client.ask("server.ping", &json!([]));
    let line = client.line().unwrap();
    assert!(line.starts_with("{\"jsonrpc\"") && !line.ends_with('\n'));
    assert_eq!(client.line(), None);
    electrum.wait("the end", |log| log[0].closed);
}

#[test]
fn silence_is_no_reply_at_all() {
    let (electrum, mut client) = start(Version::V1_15);
    electrum.lie_in("server.ping", Lie::Silent);
    client.ask("server.ping", &json!([]));
    let features = client.call("server.features", json!([]));
    assert_eq!(features["hash_function"], "sha256");
    electrum.lie(Lie::Silent);
    client.ask("server.features", &json!([]));
    electrum.wait("the request", |log| log[0].requests.len() == 4);
    electrum.disconnect();
    assert_eq!(client.line(), None);
}

#[test]
fn drips_byte_by_byte() {
    let (electrum, mut client) = start(Version::V1_15);
    electrum.lie(Lie::Drip(Duration::from_millis(2)));
    let begin = Instant::now();
    let reply = client.reply("server.ping", json!([]));
    assert_eq!(reply["result"], Value::Null);
    assert!(begin.elapsed() >= Duration::from_millis(80));
    let packets = &electrum.connections()[0].packets;
    assert!(packets[1..].iter().all(|packet| packet.bytes == 1));
}

#[test]
fn an_endless_reply_lasts_until_the_client_closes() {
    let (electrum, mut client) = start(Version::V2_0b1);
    electrum.lie(Lie::Endless(Duration::ZERO));
    client.ask("server.ping", &json!([]));
    let mut bytes = vec![0; 4 << 20];
    client.stream.read_exact(&mut bytes).unwrap();
    assert!(!bytes.contains(&b'\n'));
    assert!(bytes.starts_with(b"{\"jsonrpc\":\"2.0\",\"result\":\"0000"));
    drop(client);
    electrum.wait("the end", |log| log[0].closed);
    assert!(electrum.connections()[0].bytes() > 4 << 20);
}
