//! Chains that are believed by a sample of their proofs of work.
//!
//! Headers without AuxPoW prove themselves. Those that are forged here say
//! that they have one, and nobody has it.

use bitcoin::block::Version;

use super::*;
use crate::chain::sample::SAMPLE_SIZE;
use crate::source::electrum::sync::bulk::{Lane, fetch_ranges};
use crate::source::electrum::sync::sampling::FEWEST;

const LENGTH: usize = (FEWEST + NEWEST) as usize + 100;

/// The greatest height for which proofs are drawn.
const LAST: u32 = LENGTH as u32 - NEWEST;

/// A chain in which these headers have no work.
fn chain(is_forged: impl Fn(u32) -> bool) -> Vec<FullHeader> {
    let mut chain = trunk(0);
    for height in 1..=LENGTH as u32 {
        let parent = chain.last().unwrap().header;
        let mut header = testing::after(&parent, parent.time + 1);
        chain.push(if height <= LAST && is_forged(height) {
            header.version = Version::from_consensus(0x0001_0104);
            FullHeader {
                header,
                auxpow: None,
            }
        } else {
            testing::mine(header, true)
        });
    }
    chain
}

fn stripping(operator: &str, chain: &[FullHeader]) -> Arc<Host> {
    let host = Host::new(operator, chain);
    host.omits_auxpow.store(true, SeqCst);
    host
}

impl Host {
    /// The heights that proofs were asked for.
    fn drawn(&self) -> BTreeSet<u32> {
        let proofs = self.proofs.lock().unwrap();
        proofs
            .iter()
            .flat_map(|(_, heights)| heights.clone())
            .collect()
    }

    /// The connections that proofs were asked for on.
    fn provers(&self) -> BTreeSet<usize> {
        let proofs = self.proofs.lock().unwrap();
        proofs.iter().map(|(session, _)| *session).collect()
    }

    fn proves(
        &self,
        prover: impl Fn(&[FullHeader], u32) -> Result<FullHeader, PeerError> + Send + Sync + 'static,
    ) {
        *self.prover.lock().unwrap() = Some(Box::new(prover));
    }
}

fn refuses(host: &Host) {
    host.proves(|_, _| Err(PeerError::Broken("it answered with an error".into())));
}

#[test]
fn another_operator_is_asked_for_the_sample_over_several_connections() {
    let chain = chain(|_| false);
    let hosts = [stripping("a", &chain), stripping("b", &chain)];
    let mut sim = Simulation::new(&hosts);
    assert!(sim.connect_and_compare());
    assert!(sim.is_at(&chain));
    let asked = hosts.iter().filter(|host| !host.drawn().is_empty());
    let asked: Vec<_> = asked.collect();
    assert_eq!(asked.len(), 1, "the giver is not asked");
    let drawn = asked[0].drawn();
    assert!(
        (350..=SAMPLE_SIZE).contains(&drawn.len()),
        "{}",
        drawn.len()
    );
    assert!(*drawn.first().unwrap() > 0 && *drawn.last().unwrap() <= LAST);
    assert_eq!(asked[0].provers().len(), 2);
    // The newest are always verified in full.
    let provider = hosts.iter().find(|host| host.drawn().is_empty()).unwrap();
    let newest = |host: &Host| {
        let requests = host.requests();
        requests.iter().any(|(_, start, _)| *start == LAST + 1)
    };
    assert!(newest(provider) || newest(asked[0]));
}

/// A tenth and half of the work. (How often 1 % is found is a matter of
/// probability, which the tests of the sample count.)
#[test]
fn forged_work_refuses_the_chain_and_the_server() {
    let honest = chain(|_| false);
    for every in [2, 10] {
        let forger = stripping("a", &chain(|height| height % every == 0));
        let other = Host::new("b", &honest);
        let mut sim = Simulation::new(&[Arc::clone(&forger), Arc::clone(&other)]);
        sim.connect_and_compare();
        assert!(sim.is_at(&honest), "one in {every}");
        assert_eq!(sim.banned(), std::slice::from_ref(&forger.server));
        assert!(!forger.drawn().is_empty());
        // The other does not have that chain, which is no fault of its own.
        assert!(!other.drawn().is_empty());
    }
}

#[test]
fn a_forger_alone_is_not_given_another_draw() {
    let forger = stripping("a", &chain(|height| height % 10 == 0));
    let mut sim = Simulation::new(&[Arc::clone(&forger)]);
    assert!(!sim.connect_and_compare());
    let drawn = forger.drawn();
    assert!(!drawn.is_empty() && drawn.len() <= SAMPLE_SIZE);
    for _ in 0..3 {
        assert!(!sim.connect_and_compare());
    }
    assert_eq!(forger.drawn(), drawn, "all of its headers are verified now");
    let headers = sim.ledger.headers();
    assert!(headers.tip().is_some_and(|(tip, _)| tip < 10));
}

#[test]
fn what_was_drawn_stays_drawn_over_connections() {
    let chain = chain(|_| false);
    let host = stripping("a", &chain);
    let failures = AtomicUsize::new(0);
    host.proves(move |chain, height| {
        // The first two connections break, early and late.
        if failures.fetch_add(1, SeqCst) < 2 {
            return Err(PeerError::Broken("it broke".into()));
        }
        Ok(chain[height as usize].clone())
    });
    let mut sim = Simulation::new(&[Arc::clone(&host)]);
    while !sim.connect_and_compare() {
        assert!(host.opened() < 10);
    }
    assert!(sim.is_at(&chain));
    let drawn = host.drawn();
    assert!(
        (350..=SAMPLE_SIZE).contains(&drawn.len()),
        "{}",
        drawn.len()
    );
}

