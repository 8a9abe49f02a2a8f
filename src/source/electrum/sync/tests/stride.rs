use super::super::peer::MOST_HEADERS;
use super::super::stride::{Lane, stride};
use super::*;

/// A stride of so many headers each over connections to these servers: how
/// many were added, which lanes failed, and which are out.
fn walk(ledger: &Ledger, hosts: &[Arc<Host>], batch: u32) -> (u32, Vec<usize>, Vec<bool>) {
    let peers: Vec<Connected> = hosts.iter().map(Host::connect).collect();
    let mut lanes: Vec<_> = peers
        .iter()
        .map(|peer| Lane::new(peer, height(&peer.host.chain())))
        .collect();
    let (added, faults) = stride(ledger, &mut lanes, batch).unwrap();
    let faults = faults.into_iter().map(|(at, _)| at).collect();
    (
        added,
        faults,
        lanes.iter().map(|lane| lane.is_out).collect(),
    )
}

fn hosts(chains: &[&[SealedHeader]]) -> Vec<Arc<Host>> {
    chains.iter().map(|chain| Host::new("a", chain)).collect()
}

#[test]
fn each_lane_brings_a_range_of_its_own() {
    let chain = trunk(1000);
    let hosts = hosts(&[&chain, &chain[..=150], &chain]);
    let ledger = ledger_of(&chain[..=10]);
    assert_eq!(
        walk(&ledger, &hosts, 100),
        (240, vec![], vec![false; 3]),
        "the second has less"
    );
    let asked: Vec<_> = hosts.iter().map(|host| host.requests()).collect();
    assert_eq!(asked, [[(0, 11, 100)], [(0, 111, 40)], [(0, 151, 100)]]);
}

#[test]
fn a_lane_on_another_branch_is_out_and_does_no_harm() {
    let chain = trunk(1000);
    let other = parted(&chain, 50, 1000, 1);
    let ledger = ledger_of(&chain[..=10]);
    // The second range does not link to the first.
    let hosts = hosts(&[&chain, &other, &chain]);
    let (added, faults, out) = walk(&ledger, &hosts, 100);
    assert_eq!((added, faults), (100, vec![]));
    assert_eq!(out, [false, true, false]);
    let (added, ..) = walk(&ledger, &hosts[2..], 100);
    assert_eq!(added, 100);
}

#[test]
fn what_was_right_before_a_lie_is_kept() {
    let chain = trunk(1000);
    let mut forged = chain.clone();
    forged[170] = testing::mine(forged[170].header, false);
    let ledger = ledger_of(&chain[..=10]);
    let (added, faults, out) = walk(&ledger, &hosts(&[&chain, &forged, &chain]), 100);
    assert_eq!(faults, [1]);
    assert_eq!(out, [false, true, false]);
    assert_eq!(ledger.headers().tip().unwrap().0, 169);
    assert_eq!(added, 100, "those of sound ranges are counted");
}

#[test]
fn a_lane_that_breaks_leaves_a_gap_for_the_next_stride() {
    let chain = trunk(1000);
    let hosts = hosts(&[&chain, &chain, &chain]);
    hosts[0].play(|_, _, _, _| Some(Err(PeerError::TimedOut)));
    let ledger = ledger_of(&chain[..=10]);
    let (added, faults, out) = walk(&ledger, &hosts, MOST_HEADERS);
    assert_eq!((added, faults), (0, vec![0]));
    assert_eq!(out, [true, false, false]);
}

#[test]
fn heights_at_the_end_of_the_numbers_do_not_overflow() {
    let chain = trunk(20);
    let host = Host::new("a", &chain);
    let peers = [host.connect(), host.connect()];
    let mut lanes = peers.each_ref().map(|peer| Lane::new(peer, u32::MAX));
    let ledger = ledger_of(&chain[..=10]);
    let (added, faults) = stride(&ledger, &mut lanes, 500).unwrap();
    assert_eq!((added, faults.len()), (10, 1));
    assert!(lanes.iter().all(|lane| lane.is_out));
}
