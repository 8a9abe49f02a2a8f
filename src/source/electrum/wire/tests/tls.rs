//! Which servers are trusted, and what a session reveals.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData};
use rustls::SupportedProtocolVersion;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::*;
use crate::source::transport::tls as certificate;

const HOST: &str = "electrum.example";

/// An RSA key of 2048 bits and a certificate of X.509 version 1 with it, which
/// was good for one day. Both made with OpenSSL 3.
const RSA_KEY: &[u8] = include_bytes!("../../../../../tests/data/electrum/wire-rsa.key.der");
const RSA_V1: &[u8] = include_bytes!("../../../../../tests/data/electrum/wire-rsa-v1.der");

/// Shows one certificate, whatever it looks like.
#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

type Versions<'a> = &'a [&'static SupportedProtocolVersion];

fn config(
    certificate: impl Into<CertificateDer<'static>>,
    key: impl TryInto<PrivateKeyDer<'static>>,
    versions: Versions<'_>,
) -> Arc<ServerConfig> {
    let key = key.try_into().unwrap_or_else(|_| panic!("no key"));
    let key = ring::sign::any_supported_type(&key).unwrap();
    let certified = CertifiedKey::new(vec![certificate.into()], key);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Fixed(Arc::new(certified))));
    config.ticketer = ring::Ticketer::new().unwrap();
    Arc::new(config)
}

/// A server's settings with a certificate of its own, and the hash of its key.
pub fn self_signed(versions: Versions<'_>) -> (Arc<ServerConfig>, KeyHash) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    // What counts is the key.
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let hash = certificate::hash(&key.subject_public_key_info());
    let config = config(certificate.der().clone(), key.serialize_der(), versions);
    (config, hash)
}

/// A server reached through a proxy that writes down what it sees.
struct Route {
    peer: Peer,
    proxy: Socks,
}

impl Route {
    fn to(config: Arc<ServerConfig>) -> Self {
        let peer = Peer::echo(Some(config));
        let proxy = Socks::start(peer.address, Manner::Honest);
        Self { peer, proxy }
    }

    fn dialer(&self, pins: &Arc<Pins>) -> Dialer {
        Dialer::new(proxy_of(&self.proxy), Arc::clone(pins))
    }

    fn dial(
        &self,
        pins: &Arc<Pins>,
        host: &str,
        purpose: Purpose,
    ) -> Result<Connection, DialError> {
        let server = server(host, 50002, true);
        self.dialer(pins)
            .dial(&server, purpose, soon(), &Cancel::new())
    }
}

fn works(connection: &Connection) {
    let request = Request::new("x", "[7]");
    let reply = connection.call(request, soon(), &Cancel::new()).unwrap();
    assert_eq!(result(reply), "[7]");
}

fn named(make: impl Fn(String) -> DialError) -> DialError {
    make(format!("{HOST}:50002"))
}

#[test]
fn a_key_is_learned_on_two_header_connections_and_then_good_for_lookups() {
    for versions in [&[&TLS12], &[&TLS13]] {
        let (config, key) = self_signed(versions);
        let route = Route::to(config);
        let pins = no_pins();
        for _ in 0..2 {
            let error = route.dial(&pins, HOST, Purpose::Lookups).unwrap_err();
            assert_eq!(error, named(DialError::NotTrusted));
            assert_eq!(pins.confirmed(&address(HOST, 50002)), None);
            works(&route.dial(&pins, HOST, Purpose::Headers).unwrap());
        }
        assert_eq!(pins.confirmed(&address(HOST, 50002)), Some(key));
        works(&route.dial(&pins, HOST, Purpose::Lookups).unwrap());
        works(&route.dial(&pins, HOST, Purpose::Headers).unwrap());
        // Nothing was asked of a server that was not trusted.
        let heard = route.peer.heard();
        let asked = heard.iter().filter(|requests| !requests.is_empty());
        assert_eq!((heard.len(), asked.count()), (6, 4));
    }
}

#[test]
fn a_changed_key_is_refused_with_the_servers_name() {
    let pins = no_pins();
    let route = Route::to(self_signed(&[&TLS13]).0);
    for _ in 0..2 {
        route.dial(&pins, HOST, Purpose::Headers).unwrap();
    }
    let other = Route::to(self_signed(&[&TLS13]).0);
    for purpose in [Purpose::Headers, Purpose::Lookups] {
        let error = other.dial(&pins, HOST, purpose).unwrap_err();
        assert!(error.to_string().contains("electrum.example:50002"));
        assert_eq!(error, named(DialError::PinChanged));
    }
    works(&route.dial(&pins, HOST, Purpose::Lookups).unwrap());
}

