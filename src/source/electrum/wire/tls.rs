//! TLS sessions that nothing links to another, and which servers they trust.
//!
//! Most servers made their certificates themselves. Such a server is known by
//! its public key, which is pinned once header connections have seen it twice
//! (see [`Pins`]). What the certificate says beside the key is then of no
//! interest, not even that it has expired.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};

use super::certificate::{self, KeyHash};
use super::error::DialError;
use super::tcp::{Bounded, Until};
use super::{Purpose, lock};
use crate::config::settings::NodeAddress;
use crate::source::electrum::pins::Pins;
use crate::source::electrum::servers::{Identity, Server};

/// What all sessions have in common: algorithms and authorities, no state.
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    /// `None` if no authority is known.
    authorities: Option<Arc<WebPkiServerVerifier>>,
}

/// A session, and how its server proved who it is.
pub(super) struct Session {
    pub session: ClientConnection,
    pub proof: Proof,
}

/// How a server proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// By the pinned key, by what the bundled list says, or because it is an
    /// onion service.
    Known,
    /// An authority vouches for it.
    Authority,
    /// Not yet: its key is to be noted.
    New(KeyHash),
}

impl Tls {
    /// Trusts these authorities. The process-wide provider of rustls is not
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

    /// Makes a session with a server over a socket.
    ///
    /// # Errors
    /// The server is not trusted or cannot do TLS, or the time is up.
    pub fn handshake(
        &self,
        tcp: &TcpStream,
        target: &Server,
        purpose: Purpose,
        pins: &Pins,
        until: Until<'_>,
    ) -> Result<Session, DialError> {
        let server = || target.to_string();
        let verifier = Arc::new(Verifier {
            authorities: self.authorities.clone(),
            provider: Arc::clone(&self.provider),
            rule: Rule::of(target, purpose, pins),
            verdict: Mutex::new(None),
        });
        let mut session = self
            .session(&target.address, &verifier)
            .ok_or_else(|| DialError::Tls { server: server() })?;
        let result = session.complete_io(&mut Bounded { tcp, until });
        let verdict = *lock(&verifier.verdict);
        match (result, verdict) {
            (Ok(_), Some(Verdict::Good(proof))) => Ok(Session { session, proof }),
            (_, Some(Verdict::NotTrusted)) => Err(DialError::NotTrusted { server: server() }),
            (_, Some(Verdict::Changed)) if target.identity.is_some() => {
                Err(DialError::OtherIdentity { server: server() })
            }
            (_, Some(Verdict::Changed)) => Err(DialError::PinChanged { server: server() }),
            (Err(error), _) if error.kind() == ErrorKind::InvalidData => {
                Err(DialError::Tls { server: server() })
            }
            (Err(error), _) => Err(DialError::lost(&error, server(), until)),
            (Ok(_), None) => Err(DialError::Tls { server: server() }),
        }
    }

    fn session(&self, address: &NodeAddress, verifier: &Arc<Verifier>) -> Option<ClientConnection> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Verifier>::clone(verifier))
            .with_no_client_auth();
        // A resumed session would tell the server that both are ours.
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        let name = ServerName::try_from(address.host.clone()).ok()?;
        ClientConnection::new(Arc::new(config), name).ok()
    }
}

/// How a server is to prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// The address of an onion service is its key.
    Onion,
    /// By the pinned key, or by what the bundled list says, and by nothing else:
    /// an authority that vouches for another key may have been deceived.
    Known {
        pinned: Option<KeyHash>,
        listed: Option<Identity>,
    },
    /// By an authority; else any key is taken and noted.
    Learn,
    /// By an authority.
    Authority,
}

impl Rule {
    fn of(server: &Server, purpose: Purpose, pins: &Pins) -> Self {
        if server.address.is_onion() {
            return Self::Onion;
        }
        match (pins.confirmed(&server.address), server.identity, purpose) {
            (None, None, Purpose::Headers) => Self::Learn,
            (None, None, Purpose::Lookups) => Self::Authority,
            (pinned, listed, _) => Self::Known { pinned, listed },
        }
    }
}

/// What became of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good(Proof),
    NotTrusted,
    Changed,
}

/// Judges the certificate of one connection.
#[derive(Debug)]
struct Verifier {
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    rule: Rule,
    verdict: Mutex<Option<Verdict>>,
}

impl Verifier {
    fn is_vouched_for(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> bool {
        self.authorities.as_ref().is_some_and(|authorities| {
            authorities
                .verify_server_cert(certificate, intermediates, name, &[], now)
                .is_ok()
        })
    }

    fn judge(
        &self,
        key: KeyHash,
        certificate: &[u8],
        is_vouched_for: impl Fn() -> bool,
    ) -> Verdict {
        match self.rule {
            Rule::Onion => Verdict::Good(Proof::Known),
            Rule::Known { pinned, listed } => {
                let is_listed = listed.is_some_and(|identity| match identity {
                    Identity::Key(hash) => hash == key,
                    Identity::Certificate(hash) => hash == certificate::hash(certificate),
                });
                if is_listed || pinned == Some(key) {
                    Verdict::Good(Proof::Known)
                } else {
                    Verdict::Changed
                }
            }
            Rule::Learn | Rule::Authority if is_vouched_for() => Verdict::Good(Proof::Authority),
            Rule::Learn => Verdict::Good(Proof::New(key)),
            Rule::Authority => Verdict::NotTrusted,
        }
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
        let key = certificate::public_key(certificate).map_err(|_| MALFORMED)?;
        let verdict = self.judge(certificate::hash(key), certificate, || {
            self.is_vouched_for(certificate, intermediates, name, now)
        });
        *lock(&self.verdict) = Some(verdict);
        if matches!(verdict, Verdict::Good(_)) {
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
        let key = certificate::public_key(certificate).map_err(|_| MALFORMED)?;
        let algorithms = &self.provider.signature_verification_algorithms;
        if certificate::is_signed_in_tls12(message, key, signed, algorithms) {
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
        let key = certificate::public_key(certificate).map_err(|_| MALFORMED)?;
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
