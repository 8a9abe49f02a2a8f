use data_encoding::HEXLOWER;

use super::*;
use crate::source::electrum::testing::{self, replies};

const HASH: &str = "d82b60bbfc20f5155394a5caaec7c456d7685ba772067eb0c6ad5aae6387a17c";

type Parser = fn(&str) -> Result<(), ReplyError>;

/// Every parser, made to say only whether it accepts a text.
const PARSERS: [(&str, Parser); 8] = [
    ("history", |text| history(text).map(drop)),
    ("branch", |text| branch(text, 236).map(drop)),
    ("transaction", |text| transaction(text).map(drop)),
    ("value_proofs", |text| {
        value_proofs(text, HASH)?
            .into_iter()
            .try_for_each(|proof| proof.claim().map(drop))
    }),
    ("headers", |text| headers(text, 2_016).map(drop)),
    ("tip", |text| tip(text).map(drop)),
    ("tip_notification", |text| tip_notification(text).map(drop)),
    ("newest_protocol", |text| newest_protocol(text).map(drop)),
];

fn txid(hex: &str) -> Txid {
    hex.parse().unwrap()
}

#[test]
fn recorded_histories_are_read() {
    for exchange in replies("blockchain.scripthash.get_history") {
        let read = history(exchange.result.get()).unwrap();
        let chain = testing::chain();
        let name = chain
            .names
            .iter()
            .find(|name| exchange.params == [name.scripthash.as_str()]);
        let newest = name.map(|name| HistoryEntry {
            txid: txid(&name.txid),
            height: name.height,
        });
        assert_eq!(read.last().copied(), newest);
        assert!(read.is_sorted_by_key(|entry| entry.height));
    }
}

