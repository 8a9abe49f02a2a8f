//! The public key in a certificate, and what is signed with it.
//!
//! Certificates that servers made for themselves are not always what webpki
//! reads: some are of X.509 version 1. What counts is their key, so it is found
//! by its place (RFC 5280 section 4.1), and the rest is skipped.

use bitcoin::hashes::{Hash, sha256};
use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Reader, SliceReader};
use rustls::DigitallySignedStruct;
use rustls::crypto::WebPkiSupportedAlgorithms;

/// The SHA-256 of a SubjectPublicKeyInfo.
pub type KeyHash = [u8; 32];

/// Elements of a certificate between the version and the key: serial number,
/// signature algorithm, issuer, validity, subject.
const BEFORE_KEY: usize = 5;

/// The first byte of the element with the version, which version 1 leaves out.
const VERSION: u8 = 0xa0;

/// The SubjectPublicKeyInfo of a certificate, in DER.
///
/// # Errors
/// The bytes are no certificate.
pub(super) fn public_key(certificate: &[u8]) -> der::Result<&[u8]> {
    let certificate = AnyRef::from_der(certificate)?;
    let mut parts = SliceReader::new(certificate.value())?;
    let signed = AnyRef::decode(&mut parts)?;
    let mut parts = SliceReader::new(signed.value())?;
    if parts.peek_byte() == Some(VERSION) {
        parts.tlv_bytes()?;
    }
    for _ in 0..BEFORE_KEY {
        parts.tlv_bytes()?;
    }
    parts.tlv_bytes()
}

/// The hash by which a key, or a certificate, is known.
pub(super) fn hash(der: &[u8]) -> KeyHash {
    sha256::Hash::hash(der).to_byte_array()
}

/// Whether `signed` is a signature of `message` by this key, by an algorithm
/// that TLS 1.2 gives this name (RFC 5246 section 7.4.1.4.1).
///
/// rustls does this for whole certificates only.
pub(super) fn is_signed_in_tls12(
    message: &[u8],
    public_key: &[u8],
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let Ok((kind, key)) = parts(public_key) else {
        return false;
    };
    // One name stands for several algorithms, each for one kind of key.
    algorithms
        .mapping
        .iter()
        .filter(|(scheme, _)| *scheme == signed.scheme)
        .flat_map(|(_, candidates)| candidates.iter())
        .filter(|candidate| candidate.public_key_alg_id().as_ref() == kind)
        .any(|candidate| {
            candidate
                .verify_signature(key, message, signed.signature())
                .is_ok()
        })
}

/// What kind of key it is, as the inside of an AlgorithmIdentifier, and the key
/// itself.
fn parts(public_key: &[u8]) -> der::Result<(&[u8], &[u8])> {
    let whole = AnyRef::from_der(public_key)?;
    let mut parts = SliceReader::new(whole.value())?;
    let kind = AnyRef::decode(&mut parts)?;
    let key = BitStringRef::decode(&mut parts)?;
    let key = key.as_bytes().ok_or(der::ErrorKind::Failed)?;
    Ok((kind.value(), key))
}
