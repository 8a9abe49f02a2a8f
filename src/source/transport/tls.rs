//! TLS sessions that nothing links to one another.
//!
//! Who counts as the right server is the caller's decision: it judges the
//! public key and the certificate that the server shows. The handshake itself
//! proves that the server has the key.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::Arc;

use bitcoin::hashes::{Hash, sha256};
use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Reader, SliceReader};
use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};

use super::tcp::{Bounded, Until};

/// The SHA-256 of a SubjectPublicKeyInfo.
pub type KeyHash = [u8; 32];

/// What all sessions have in common: algorithms and authorities, no state.
pub struct Tls {
    provider: Arc<CryptoProvider>,
    /// `None` if no authority is known.
    authorities: Option<Arc<WebPkiServerVerifier>>,
}

/// What a server shows of itself.
pub struct Shown<'a> {
    /// The hash of its public key.
    pub key: KeyHash,
    /// Its certificate, in DER.
    pub certificate: &'a [u8],
    /// Whether a known authority vouches for the certificate and the host name.
    pub is_vouched_for: &'a dyn Fn() -> bool,
}

impl Tls {
    /// Knows these authorities. The process-wide provider of rustls is not
    /// used, as anybody could have set it.
    pub fn new(authorities: RootCertStore) -> Self {
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(
            Arc::new(authorities),
            Arc::clone(&provider),
        );
        Self {
            authorities: verifier.build().ok(),
            provider,
        }
    }

    /// Begins a session with the server `host` over a socket. `trusts` decides
    /// by what the server shows whether it is the right one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] if the server is not trusted or cannot speak
    /// TLS, [`ErrorKind::TimedOut`] at the end of the time, or another error of
    /// the connection.
    pub fn handshake(
        &self,
        tcp: &TcpStream,
        host: &str,
        trusts: impl Fn(&Shown<'_>) -> bool + Send + Sync + 'static,
        until: Until<'_>,
    ) -> io::Result<ClientConnection> {
        let verifier = Verifier {
            authorities: self.authorities.clone(),
            provider: Arc::clone(&self.provider),
            trusts: Box::new(trusts),
        };
        let mut session = self.session(host, verifier).ok_or(ErrorKind::InvalidData)?;
        session.complete_io(&mut Bounded { tcp, until })?;
        Ok(session)
    }

    fn session(&self, host: &str, verifier: Verifier) -> Option<ClientConnection> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        // A resumed session would tell the server that both are ours.
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        let name = ServerName::try_from(host.to_owned()).ok()?;
        ClientConnection::new(Arc::new(config), name).ok()
    }
}

/// Judges the certificate of one connection.
struct Verifier {
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    trusts: Box<dyn Fn(&Shown<'_>) -> bool + Send + Sync>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

const MALFORMED: Error = Error::InvalidCertificate(CertificateError::BadEncoding);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = public_key(certificate).map_err(|_| MALFORMED)?;
        let shown = Shown {
            key: hash(key),
            certificate,
            is_vouched_for: &|| {
                self.authorities.as_ref().is_some_and(|authorities| {
                    authorities
                        .verify_server_cert(certificate, intermediates, name, &[], now)
                        .is_ok()
                })
            },
        };
        if (self.trusts)(&shown) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(certificate).map_err(|_| MALFORMED)?;
        let algorithms = &self.provider.signature_verification_algorithms;
        if is_signed_in_tls12(message, key, signed, algorithms) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(certificate).map_err(|_| MALFORMED)?;
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(key),
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Elements of a certificate between the version and the key: serial number,
/// signature algorithm, issuer, validity, subject.
const BEFORE_KEY: usize = 5;

/// The first byte of the element with the version, which version 1 omits.
const VERSION: u8 = 0xa0;

/// The SubjectPublicKeyInfo of a certificate, in DER.
///
/// Certificates that servers made for themselves are not always what webpki
/// reads: some are of X.509 version 1. Only their key counts, so it is found by
/// its place (RFC 5280 section 4.1), and the rest is skipped.
///
/// # Errors
/// The bytes are not a certificate.
fn public_key(certificate: &[u8]) -> der::Result<&[u8]> {
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

/// The hash by which a key or a certificate is known.
pub fn hash(der: &[u8]) -> KeyHash {
    sha256::Hash::hash(der).to_byte_array()
}

/// Whether `signed` is a signature of `message` with this key, by an algorithm
/// that TLS 1.2 gives this name (RFC 5246 section 7.4.1.4.1). rustls checks
/// only signatures of whole certificates.
fn is_signed_in_tls12(
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

/// The kind of a key, as the inside of an AlgorithmIdentifier, and the key
/// itself.
fn parts(public_key: &[u8]) -> der::Result<(&[u8], &[u8])> {
    let whole = AnyRef::from_der(public_key)?;
    let mut parts = SliceReader::new(whole.value())?;
    let kind = AnyRef::decode(&mut parts)?;
    let key = BitStringRef::decode(&mut parts)?;
    let key = key.as_bytes().ok_or(der::ErrorKind::Failed)?;
    Ok((kind.value(), key))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PublicKeyData};

    use super::*;

    #[test]
    fn the_key_is_found_in_certificates_and_in_nothing_else() {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["electrum.example".to_owned()]).unwrap();
        let whole = params.self_signed(&key).unwrap().der().to_vec();
        let expected = key.subject_public_key_info();
        assert_eq!(public_key(&whole).unwrap(), expected);
        let of_version_1 = include_bytes!("../../../tests/data/electrum/wire-rsa-v1.der");
        assert!(public_key(of_version_1).is_ok());
        for length in 0..whole.len() {
            assert!(public_key(&whole[..length]).is_err());
        }
        // Whatever one byte is changed to, it is an error or a key.
        for at in 0..whole.len().min(200) {
            for value in [0, 1, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = public_key(&changed);
            }
        }
    }
}
