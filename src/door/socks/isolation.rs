//! Which streams may share a trace: the isolation id that a stream's name is
//! looked up under, and the credentials that Tor is shown for it
//! (`spec/socks.md`, "Isolation").

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use sha3::{Digest, Sha3_256};

use super::request::{Credentials, Protocol};
use crate::isolation::IsolationId;

/// Tor reads user names that begin with this as parameters (Tor proposal 351).
const EXTENDED: &[u8] = b"<torS0X>";

/// The user name of proposal 351 for "isolate by the password". To a Tor that
/// does not know the proposal it is a user name like any other.
const ISOLATE_BY_PASSWORD: &[u8] = b"<torS0X>0";

/// The longest user name of SOCKS5 in bytes.
const MAX_USER: usize = 255;

/// Where a client's connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The number of the listener, from 0, in the order of the configuration.
    pub listener: u32,
    /// The address that the listener is bound to; `None` on a Unix socket.
    pub bound: Option<IpAddr>,
    /// The client's address; `None` on a Unix socket.
    pub client: Option<IpAddr>,
}

/// All by which a stream differs from others as Tor's defaults see it: the
/// listener, the client's address, the protocol, the credentials.
#[derive(Debug, Clone, Copy)]
pub struct Distinction<'a> {
    /// Where the client's connection came in.
    pub origin: Origin,
    /// The client's protocol.
    pub protocol: Protocol,
    /// What the client showed.
    pub credentials: Option<&'a Credentials>,
}

/// Derives ids and credentials with a key of this process.
pub struct Isolation {
    key: [u8; 32],
}

impl Isolation {
    /// With a key that nobody else knows.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The id to look a name up under: the same for two streams only if nothing
    /// of their [`Distinction`] differs. It says nothing of what it was derived
    /// from.
    pub fn id(&self, stream: Distinction<'_>) -> IsolationId {
        IsolationId::from_digest(&self.hash(b"lookup", stream))
    }

    /// The credentials to show Tor, which sees this process as the one client of
    /// one listener.
    ///
    /// Those of a SOCKS client on this machine's own address of the first
    /// listener are passed on as they are. Otherwise the password is replaced by
    /// a hash of the whole distinction.
    pub fn toward_tor(&self, stream: Distinction<'_>) -> Option<Credentials> {
        let credentials = stream.credentials;
        if is_plain(stream) {
            return credentials.cloned();
        }
        let user = credentials
            .map(|credentials| credentials.user.as_slice())
            .filter(|user| !user.is_empty() && user.len() <= MAX_USER)
            .filter(|user| stream.protocol == Protocol::Socks5 || !user.starts_with(EXTENDED));
        Some(Credentials {
            user: user.unwrap_or(ISOLATE_BY_PASSWORD).to_vec(),
            password: HEXLOWER.encode(&self.hash(b"stream", stream)).into_bytes(),
        })
    }

    /// SHA3 with the key in front is a keyed hash. Every part has its length in
    /// front, so that no two distinctions are hashed alike.
    fn hash(&self, purpose: &[u8], stream: Distinction<'_>) -> [u8; 32] {
        let Distinction {
            origin,
            protocol,
            credentials,
        } = stream;
        let mut hasher = Sha3_256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        part(&self.key);
        part(purpose);
        part(&origin.listener.to_be_bytes());
        let client = origin.client.map(|client| client.to_string());
        part(client.unwrap_or_default().as_bytes());
        part(match protocol {
            Protocol::Socks4 => b"socks4",
            Protocol::Socks5 => b"socks5",
            Protocol::Http => b"http",
        });
        if let Some(credentials) = credentials {
            part(&credentials.user);
            part(&credentials.password);
        }
        hasher.finalize().into()
    }
}