/// It is not believed; and as it may be honest, all that it has is verified.
#[test]
fn a_chain_whose_proofs_are_withheld_is_not_believed() {
    let chain = chain(|_| false);
    let host = stripping("a", &chain);
    refuses(&host);
    let mut sim = Simulation::new(&[Arc::clone(&host)]);
    assert!(!sim.connect_and_compare());
    assert_eq!(sim.ledger.headers().tip().unwrap().0, 0);
    while !sim.connect_and_compare() {
        assert!(host.opened() < 10);
    }
    assert!(sim.is_at(&chain));
    assert!(sim.banned().is_empty());
    let verified: u32 = host.requests().iter().map(|(_, _, count)| count).sum();
    assert!(verified as usize >= 2 * LENGTH - NEWEST as usize);
}

#[test]
fn what_one_operator_withholds_is_asked_of_the_giver() {
    let chain = chain(|_| false);
    type Play = fn(&Host);
    let plays: [Play; 3] = [
        refuses,
        |host| host.proves(|chain, height| Ok(chain[height as usize + 1].clone())),
        // Its proof is wrong, and that is its lie alone.
        |host| {
            host.proves(|chain, height| {
                let mut full = chain[height as usize].clone();
                full.header.nonce ^= 1;
                Ok(full)
            });
        },
    ];
    for play in plays {
        let provider = stripping("a", &chain);
        let other = Host::new("b", &chain);
        play(&other);
        let mut sim = Simulation::new(&[Arc::clone(&provider), Arc::clone(&other)]);
        sim.connect_and_compare();
        assert!(sim.is_at(&chain));
        assert!(!other.drawn().is_empty());
        let drawn = provider.drawn();
        assert!(
            (350..=SAMPLE_SIZE).contains(&drawn.len()),
            "{}",
            drawn.len()
        );
        assert!(sim.banned().is_empty());
    }
}

#[test]
fn proofs_of_another_chain_than_it_gave_are_a_lie() {
    let chain = chain(|_| false);
    let host = stripping("a", &chain);
    host.proves(|chain, height| Ok(chain[height as usize - 1].clone()));
    let mut sim = Simulation::new(&[Arc::clone(&host)]);
    assert!(!sim.connect_and_compare());
    assert_eq!(sim.banned(), std::slice::from_ref(&host.server));
    assert_eq!(sim.ledger.headers().tip().unwrap().0, 0);
}

#[test]
fn headers_that_break_a_rule_are_a_lie_before_anything_is_drawn() {
    let mut forged = chain(|_| false);
    let height = 1_000;
    forged.truncate(height);
    let mut header = testing::after(&forged[height - 1].header, 1);
    header.version = Version::from_consensus(0x0001_0104);
    forged.push(FullHeader {
        header,
        auxpow: None,
    });
    let forged = grown(&forged, LENGTH - height, 1);
    let host = stripping("a", &forged);
    let mut sim = Simulation::new(&[Arc::clone(&host)]);
    assert!(!sim.connect_and_compare());
    assert_eq!(sim.banned(), std::slice::from_ref(&host.server));
    assert!(host.drawn().is_empty());
    assert_eq!(sim.ledger.headers().tip().unwrap().0, 0);
}

#[test]
fn servers_that_do_not_leave_auxpow_out_are_verified_in_full() {
    let chain = chain(|_| false);
    let never = Host::new("a", &chain);
    let hardly = stripping("a", &chain);
    let noticed = Arc::clone(&hardly);
    hardly.play(move |_, _, _, _| {
        noticed.omits_auxpow.store(false, SeqCst);
        None
    });
    for host in [never, hardly] {
        let mut sim = Simulation::new(&[Arc::clone(&host)]);
        assert!(sim.connect_and_compare());
        assert!(sim.is_at(&chain));
        assert!(host.drawn().is_empty());
    }
}

#[test]
fn all_are_verified_if_few_are_new_or_the_user_wants_it() {
    let chain = chain(|_| false);
    let few = &chain[..(FEWEST + NEWEST) as usize];
    for (chain, is_off) in [(few, false), (&chain, true)] {
        let host = stripping("a", chain);
        let mut sim = Simulation::new(&[Arc::clone(&host)]);
        sim.driver.sampling = Sampling::new(is_off);
        assert!(sim.connect_and_compare());
        assert!(sim.is_at(chain));
        assert!(host.drawn().is_empty());
    }
}

/// A stride of so many headers each over connections to these servers: how
/// many were added, which lanes failed, and which are out.
fn walk(ledger: &Ledger, hosts: &[Arc<Host>], batch: u32) -> (u32, Vec<usize>, Vec<bool>) {
    let peers: Vec<Connected> = hosts.iter().map(Host::connect).collect();
    let mut lanes: Vec<_> = peers
        .iter()
        .map(|peer| Lane::new(peer, height(&peer.host.chain())))
        .collect();
    let (added, faults) = fetch_ranges(ledger, &mut lanes, batch).unwrap();
    let faults = faults.into_iter().map(|(at, _)| at).collect();
    (
        added,
        faults,
        lanes.iter().map(|lane| lane.is_out).collect(),
    )
}

fn hosts(chains: &[&[FullHeader]]) -> Vec<Arc<Host>> {
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
    let (added, faults, out) = walk(&ledger, &hosts, MAX_BATCH);
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
    let (added, faults) = fetch_ranges(&ledger, &mut lanes, 500).unwrap();
    assert_eq!((added, faults.len()), (10, 1));
    assert!(lanes.iter().all(|lane| lane.is_out));
}
