//! What Electrum servers answer.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use ncprop279::address::is_public;
use ncprop279::fuzzing::electrum::{self as fuzzing, Hash32, Line};
use serde_json::{Value, json};

/// Headers that are asked for; more fit into an input.
const ASKED: u32 = 3;

/// The height of the block that a branch is asked in.
const HEIGHT: u32 = 236;

/// A script hash that is asked about.
const SCRIPT_HASH: &str = "d82b60bbfc20f5155394a5caaec7c456d7685ba772067eb0c6ad5aae6387a17c";

/// Any bytes as what a server sends, in pieces of the length of the first:
/// lines are the same however they are cut, and what is read from a reply can
/// be written and read again.
pub fn electrum(data: &[u8]) {
    let Some((size, data)) = data.split_first() else {
        return;
    };
    let pieces = data.chunks(usize::from(*size).max(1));
    let lines = fuzzing::lines(pieces, 4096, 0).unwrap_or_default();
    let whole: Vec<_> = data.split(|octet| *octet == b'\n').collect();
    let (_, ended) = whole.split_last().expect("at least one piece");
    if data.len() < 4096 {
        assert_eq!(lines, ended, "lines depend on how they are cut");
    }
    whole.into_iter().for_each(line);
}

/// A line as a message, and by itself as a result.
fn line(line: &[u8]) {
    match fuzzing::message(line) {
        Ok(Line::Result(id, result)) => {
            let written = format!(r#"{{"id":{id},"result":{result}}}"#);
            let again = fuzzing::message(written.as_bytes());
            assert_eq!(again, Ok(Line::Result(id, result.clone())));
            replies(&result);
        }
        Ok(Line::Error(id, code, message)) => {
            assert!(message.len() <= 256);
            let written = json!({"id": id, "error": {"code": code, "message": message}});
            let again = fuzzing::message(written.to_string().as_bytes());
            assert_eq!(again, Ok(Line::Error(id, code, message)));
        }
        Ok(Line::Notification(method, params)) => {
            let method_json = json!(method);
            let written = format!(r#"{{"method":{method_json},"params":{params}}}"#);
            let again = fuzzing::message(written.as_bytes());
            assert_eq!(again, Ok(Line::Notification(method, params.clone())));
            let tip = check(fuzzing::tip_notification(&params));
            if let Some((height, octets)) = tip {
                let written = json!([{"height": height, "hex": HEXLOWER.encode(&octets)}]);
                same(fuzzing::tip_notification, &written, (height, octets));
            }
        }
        Err(why) => assert!(super::is_printable(&why), "{why}"),
    }
    if let Ok(text) = std::str::from_utf8(line) {
        replies(text);
    }
}

/// The text as the reply to each request.
fn replies(text: &str) {
    if let Some(entries) = check(fuzzing::history(text)) {
        let list = entries
            .iter()
            .map(|(id, height)| json!({"tx_hash": reversed(id), "height": height}));
        same(fuzzing::history, &list.collect(), entries.clone());
    }
    if let Some(branch) = check(fuzzing::branch(text, HEIGHT)) {
        assert!(branch.0.len() <= 32);
        let mut written = merkle(&branch.0, branch.1);
        written["block_height"] = HEIGHT.into();
        same(|text| fuzzing::branch(text, HEIGHT), &written, branch);
    }
    if let Some(octets) = check(fuzzing::transaction(text)) {
        same(
            fuzzing::transaction,
            &HEXLOWER.encode(&octets).into(),
            octets,
        );
    }
    if let Some(octets) = check(fuzzing::header(text)) {
        same(fuzzing::header, &HEXLOWER.encode(&octets).into(), octets);
    }
    if let Some((count, octets)) = check(fuzzing::headers(text, ASKED)) {
        assert!(count <= ASKED && octets.len() / 80 >= count as usize);
        let written = json!({"count": count, "max": 2016, "hex": HEXLOWER.encode(&octets)});
        same(
            |text| fuzzing::headers(text, ASKED),
            &written,
            (count, octets),
        );
    }
    if let Some((height, octets)) = check(fuzzing::tip(text)) {
        let written = json!({"height": height, "hex": HEXLOWER.encode(&octets)});
        same(fuzzing::tip, &written, (height, octets));
    }
    if let Some(version) = check(fuzzing::newest_protocol(text)) {
        let written = json!({"protocol_max": version.clone()});
        same(fuzzing::newest_protocol, &written, version);
    }
    if let Some(places) = check(fuzzing::peers(text)) {
        let written = places.iter().map(|(host, port, is_tls)| {
            assert!((*port == 443 || *port >= 1024) && (*is_tls || host.ends_with(".onion")));
            assert!(
                host.parse::<IpAddr>()
                    .map_or(!host.ends_with(".bit"), is_public)
            );
            let letter = if *is_tls { 's' } else { 't' };
            json!([host, host, [format!("{letter}{port}")]])
        });
        same(fuzzing::peers, &written.collect(), places.clone());
    }
    proofs(text);
}

fn proofs(text: &str) {
    let Some(proofs) = check(fuzzing::value_proofs(text, SCRIPT_HASH)) else {
        return;
    };
    for claim in proofs.into_iter().filter_map(check) {
        assert!(claim.txid.is_none() && claim.branch.len() <= 32 && claim.height > 0);
        let written = json!({SCRIPT_HASH: [{
            "height": claim.height,
            "tx": HEXLOWER.encode(&claim.tx),
            "tx_merkle": merkle(&claim.branch, claim.position),
        }]});
        let parse = |text: &str| fuzzing::value_proofs(text, SCRIPT_HASH);
        same(parse, &written, vec![Ok(claim)]);
    }
}

/// What was read; an error can be shown.
fn check<T>(read: Result<T, String>) -> Option<T> {
    read.map_err(|why| assert!(super::is_printable(&why), "{why}"))
        .ok()
}

/// What was written is read as what it was.
fn same<T: PartialEq + std::fmt::Debug>(
    parse: impl Fn(&str) -> Result<T, String>,
    written: &Value,
    was: T,
) {
    assert_eq!(parse(&written.to_string()), Ok(was), "{written}");
}

fn merkle(hashes: &[Hash32], position: u32) -> Value {
    let hashes: Vec<_> = hashes.iter().map(reversed).collect();
    json!({"merkle": hashes, "pos": position})
}

/// A hash in its usual notation.
fn reversed(hash: &Hash32) -> String {
    let mut hash = *hash;
    hash.reverse();
    HEXLOWER.encode(&hash)
}