#[test]
fn a_server_that_does_not_speak_electrum_teaches_no_pin() {
    let peer = Peer::start_with(Some(self_signed(&[&TLS13]).0), |guest| {
        guest.hear()?;
        guest.say("junk\n")?;
        guest.hear_out()
    });
    let proxy = Socks::start(peer.address, Manner::Honest);
    let pins = no_pins();
    let dialer = Dialer::new(proxy_of(&proxy), Arc::clone(&pins));
    for _ in 0..3 {
        let target = server(HOST, 50002, true);
        let error = dialer
            .dial(&target, Purpose::Headers, soon(), &Cancel::new())
            .unwrap_err();
        assert_eq!(error, named(DialError::NotElectrum));
    }
    assert_eq!(pins.confirmed(&address(HOST, 50002)), None);
}

#[test]
fn onion_services_need_no_check_and_teach_no_pin() {
    let onion = "electrumelectrumelectrumelectrumelectrumelectrumelectrum.onion";
    let pins = no_pins();
    for _ in 0..3 {
        // Another key every time.
        let route = Route::to(self_signed(&[&TLS13]).0);
        works(&route.dial(&pins, onion, Purpose::Lookups).unwrap());
        works(&route.dial(&pins, onion, Purpose::Headers).unwrap());
        works(&route.dial(&pins, onion, Purpose::Headers).unwrap());
    }
    assert_eq!(pins.confirmed(&address(onion, 50002)), None);
}

/// The certificate of an authority, and a server for whose hosts it vouches.
fn vouched_for() -> (rcgen::Certificate, impl Fn(Versions<'_>) -> Route) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(DnType::CommonName, "authority");
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![HOST.to_owned(), "192.0.2.1".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let route = move |versions: Versions<'_>| {
        Route::to(config(leaf.der().clone(), key.serialize_der(), versions))
    };
    (root, route)
}

/// An authority that vouched on a connection for headers makes a server one
/// that lookups may go to; one for lookups changes nothing for others.
#[test]
fn an_authority_that_vouched_for_a_server_is_remembered() {
    let (root, route) = vouched_for();
    let route = route(&[&TLS13]);
    let pins = no_pins();
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let dialer = Dialer::with_authorities(proxy_of(&route.proxy), Arc::clone(&pins), roots);
    let target = server(HOST, 50002, true);
    for (purpose, is_trusted) in [(Purpose::Lookups, false), (Purpose::Headers, true)] {
        works(
            &dialer
                .dial(&target, purpose, soon(), &Cancel::new())
                .unwrap(),
        );
        assert_eq!(dialer.trusts(&target), is_trusted);
    }
    assert_eq!(pins.confirmed(&target.address), None, "no pin is needed");
}

/// What the bundled list knows need not be learned, and nothing else will do.
#[test]
fn a_server_of_the_list_shows_what_its_operator_published() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    let shown = params.self_signed(&key).unwrap();
    let route = Route::to(config(shown.der().clone(), key.serialize_der(), &[&TLS13]));
    let other = Route::to(self_signed(&[&TLS13]).0);
    for identity in [
        Identity::Key(certificate::hash(&key.subject_public_key_info())),
        Identity::Certificate(certificate::hash(shown.der())),
    ] {
        let target = Server {
            identity: Some(identity),
            ..server(HOST, 50002, true)
        };
        let pins = no_pins();
        for purpose in [Purpose::Lookups, Purpose::Headers] {
            let dial = |route: &Route| {
                route
                    .dialer(&pins)
                    .dial(&target, purpose, soon(), &Cancel::new())
            };
            works(&dial(&route).unwrap());
            let error = dial(&other).unwrap_err();
            assert_eq!(error, named(DialError::OtherIdentity));
        }
        assert!(route.dialer(&pins).trusts(&target));
        assert_eq!(pins.confirmed(&target.address), None);
    }
}

/// Authorities can be deceived; a pin is what two circuits saw.
#[test]
fn no_authority_vouches_for_another_key_than_the_pinned_one() {
    let pins = no_pins();
    let (root, route) = vouched_for();
    let before = Route::to(self_signed(&[&TLS13]).0);
    for _ in 0..2 {
        before.dial(&pins, HOST, Purpose::Headers).unwrap();
    }
    let route = route(&[&TLS13]);
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let dialer = Dialer::with_authorities(proxy_of(&route.proxy), pins, roots);
    for purpose in [Purpose::Headers, Purpose::Lookups] {
        let target = server(HOST, 50002, true);
        let error = dialer.dial(&target, purpose, soon(), &Cancel::new());
        assert_eq!(error.unwrap_err(), named(DialError::PinChanged));
    }
}

