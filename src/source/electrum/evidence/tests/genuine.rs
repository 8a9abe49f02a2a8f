use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::source::electrum::name_script::script_hash;
use crate::source::electrum::recorded::{self, octets, replies, root_at};
use crate::source::electrum::reply;
use crate::source::electrum::verdict::{Account, Selection, Terms, newest, select};

const TERMS: Terms = Terms {
    tip: recorded::TIP,
    confirmations: 12,
    expiry: recorded::EXPIRY,
};

/// The reply of a server to a request about a transaction.
fn about(method: &str, server: &str, txid: Txid) -> Option<String> {
    replies(method)
        .into_iter()
        .find(|reply| reply.server == server && reply.params[0] == txid.to_string())
        .map(|reply| reply.result.get().to_owned())
}

/// What a server claims of the transaction in a history.
fn claim_about(server: &str, entry: reply::HistoryEntry) -> Option<Claim> {
    let merkle = about("blockchain.transaction.get_merkle", server, entry.txid)?;
    let branch = reply::branch(&merkle, entry.height).unwrap();
    let tx = about("blockchain.transaction.get", server, entry.txid)?;
    Some(Claim {
        txid: Some(entry.txid),
        tx: reply::transaction(&tx).unwrap(),
        height: entry.height,
        branch: branch.hashes,
        position: branch.position,
    })
}

/// All that the server with value proofs claims of a name, newest first.
fn proofs_of(name: &str) -> Vec<Claim> {
    let hash = script_hash(name.as_bytes());
    let exchange = replies("blockchain.name.get_value_proof")
        .into_iter()
        .find(|exchange| {
            exchange.params == [hash.as_str().into(), 0.into()] as [serde_json::Value; 2]
        })
        .unwrap();
    reply::value_proofs(exchange.result.get(), &hash)
        .unwrap()
        .into_iter()
        .map(|proof| proof.claim().unwrap())
        .collect()
}

fn testls() -> Claim {
    proofs_of("d/testls").remove(0)
}

fn check_value(name: &str, operation: Option<Operation>) {
    let recorded = recorded::name(name);
    let operation = operation.unwrap();
    assert_eq!(*operation.value, octets(&recorded.value));
    assert_eq!(operation.height, recorded.height);
}

#[test]
fn lookups_by_history_give_the_recorded_values() {
    let mut lookups = 0;
    for exchange in replies("blockchain.scripthash.get_history") {
        for name in ["d/testls", "d/plain", "d/multi", "d/never-existed"] {
            if exchange.params != [script_hash(name.as_bytes())] {
                continue;
            }
            let history = reply::history(exchange.result.get()).unwrap();
            let entries = match select(&mut { history }, TERMS).unwrap() {
                Selection::Prove(entries) => entries,
                Selection::Settled(account) => {
                    assert_eq!((name, account), ("d/never-existed", Account::Nothing));
                    continue;
                }
            };
            assert_eq!(entries[0].txid.to_string(), recorded::name(name).txid);
            let Some(claim) = claim_about(&exchange.server, entries[0]) else {
                assert_eq!(name, "d/multi");
                continue;
            };
            let operation = verify(&key(name), &claim, &root_at).unwrap();
            check_value(name, newest([operation]));
            lookups += 1;
        }
    }
    assert_eq!(lookups, 4, "two names at two servers");
}

#[test]
fn lookups_by_value_proof_give_the_recorded_values() {
    let mut lookups = 0;
    for exchange in replies("blockchain.name.get_value_proof") {
        for name in ["d/testls", "d/plain", "d/multi", "d/never-existed"] {
            let hash = script_hash(name.as_bytes());
            if exchange.params[0] != hash {
                continue;
            }
            let proofs = reply::value_proofs(exchange.result.get(), &hash).unwrap();
            match select(&mut { proofs }, TERMS).unwrap() {
                Selection::Settled(account) => {
                    assert_eq!((name, account), ("d/never-existed", Account::Nothing));
                }
                Selection::Prove(proofs) => {
                    let operations = proofs
                        .into_iter()
                        .map(|proof| verify(&key(name), &proof.claim().unwrap(), &root_at));
                    check_value(name, newest(operations.map(Result::unwrap)));
                    lookups += 1;
                }
            }
        }
    }
    assert_eq!(lookups, 5);
}

#[test]
fn every_recorded_operation_is_proven() {
    for name in ["d/testls", "d/plain", "d/multi"] {
        let claims = proofs_of(name);
        assert!(claims.len() >= 4);
        let mut operations = Vec::new();
        for claim in claims {
            operations.push(verify(&key(name), &claim, &root_at).unwrap());
            assert_eq!(
                verify(&key("d/other"), &claim, &root_at),
                Err(ProofError::OtherName)
            );
        }
        assert!(operations.is_sorted_by(|a, b| a.order() > b.order()));
    }
}