#[test]
fn unconfirmed_operations_are_left_out_of_a_history() {
    let entry = |height: &str| format!(r#"{{"tx_hash":"{HASH}","height":{height},"fee":1}}"#);
    let list = |heights: &[&str]| {
        let entries: Vec<_> = heights.iter().map(|height| entry(height)).collect();
        format!("[{}]", entries.join(","))
    };
    let confirmed = HistoryEntry {
        txid: txid(HASH),
        height: u32::MAX,
    };
    assert_eq!(
        history(&list(&["0", "4294967295", "-1", "-9223372036854775808"])),
        Ok(vec![confirmed])
    );
    for (height, error) in [
        ("4294967296", ReplyError::Height),
        ("9223372036854775807", ReplyError::Height),
        ("9223372036854775808", ReplyError::Form),
        ("1e9", ReplyError::Form),
        ("1.0", ReplyError::Form),
        ("\"1\"", ReplyError::Form),
        ("null", ReplyError::Form),
    ] {
        assert_eq!(history(&list(&[height])), Err(error), "{height}");
    }
}

#[test]
fn a_history_is_bounded() {
    let entry = format!(r#"{{"tx_hash":"{HASH}","height":7}}"#);
    let list = |entries: usize| format!("[{}]", vec![entry.as_str(); entries].join(","));
    assert_eq!(history(&list(MAX_HISTORY)).unwrap().len(), MAX_HISTORY);
    assert_eq!(history(&list(MAX_HISTORY + 1)), Err(ReplyError::TooMany));
}

#[test]
fn recorded_branches_and_transactions_are_read() {
    for exchange in replies("blockchain.transaction.get_merkle") {
        let Branch { hashes, position } = branch(exchange.result.get(), 236).unwrap();
        assert_eq!(hashes.len(), 4);
        assert!([5, 6].contains(&position));
        assert_eq!(
            branch(exchange.result.get(), 237),
            Err(ReplyError::OtherBlock)
        );
        let mut first = hashes[0];
        first.reverse();
        assert!(exchange.result.get().contains(&HEXLOWER.encode(&first)));
    }
    for exchange in replies("blockchain.transaction.get") {
        let bytes = transaction(exchange.result.get()).unwrap();
        let hex = format!("\"{}\"", HEXLOWER.encode(&bytes));
        assert_eq!(hex, exchange.result.get());
    }
}

#[test]
fn a_branch_has_at_most_32_hashes_of_32_bytes() {
    let text = |hash: &str, hashes: usize| {
        let list = vec![format!("\"{hash}\""); hashes].join(",");
        format!(r#"{{"block_height":236,"merkle":[{list}],"pos":0}}"#)
    };
    assert_eq!(branch(&text(HASH, 0), 236).unwrap().hashes.len(), 0);
    assert_eq!(branch(&text(HASH, 32), 236).unwrap().hashes.len(), 32);
    assert_eq!(branch(&text(HASH, 33), 236), Err(ReplyError::TooMany));
    for wrong in [
        "",
        &HASH[1..],
        &HASH[2..],
        &format!("{HASH}00"),
        &HASH.to_uppercase(),
        &HASH.replace('d', "g"),
        &HASH.replacen("d8", "\u{e9}", 1),
    ] {
        assert_eq!(branch(&text(wrong, 1), 236), Err(ReplyError::Hex));
    }
}

#[test]
fn a_transaction_is_bounded_and_in_hexadecimal() {
    let text = |bytes: usize| format!("\"{}\"", "00".repeat(bytes));
    assert_eq!(
        transaction(&text(MAX_TRANSACTION_LENGTH)).unwrap().len(),
        MAX_TRANSACTION_LENGTH
    );
    assert_eq!(
        transaction(&text(MAX_TRANSACTION_LENGTH + 1)),
        Err(ReplyError::TooLong)
    );
    for wrong in ["\"0\"", "\"0g\"", "\"AB\"", "\"0x00\"", "\" 00\""] {
        assert_eq!(transaction(wrong), Err(ReplyError::Hex), "{wrong}");
    }
}

#[test]
fn recorded_value_proofs_are_read_newest_first() {
    for exchange in replies("blockchain.name.get_value_proof") {
        let script_hash = exchange.params[0].as_str().unwrap();
        let proofs = value_proofs(exchange.result.get(), script_hash).unwrap();
        assert!(proofs.is_sorted_by(|a, b| a.height >= b.height));
        let chain = testing::chain();
        let name = chain.names.iter().find(|n| n.scripthash == script_hash);
        assert_eq!(
            proofs.first().map(|proof| proof.height),
            name.map(|name| name.height)
        );
        if exchange.params[1] == 250 {
            assert_eq!(proofs.len(), 1);
        }
        for proof in proofs {
            let height = proof.height;
            let claim = proof.claim().unwrap();
            assert_eq!(claim.height, height);
            assert!(!claim.tx.is_empty() && claim.txid.is_none());
        }
        assert_eq!(
            value_proofs(exchange.result.get(), HASH).unwrap_err(),
            ReplyError::OtherScriptHash
        );
    }
}

#[test]
fn proofs_of_other_names_are_passed_over() {
    let proof = |height: i64| {
        format!(r#"{{"height":{height},"tx":"00","tx_merkle":{{"merkle":[],"pos":0}}}}"#)
    };
    let text = format!(
        r#"{{"a":{{"b":[{}]}},"{HASH}":[{},{}],"c":"d"}}"#,
        "[[[]]]",
        proof(-1),
        proof(9)
    );
    let heights: Vec<_> = value_proofs(&text, HASH)
        .unwrap()
        .iter()
        .map(|proof| proof.height)
        .collect();
    assert_eq!(heights, [9]);

    let twice = format!(r#"{{"{HASH}":[],"{HASH}":[]}}"#);
    assert_eq!(value_proofs(&twice, HASH).unwrap_err(), ReplyError::Form);
    let followed = format!(r#"{{"{HASH}":[]}}[]"#);
    assert_eq!(value_proofs(&followed, HASH).unwrap_err(), ReplyError::Form);
}

#[test]
fn a_bad_proof_spoils_only_itself() {
    let merkle = r#"{"merkle":[],"pos":0}"#;
    let long = "00".repeat(MAX_TRANSACTION_LENGTH + 1);
    let branch = vec![format!("\"{HASH}\""); 33].join(",");
    let text = format!(
        r#"{{"{HASH}":[{{"height":3,"tx":"00","tx_merkle":{merkle}}},
            {{"height":2,"tx":"{long}","tx_merkle":{merkle}}},
            {{"height":1,"tx":"00","tx_merkle":{{"merkle":[{branch}],"pos":0}}}}]}}"#
    );
    let claims: Vec<_> = value_proofs(&text, HASH)
        .unwrap()
        .into_iter()
        .map(|proof| proof.claim().map(|claim| claim.tx))
        .collect();
    assert_eq!(
        claims,
        [
            Ok(vec![0]),
            Err(ReplyError::TooLong),
            Err(ReplyError::TooMany)
        ]
    );
}

#[test]
fn recorded_headers_are_put_together_whatever_way_they_come() {
    let mut full = Vec::new();
    for exchange in replies("blockchain.block.headers") {
        let read = headers(exchange.result.get(), 3).unwrap();
        assert_eq!(read.count, 3);
        if exchange.params.len() == 2 {
            full.push(read.bytes);
        }
        assert_eq!(
            headers(exchange.result.get(), 2),
            Err(ReplyError::Count),
            "more than were asked for"
        );
    }
    assert_eq!(full.len(), 3);
    assert!(full.iter().all(|bytes| *bytes == full[0]));
    assert_eq!(full[0].len(), 885);
    let all = headers(testing::chain().headers.get(), 2_016).unwrap();
    assert_eq!((all.count, all.bytes.len()), (251, 251 * 80));
}

#[test]
fn headers_are_bounded_and_as_many_as_they_say() {
    let text = |count: u32, bytes: usize| {
        let hex = "00".repeat(bytes);
        format!(r#"{{"hex":"{hex}","count":{count},"max":2016}}"#)
    };
    for (count, bytes, expected) in [
        (0, 0, Ok(0)),
        (1, 80, Ok(80)),
        (2, 160, Ok(160)),
        (1, 5_000_000, Ok(5_000_000)),
        (1, 5_000_001, Err(ReplyError::TooLong)),
        (0, 80, Err(ReplyError::Count)),
        (1, 0, Err(ReplyError::Count)),
        (1, 79, Err(ReplyError::Count)),
        (2, 159, Err(ReplyError::Count)),
        (501, 501 * 80, Err(ReplyError::Count)),
        (u32::MAX, 80, Err(ReplyError::Count)),
    ] {
        let read = headers(&text(count, bytes), 500).map(|headers| headers.bytes.len());
        assert_eq!(read, expected, "{count} {bytes}");
    }

    let list = |part: &str, parts: usize| {
        let list = vec![format!("\"{part}\""); parts].join(",");
        format!(r#"{{"headers":[{list}],"count":1,"max":1}}"#)
    };
    let half = "00".repeat(2_500_000);
    assert_eq!(
        headers(&list(&half, 2), 1).unwrap().bytes.len(),
        MAX_HEADERS_LENGTH
    );
    assert_eq!(headers(&list(&half, 3), 1), Err(ReplyError::TooLong));
    assert_eq!(
        headers(&list("00", MAX_HEADERS + 1), 1),
        Err(ReplyError::TooMany)
    );
    for neither_or_both in [
        r#"{"count":0,"max":1}"#,
        r#"{"count":0,"max":1,"hex":null}"#,
        r#"{"count":0,"max":1,"hex":"","headers":[]}"#,
    ] {
        assert_eq!(headers(neither_or_both, 1), Err(ReplyError::Form));
    }
}

#[test]
fn recorded_tips_are_read() {
    let bytes = |tip: Tip| (tip.height, tip.bytes.len());
    for exchange in replies("blockchain.headers.subscribe") {
        assert_eq!(bytes(tip(exchange.result.get()).unwrap()), (250, 297));
    }
    for exchange in replies("notification") {
        let tip = tip_notification(exchange.result.get()).unwrap();
        assert_eq!(tip.height, 251);
        assert!(tip.bytes.len() > 80);
    }
    let short = format!(r#"{{"hex":"{}","height":1}}"#, "00".repeat(79));
    assert_eq!(tip(&short), Err(ReplyError::Count));
    let long = format!(r#"{{"hex":"{}","height":1}}"#, "00".repeat(5_000_001));
    assert_eq!(tip(&long), Err(ReplyError::TooLong));
    let full = format!(r#"{{"hex":"{}","height":1}}"#, "00".repeat(80));
    assert!(tip_notification(&format!("[{full}]")).is_ok());
    assert_eq!(tip_notification("[]"), Err(ReplyError::Form));
    assert_eq!(
        tip_notification(&format!("[{full},{full}]")),
        Err(ReplyError::TooMany)
    );
}

#[test]
fn other_forms_are_refused() {
    for (name, parser) in PARSERS {
        for text in [
            "", "null", "7", "{}", "[1]", "[[]]", "[null]", "{", "[", "\"", "[] []", "true",
        ] {
            assert!(parser(text).is_err(), "{name} {text}");
        }
    }
    // Members in the order in which they are declared are no object.
    for (name, text) in [
        ("history", format!(r#"[["{HASH}",7]]"#)),
        ("branch", r#"[236,[],0]"#.to_owned()),
        ("tip", format!(r#"["{}",1]"#, "00".repeat(80))),
        ("value_proofs", format!(r#"{{"{HASH}":[[7,"00",[[],0]]]}}"#)),
        (
            "value_proofs",
            format!(r#"{{"{HASH}":[{{"height":7,"tx":"00","tx_merkle":[[],0]}}]}}"#),
        ),
    ] {
        let (_, parser) = PARSERS.iter().find(|(of, _)| *of == name).unwrap();
        assert_eq!(parser(&text), Err(ReplyError::Form), "{text}");
    }
}

#[test]
fn a_missing_member_is_an_error() {
    for (name, whole, members) in [
        (
            "history",
            format!(r#"[{{"tx_hash":"{HASH}","height":7}}]"#),
            &["tx_hash", "height"][..],
        ),
        (
            "branch",
            r#"{"block_height":236,"merkle":[],"pos":0}"#.to_owned(),
            &["block_height", "merkle", "pos"],
        ),
        (
            "value_proofs",
            format!(r#"{{"{HASH}":[{{"height":7,"tx":"","tx_merkle":{{"merkle":[],"pos":0}}}}]}}"#),
            &["height", "tx\"", "tx_merkle", "merkle\":[", "pos"],
        ),
        (
            "headers",
            r#"{"hex":"","count":0,"max":1}"#.to_owned(),
            &["hex", "count"],
        ),
        (
            "tip",
            format!(r#"{{"hex":"{}","height":1}}"#, "00".repeat(80)),
            &["hex", "height"],
        ),
        (
            "newest_protocol",
            r#"{"protocol_max":"1.4"}"#.to_owned(),
            &["protocol_max"],
        ),
    ] {
        let (_, parser) = PARSERS.iter().find(|(of, _)| *of == name).unwrap();
        assert_eq!(parser(&whole), Ok(()), "{whole}");
        for member in members {
            let quoted = format!("\"{member}");
            let without = whole.replacen(&quoted, &format!("\"x{member}"), 1);
            assert_ne!(without, whole);
            assert_eq!(parser(&without), Err(ReplyError::Form), "{without}");
        }
    }
}

#[test]
fn deep_nesting_is_harmless() {
    let open = "[".repeat(1_000_000);
    let closed = format!("{open}{}", "]".repeat(1_000_000));
    let objects = r#"{"a":"#.repeat(200_000);
    for (name, parser) in PARSERS {
        for text in [&open, &closed, &objects] {
            assert!(parser(text).is_err(), "{name}");
        }
    }
    // Where a member is passed over, what it holds does not matter.
    for (name, text) in [
        (
            "history",
            format!(r#"[{{"tx_hash":"{HASH}","x":{closed},"height":7}}]"#),
        ),
        (
            "branch",
            format!(r#"{{"block_height":236,"x":{closed},"merkle":[],"pos":0}}"#),
        ),
        ("value_proofs", format!(r#"{{"x":{closed},"{HASH}":[]}}"#)),
        (
            "value_proofs",
            format!(
                r#"{{"{HASH}":[{{"height":7,"tx":"","header":{closed},"tx_merkle":{{"merkle":[],"pos":0}}}}]}}"#
            ),
        ),
        (
            "headers",
            format!(r#"{{"hex":"","count":0,"max":1,"branch":{closed}}}"#),
        ),
        (
            "newest_protocol",
            format!(r#"{{"hosts":{closed},"protocol_max":"1.4"}}"#),
        ),
    ] {
        let (_, parser) = PARSERS.iter().find(|(of, _)| *of == name).unwrap();
        assert_eq!(parser(&text), Ok(()), "{name}");
        assert!(parser(text.trim_end_matches([']', '}'])).is_err());
    }
}

#[test]
fn recorded_versions_are_read() {
    for exchange in replies("server.features") {
        let newest = match exchange.server.as_str() {
            "ElectrumX 1.15.0" => "1.4.2",
            _ => "1.6",
        };
        let read = newest_protocol(exchange.result.get()).unwrap();
        assert_eq!(read.to_string(), newest);
        let first = genesis(exchange.result.get()).unwrap();
        assert_eq!(first, crate::chain::network::Network::Regtest.genesis());
    }
    assert_eq!(genesis("{}"), Err(ReplyError::Form));
    assert_eq!(genesis(r#"{"genesis_hash":"0"}"#), Err(ReplyError::Hex));
    let bad = newest_protocol(r#"{"protocol_max":"one"}"#);
    assert_eq!(bad, Err(ReplyError::Protocol));
}

#[test]
fn servers_are_read_as_electrumx_names_them() {
    let read = peers(
        r#"[["203.0.114.1","a.example",["v1.4.2","p10000","s50002","t50001"]],
            ["x.onion","x.onion",["v1.4","t"]]]"#,
    );
    let [one, other] = read.unwrap().try_into().unwrap();
    assert_eq!(
        (one.ip.as_str(), one.host.as_str()),
        ("203.0.114.1", "a.example")
    );
    assert_eq!(one.features, ["v1.4.2", "p10000", "s50002", "t50001"]);
    assert_eq!((other.host.as_str(), other.features.len()), ("x.onion", 2));
    assert_eq!(peers("[]"), Ok(Vec::new()));
}

#[test]
fn entries_of_another_form_are_passed_over() {
    let many = vec!["\"s1\""; MAX_FEATURES + 1].join(",");
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    for entry in [
        "null",
        "7",
        "{}",
        "[]",
        r#"["i","h"]"#,
        r#"["i","h",[],[]]"#,
        r#"["i","h","s1"]"#,
        r#"["i",7,[]]"#,
        r#"["i","h",[7]]"#,
        r#"[null,"h",["s1"]]"#,
        &format!(r#"["i","h",[{many}]]"#),
        &format!(r#"["i","h",{deep}]"#),
        &deep,
    ] {
        let reply = format!(r#"[{entry},["i","good",["s1"]]]"#);
        let read = peers(&reply).unwrap();
        let [good] = read.as_slice() else {
            panic!("{read:?}")
        };
        assert_eq!(good.host, "good");
    }
}

#[test]
fn replies_that_no_server_needs_are_refused() {
    let entry = r#"["i","h",["s1"]]"#;
    let list = |count: usize| format!("[{}]", vec![entry; count].join(","));
    assert_eq!(peers(&list(MAX_PEERS)).unwrap().len(), MAX_PEERS);
    assert_eq!(peers(&list(MAX_PEERS + 1)), Err(ReplyError::TooMany));
    let long = format!(r#"["{}"]"#, "x".repeat(MAX_PEERS_LENGTH));
    assert_eq!(peers(&long), Err(ReplyError::TooLong));
    for result in ["null", "{}", "\"x\"", "1", ""] {
        assert_eq!(peers(result), Err(ReplyError::Form), "{result}");
    }
}
