//! Each rule of merged mining by itself: a header that is valid but for that
//! rule is refused, and for that rule's reason.

mod block;
mod branches;
mod coinbase;
mod commitment;
mod parent;

use crate::support::forge::{Forge, hashes};
use bitcoin::block::Version;
use ncprop279::chain::network::Network;
use ncprop279::chain::proof_of_work::{AuxPowError, FullHeader, HeaderParseError, WorkError};

fn read(bytes: &[u8]) -> Result<FullHeader, HeaderParseError> {
    let (sealed, rest) = FullHeader::read(bytes)?;
    assert!(rest.is_empty());
    Ok(sealed)
}

fn malformed(forge: &Forge) -> HeaderParseError {
    read(&forge.seal()).unwrap_err()
}

fn check(forge: &Forge) -> Result<(), WorkError> {
    read(&forge.seal()).unwrap().check_work(Network::Regtest, 1)
}

fn refusal(forge: &Forge) -> AuxPowError {
    match check(forge) {
        Err(WorkError::AuxPow(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// The error of a header with one thing changed.
fn refused(change: impl FnOnce(&mut Forge)) -> AuxPowError {
    refusal(&changed(change))
}

fn changed(change: impl FnOnce(&mut Forge)) -> Forge {
    let mut forge = Forge::default();
    change(&mut forge);
    forge
}

fn version(version: u32) -> Version {
    Version::from_consensus(version.cast_signed())
}

#[test]
fn what_is_forged_is_valid_unless_something_is_changed() {
    assert_eq!(check(&Forge::default()), Ok(()));
    for levels in 0..=30 {
        assert_eq!(check(&changed(|f| f.chain_branch = hashes(levels))), Ok(()));
        let coinbase_branch = hashes(levels);
        assert_eq!(
            check(&changed(|f| f.coinbase_branch = coinbase_branch)),
            Ok(())
        );
    }
    assert_eq!(check(&changed(|f| f.ignored = [0xff; 32])), Ok(()));
}

#[test]
fn the_rest_behind_a_header_is_returned() {
    let bytes = Forge::default().seal();
    let (first, rest) = FullHeader::read(&bytes).unwrap();
    assert!(rest.is_empty());
    let twice = [bytes.as_slice(), &bytes, b"rest"].concat();
    let (_, rest) = FullHeader::read(&twice).unwrap();
    let (second, rest) = FullHeader::read(rest).unwrap();
    assert_eq!(rest, b"rest");
    assert_eq!(first, second);
}