#[test]
fn no_bit_of_a_claim_can_be_changed() {
    for name in ["d/testls", "d/plain"] {
        let genuine = proofs_of(name).remove(0);
        let refused = |claim: &Claim, what: &str, bit: usize| {
            let result = verify(&key(name), claim, &root_at);
            assert!(result.is_err(), "{name}: bit {bit} of the {what}");
        };
        for bit in 0..genuine.tx.len() * 8 {
            let mut claim = genuine.clone();
            claim.tx[bit / 8] ^= 1 << (bit % 8);
            refused(&claim, "transaction", bit);
        }
        for bit in 0..genuine.branch.len() * 256 {
            let mut claim = genuine.clone();
            claim.branch[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
            refused(&claim, "branch", bit);
        }
        for bit in 0..32 {
            let mut claim = genuine.clone();
            claim.position ^= 1 << bit;
            refused(&claim, "position", bit);
            let mut claim = genuine.clone();
            claim.height ^= 1 << bit;
            refused(&claim, "height", bit);
        }
        for length in 0..genuine.branch.len() {
            let mut claim = genuine.clone();
            claim.branch.truncate(length);
            refused(&claim, "branch, cut", length);
        }
        for length in 0..genuine.tx.len() {
            let mut claim = genuine.clone();
            claim.tx.truncate(length);
            refused(&claim, "transaction, cut", length);
        }
    }
}

#[test]
fn the_id_in_the_history_binds() {
    let mut claim = testls();
    let txid: Txid = recorded::name("d/testls").txid.parse().unwrap();
    claim.txid = Some(txid);
    assert!(verify(&key("d/testls"), &claim, &root_at).is_ok());
    claim.txid = Some(recorded::name("d/plain").txid.parse().unwrap());
    assert_eq!(
        verify(&key("d/testls"), &claim, &root_at),
        Err(ProofError::OtherTransaction)
    );
}

#[test]
fn a_header_that_is_not_there_yet_is_not_the_servers_fault() {
    let claim = testls();
    let missing = verify(&key("d/testls"), &claim, &|_| None).unwrap_err();
    assert_eq!(missing, ProofError::NoHeader);
    assert!(!missing.is_servers_fault());

    // Nor is a transaction of the chain that is no operation on the name.
    let other = verify(&key("d/other"), &claim, &root_at).unwrap_err();
    assert_eq!(other, ProofError::OtherName);
    assert!(other.is_no_operation() && !other.is_servers_fault());

    // That it is one of the chain must be proven too.
    let elsewhere = Claim {
        height: claim.height - 1,
        ..claim
    };
    for name in ["d/testls", "d/other"] {
        let elsewhere = verify(&key(name), &elsewhere, &root_at).unwrap_err();
        assert_eq!(elsewhere, ProofError::OtherRoot);
        assert!(elsewhere.is_servers_fault() && !elsewhere.is_no_operation());
    }
}

#[test]
fn nothing_may_follow_the_transaction() {
    let mut claim = testls();
    claim.tx.push(0);
    assert_eq!(
        verify(&key("d/testls"), &claim, &root_at),
        Err(ProofError::Trailing)
    );
}

#[test]
fn a_position_beyond_the_branch_is_refused() {
    let genuine = testls();
    for beyond in [1 << 4, 1 << 31, u32::MAX << 4] {
        let claim = Claim {
            position: genuine.position | beyond,
            ..genuine.clone()
        };
        assert_eq!(
            verify(&key("d/testls"), &claim, &root_at),
            Err(ProofError::Branch(FoldError::Index))
        );
    }
    let claim = Claim {
        branch: vec![[7; 32]; 100],
        position: u32::MAX,
        ..genuine
    };
    assert_eq!(
        verify(&key("d/testls"), &claim, &root_at),
        Err(ProofError::OtherRoot)
    );
}

#[test]
fn random_claims_do_no_harm() {
    let mut rng = StdRng::seed_from_u64(7);
    let genuine = testls();
    for _ in 0..5_000 {
        let mut claim = genuine.clone();
        match rng.random_range(0..3) {
            0 => {
                let length = rng.random_range(0..200);
                claim.tx = (0..length).map(|_| rng.random()).collect();
            }
            1 => {
                let at = rng.random_range(0..claim.tx.len());
                claim.tx[at] = rng.random();
                claim.tx.truncate(rng.random_range(at..=claim.tx.len()));
            }
            _ => {
                let length = rng.random_range(0..40);
                claim.branch = (0..length).map(|_| rng.random()).collect();
                claim.position = rng.random();
                claim.height = rng.random();
            }
        }
        if let Ok(operation) = verify(&key("d/testls"), &claim, &root_at) {
            assert_eq!(claim.tx, genuine.tx);
            assert_eq!(operation.order(), (genuine.height, genuine.position));
        }
    }
}