/// Whether Tor would see the stream as it sees ours: on its first SOCKS listener,
/// from this machine.
fn is_plain(stream: Distinction<'_>) -> bool {
    let Origin {
        listener,
        bound,
        client,
    } = stream.origin;
    let is_own = match client {
        None => true,
        Some(client) => client.is_loopback() && Some(client) == bound,
    };
    let has_meaning = |credentials: &Credentials| credentials.user.starts_with(EXTENDED);
    let is_misread =
        stream.protocol == Protocol::Socks4 && stream.credentials.is_some_and(has_meaning);
    listener == 0 && is_own && stream.protocol != Protocol::Http && !is_misread
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    use super::*;

    const HOME: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));

    fn origin(listener: u32, client: &str) -> Origin {
        Origin {
            listener,
            bound: HOME,
            client: client.parse().ok(),
        }
    }

    fn shown(user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.into(),
            password: password.into(),
        }
    }

    /// Everything that Tor's defaults keep apart is kept apart, and nothing else.
    #[test]
    fn ids_and_credentials_differ_as_tor_distinguishes() {
        let isolation = Isolation::new([7; 32]);
        let credentials = [
            None,
            Some(shown("", "")),
            Some(shown("a", "bc")),
            Some(shown("ab", "c")),
            Some(shown("<torS0X>0", "c")),
        ];
        let mut ids = HashSet::new();
        let mut toward_tor = HashSet::new();
        let mut count = 0;
        for listener in [0, 1] {
            for client in ["127.0.0.1", "127.0.0.2", "::1", "192.0.2.1", "unix"] {
                for protocol in [Protocol::Socks4, Protocol::Socks5, Protocol::Http] {
                    for credentials in &credentials {
                        let stream = Distinction {
                            origin: origin(listener, client),
                            protocol,
                            credentials: credentials.as_ref(),
                        };
                        count += 1;
                        ids.insert(isolation.id(stream).as_bytes().to_vec());
                        let shown = isolation.toward_tor(stream);
                        toward_tor.insert(shown.map(|shown| (shown.user, shown.password)));
                        assert_eq!(isolation.id(stream), isolation.id(stream));
                        let other = Isolation::new([8; 32]);
                        assert_ne!(isolation.id(stream), other.id(stream));
                    }
                }
            }
        }
        assert_eq!(ids.len(), count);
        // Tor's defaults do not distinguish SOCKS4 from SOCKS5, nor, seen from
        // its SOCKS port, 127.0.0.1 from a Unix socket; the user id that Tor
        // would misread is the exception.
        let plain = 2 * 2 * credentials.len();
        assert_eq!(toward_tor.len(), count - plain + credentials.len() + 2);
    }

    #[test]
    fn what_a_local_client_shows_is_passed_on() {
        let isolation = Isolation::new([7; 32]);
        for credentials in [None, Some(shown("<torS0X>0", "x")), Some(shown("u", ""))] {
            let stream = Distinction {
                origin: origin(0, "127.0.0.1"),
                protocol: Protocol::Socks5,
                credentials: credentials.as_ref(),
            };
            assert_eq!(isolation.toward_tor(stream), credentials);
        }
    }

    #[test]
    fn user_names_keep_their_meaning_whatever_is_folded_in() {
        let isolation = Isolation::new([7; 32]);
        let user = |protocol, user: &str| {
            let credentials = shown(user, "p");
            let stream = Distinction {
                origin: origin(1, "127.0.0.1"),
                protocol,
                credentials: Some(&credentials),
            };
            let shown = isolation.toward_tor(stream).unwrap();
            assert_eq!(shown.password.len(), 64);
            String::from_utf8(shown.user).unwrap()
        };
        assert_eq!(user(Protocol::Socks5, "<torS0X>0"), "<torS0X>0");
        assert_eq!(user(Protocol::Socks5, "<torS0X>1abc"), "<torS0X>1abc");
        assert_eq!(user(Protocol::Socks5, "site.example"), "site.example");
        assert_eq!(user(Protocol::Socks5, ""), "<torS0X>0");
        assert_eq!(user(Protocol::Http, &"x".repeat(256)), "<torS0X>0");
        assert_eq!(user(Protocol::Socks4, "<torS0X>9"), "<torS0X>0");
    }
}
