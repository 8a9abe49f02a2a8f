//! Headers with their proof of work.

use bitcoin::TxMerkleNode;
use bitcoin::consensus::serialize;
use bitcoin::hashes::{Hash, sha256d};
use ncprop279::chain::merkle::fold;
use ncprop279::chain::network::Network;
use ncprop279::chain::sealed::{SealedHeader, WorkError};

/// The heights that rules begin at, and some others.
const HEIGHTS: [u32; 5] = [0, 1, 19_200, 335_000, 815_000];

/// Any bytes as headers that follow each other: each takes what is its own and
/// no less, the work of one is none for another, and a branch leads where it
/// leads by other means.
pub fn auxpow(data: &[u8]) {
    let mut rest = data;
    while let Ok((sealed, behind)) = SealedHeader::read(rest) {
        let length = rest.len() - behind.len();
        assert!(length >= 80 && rest.ends_with(behind));
        let own = &rest[..length];
        assert_eq!(&serialize(&sealed.header), &own[..80]);
        assert_eq!(SealedHeader::read(own), Ok((sealed.clone(), &[][..])));
        for cut in [80, length / 2, length - 1] {
            assert!(
                cut >= length || SealedHeader::read(&own[..cut]).is_err(),
                "{cut}"
            );
        }
        for network in [Network::Mainnet, Network::Regtest] {
            for height in HEIGHTS {
                work(&sealed, network, height);
            }
        }
        rest = behind;
    }
    climb(data);
}

/// Checks what is said of a header's work.
fn work(sealed: &SealedHeader, network: Network, height: u32) {
    let said = sealed.check_work(network, height);
    let hash = sealed.header.block_hash();
    if height == 0 {
        assert_eq!(said.is_ok(), hash == network.genesis());
    } else if said.is_ok() {
        assert!(network.target(sealed.header.bits).is_some());
        if sealed.auxpow.is_some() {
            // The work is for this header only.
            let mut other = sealed.clone();
            let root = other.header.merkle_root.to_byte_array();
            other.header.merkle_root = TxMerkleNode::from_byte_array(root.map(|byte| !byte));
            let said = other.check_work(network, height);
            assert!(matches!(said, Err(WorkError::AuxPow(_))), "{said:?}");
        }
    }
}

/// Bytes as an index, a leaf and the siblings on the way to a root.
fn climb(data: &[u8]) {
    let Some((index, rest)) = data.split_first_chunk::<4>() else {
        return;
    };
    let (hashes, _) = rest.as_chunks::<32>();
    let Some((leaf, branch)) = hashes.split_first() else {
        return;
    };
    let index = u32::from_le_bytes(*index);
    if let Ok(root) = fold(*leaf, branch, index) {
        assert!(branch.len() >= 32 || index >> branch.len() == 0);
        let mut node = *leaf;
        for (level, sibling) in branch.iter().enumerate() {
            let pair = match index.checked_shr(level as u32).unwrap_or(0) % 2 {
                0 => [node, *sibling],
                _ => [*sibling, node],
            };
            node = sha256d::Hash::hash(&pair.concat()).to_byte_array();
        }
        assert_eq!(node, root);
    }
}
