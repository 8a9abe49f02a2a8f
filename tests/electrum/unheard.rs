//! `check` with two servers of which one does not answer: it says which, and
//! that waiting does not help, or goes on with the other.

use std::net::{SocketAddr, TcpListener};

use crate::support::circuits::Circuits;
use crate::support::electrum::Version::V1_15;
use crate::support::electrum::chain::Chain;
use crate::support::electrum_plugin::server;
use crate::support::run::{self, Outcome};

const TARGETS: [&str; 2] = ["one.example:50001", "two.example:50001"];

/// What `check` says within so many seconds about a server that works and one
/// at this address, if there have to be two.
fn check(other: SocketAddr, seconds: u32) -> (Outcome, String) {
    let (end, text) = look(other, seconds, "2");
    assert_eq!(end.code, Some(1), "{end:#?}");
    assert!(text.contains("servers FAIL"), "{end:#?}");
    assert!(text.contains("headers FAIL"), "{end:#?}");
    assert!(!text.contains("wait:"), "{end:#?}");
    (end, text)
}

fn look(other: SocketAddr, seconds: u32, operators: &str) -> (Outcome, String) {
    let mut chain = Chain::new();
    chain.mine(12);
    let server = server(V1_15, &chain);
    let addresses = [server.address(), other];
    let circuits = Circuits::to_addresses(TARGETS.into_iter().zip(addresses));
    let timeout = format!("--timeout={seconds}");
    let operators = format!("--electrum-operators={operators}");
    let end = run::run(circuits.prepare('t', &["check", &timeout, &operators]));
    let words = end.stdout.iter().flat_map(|line| line.split_whitespace());
    let text = words.collect::<Vec<_>>().join(" ");
    (end, text)
}

#[test]
fn a_server_that_is_dead_from_the_start_is_named() {
    let (end, text) = check(([127, 0, 0, 1], 1).into(), 3);
    let words = format!("{} answers, {} does not", TARGETS[0], TARGETS[1]);
    assert!(text.contains(&words), "{end:#?}");
    assert!(text.contains("servers of two operators"), "{end:#?}");
}

/// It accepts connections, and that is all.
#[test]
fn a_server_that_hangs_from_the_start_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (end, text) = check(listener.local_addr().unwrap(), 13);
    // If it was tried first, the other was not tried yet.
    let words = format!("{} does not", TARGETS[1]);
    assert!(text.contains(&words), "{end:#?}");
}

/// By default one that answers is enough, and `check` says what that means.
#[test]
fn where_no_other_answers_one_goes_on_alone() {
    let (end, text) = look(([127, 0, 0, 1], 1).into(), 20, "auto");
    assert_eq!(end.code, Some(0), "{end:#?}");
    let alone = format!("servers warn {} alone answers: it cannot", TARGETS[0]);
    assert!(text.contains(&alone), "{end:#?}");
    assert!(text.contains("headers ok"), "{end:#?}");
    let lookups = format!("an isolation id can ask {}", TARGETS[0]);
    assert!(text.contains(&lookups), "{end:#?}");
}