#[test]
fn an_authority_vouches_for_the_hosts_of_its_certificates() {
    let (root, route) = vouched_for();
    for versions in [&[&TLS12], &[&TLS13]] {
        let route = route(versions);
        let dial = |host: &str, root: Option<&rcgen::Certificate>| {
            let mut roots = RootCertStore::empty();
            if let Some(root) = root {
                roots.add(root.der().clone()).unwrap();
            }
            Dialer::with_authorities(proxy_of(&route.proxy), no_pins(), roots).dial(
                &server(host, 50002, true),
                Purpose::Lookups,
                soon(),
                &Cancel::new(),
            )
        };
        works(&dial(HOST, Some(&root)).unwrap());
        works(&dial("192.0.2.1", Some(&root)).unwrap());
        for (host, root) in [(HOST, None), ("other.example", Some(&root))] {
            let server = format!("{host}:50002");
            let error = dial(host, root).unwrap_err();
            assert_eq!(error, DialError::NotTrusted(server));
        }
    }
}

#[test]
fn certificates_of_version_1_and_rsa_keys_can_be_pinned() {
    for versions in [&[&TLS12], &[&TLS13]] {
        let key = PrivateKeyDer::Pkcs1(RSA_KEY.to_vec().into());
        let route = Route::to(config(RSA_V1.to_vec(), key, versions));
        let pins = no_pins();
        for purpose in [Purpose::Headers, Purpose::Headers, Purpose::Lookups] {
            works(&route.dial(&pins, HOST, purpose).unwrap());
        }
    }
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    for versions in [&[&TLS12], &[&TLS13]] {
        // Somebody in between shows the certificate of another.
        let (mine, theirs) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        let certificate = params.self_signed(&theirs).unwrap();
        let route = Route::to(config(
            certificate.der().clone(),
            mine.serialize_der(),
            versions,
        ));
        let pins = no_pins();
        for host in [HOST, "aa.onion"] {
            let error = route.dial(&pins, host, Purpose::Headers).unwrap_err();
            let server = format!("{host}:50002");
            assert_eq!(error, DialError::Tls(server));
        }
    }
}

/// The extensions of a ClientHello (RFC 8446 section 4.1.2), and its session id.
fn hello(sent: &[u8]) -> (Vec<u8>, Vec<(u16, Vec<u8>)>) {
    fn counted(bytes: &mut &[u8], width: usize) -> Vec<u8> {
        let (length, rest) = bytes.split_at(width);
        let length = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let (value, rest) = rest.split_at(length);
        *bytes = rest;
        value.to_vec()
    }
    assert_eq!((sent[0], sent[5]), (22, 1), "a ClientHello");
    // Record and handshake headers, version, random.
    let mut bytes = &sent[5 + 4 + 2 + 32..];
    let session = counted(&mut bytes, 1);
    counted(&mut bytes, 2);
    counted(&mut bytes, 1);
    let extensions = counted(&mut bytes, 2);
    let mut left = extensions.as_slice();
    let mut found = Vec::new();
    while !left.is_empty() {
        let kind = u16::from_be_bytes([left[0], left[1]]);
        left = &left[2..];
        found.push((kind, counted(&mut left, 2)));
    }
    (session, found)
}

#[test]
fn no_session_is_resumed_and_only_host_names_are_sent() {
    const SERVER_NAME: u16 = 0;
    const ALPN: u16 = 16;
    const SESSION_TICKET: u16 = 35;
    const PRE_SHARED_KEY: u16 = 41;
    const EARLY_DATA: u16 = 42;
    for versions in [&[&TLS12], &[&TLS13]] {
        let route = Route::to(self_signed(versions).0);
        let pins = no_pins();
        let dialer = route.dialer(&pins);
        for host in [HOST, HOST, HOST, "192.0.2.1"] {
            let target = server(host, 50002, true);
            // Tickets come with the first reply at the latest.
            let connection = dialer.dial(&target, Purpose::Headers, soon(), &Cancel::new());
            works(&connection.unwrap());
        }
        let mut sessions = Vec::new();
        for (number, connection) in route.proxy.seen().iter().enumerate() {
            let (session, extensions) = hello(&connection.sent);
            assert!(session.is_empty() || !sessions.contains(&session));
            sessions.push(session);
            for (kind, _) in &extensions {
                let linking = [ALPN, SESSION_TICKET, PRE_SHARED_KEY, EARLY_DATA];
                assert!(!linking.contains(kind), "{kind}");
            }
            let name = extensions.iter().find(|(kind, _)| *kind == SERVER_NAME);
            assert_eq!(name.is_some(), number < 3);
            if let Some((_, name)) = name {
                assert!(name.ends_with(HOST.as_bytes()));
            }
        }
        assert_eq!(sessions.len(), 4);
    }
}

#[test]
fn a_server_without_tls_is_reported() {
    let peer = Peer::start(|guest| guest.say("HTTP/1.1 400 Bad Request\r\n\r\n"));
    let target = local(peer.address, true);
    let error = direct()
        .dial(&target, Purpose::Headers, soon(), &Cancel::new())
        .unwrap_err();
    let server = target.to_string();
    assert_eq!(error, DialError::Tls(server));
}
