use super::super::below::{anchor, complete};
use super::super::peer::MOST_HEADERS;
use super::*;

/// A ledger whose checkpoint is a block in the middle of the chain.
fn ledger(chain: &[SealedHeader], height: u32) -> Ledger {
    let headers = Headers::new(Network::Regtest, checkpoint(chain, height));
    Ledger::new(headers, 1, clock)
}

fn checkpoint(chain: &[SealedHeader], height: u32) -> Checkpoint {
    Checkpoint {
        height,
        hash: chain[height as usize].header.block_hash(),
    }
}

fn go(ledger: &Ledger, host: &Arc<Host>, batch: u32) -> Result<(), PeerError> {
    let (peer, cancel) = (host.connect(), Cancel::new());
    anchor(ledger, &peer, batch, &cancel, |_, _| {})?;
    complete(ledger, &peer, batch, &cancel, |_, _| {})
}

#[test]
fn headers_below_a_checkpoint_are_fetched_as_far_as_they_are_needed() {
    let chain = trunk(2200);
    for (height, lowest) in [(5, 0), (100, 0), (2016, 1986), (2020, 1990), (2060, 2015)] {
        for batch in [MOST_HEADERS, 30] {
            let host = Host::new("a", &chain);
            let ledger = ledger(&chain, height);
            go(&ledger, &host, batch).unwrap();
            assert_eq!(ledger.headers().lowest(), Some(lowest), "{height}");
            assert!(ledger.headers().is_complete());
            let asked = host.requests().len();
            go(&ledger, &host, batch).unwrap();
            assert_eq!(host.requests().len(), asked, "nothing twice");
        }
    }
}

#[test]
fn a_world_with_a_checkpoint_in_the_middle_is_synchronised() {
    let chain = trunk(300);
    let hosts = ["a", "b"].map(|name| Host::new(name, &chain));
    let mut world = World::from(&hosts, checkpoint(&chain, 100));
    assert!(world.settle());
    assert!(world.is_at(&chain));
    assert_eq!(world.ledger.settled(), Ok(300));
    assert_eq!(world.ledger.headers().lowest(), Some(0));
}

#[test]
fn what_does_not_link_to_the_checkpoint_is_a_lie() {
    let chain = trunk(300);
    let ledger = ledger(&chain, 200);
    let other = Host::new("a", &parted(&chain, 150, 150, 1));
    assert!(matches!(
        go(&ledger, &other, MOST_HEADERS),
        Err(PeerError::Lied(_))
    ));
    assert_eq!(ledger.headers().tip(), None);
    let forged = Host::new("a", &chain);
    forged.play(|chain, _, start, count| {
        let mut headers = honest(chain, start, count);
        if let Ok(headers) = &mut headers
            && count > 1
        {
            headers[0].header.nonce += 1;
        }
        Some(headers)
    });
    assert!(matches!(go(&ledger, &forged, 50), Err(PeerError::Lied(_))));
    // What linked is kept, and the next goes on from there.
    assert_eq!(ledger.headers().lowest(), Some(151));
    go(&ledger, &Host::new("b", &chain), 50).unwrap();
    assert_eq!(ledger.headers().lowest(), Some(0));
}

/// A process that is to end does not fetch thousands of headers first.
#[test]
fn cancelling_ends_it_between_two_requests() {
    let chain = trunk(300);
    let ledger = ledger(&chain, 200);
    let host = Host::new("a", &chain);
    let cancel = Cancel::new();
    let during = cancel.clone();
    host.play(move |_, _, _, count| {
        if count > 1 {
            during.set();
        }
        None
    });
    let ended = anchor(&ledger, &host.connect(), 10, &cancel, |_, _| {});
    assert_eq!(ended, Err(PeerError::TimedOut));
    assert_eq!(
        host.requests().len(),
        2,
        "the checkpoint's, and ten below it"
    );
}
