//! The servers that can be asked, and who runs them.

use std::fmt;
use std::sync::OnceLock;

use data_encoding::HEXLOWER;
use serde::Deserialize;

use crate::config::settings::{NodeAddress, ServerAddress};

/// A server that can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Server {
    /// Host and port.
    pub address: NodeAddress,
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// Who runs it. Servers of one operator are believed like one server.
    pub operator: String,
    /// Whether it is known to answer.
    pub standing: Standing,
    /// What it has to show, if that is known beforehand.
    pub identity: Option<Identity>,
}

/// What is known of a server, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Standing {
    /// It answers, or the user named it.
    Alive,
    /// It is in no list; servers of two listed operators name it.
    #[serde(skip)]
    Discovered,
    /// Nobody has tried it lately, or reports differ.
    Unknown,
    /// It does not answer. It may come back.
    Dead,
}

/// What shows that a server is the one that its operator runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    /// The SHA-256 of the SubjectPublicKeyInfo.
    Key([u8; 32]),
    /// The SHA-256 of the certificate in DER.
    Certificate([u8; 32]),
}

impl Server {
    /// Whether another server's word counts beside this one's: not if both are
    /// of one operator, and of a discovered server not if they are at one host.
    pub fn counts_beside(&self, other: &Self) -> bool {
        let is_listed = [self, other].map(|one| one.standing != Standing::Discovered);
        let (one, other_host) = (&self.address.host, &other.address.host);
        self.operator != other.operator
            && (is_listed == [true; 2] || !one.eq_ignore_ascii_case(other_host))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// The servers to use: those that the user names, each counted as an operator
/// of its own, or the bundled ones, the best first.
pub(super) fn servers(named: &[ServerAddress]) -> Vec<Server> {
    if named.is_empty() {
        return bundled().to_vec();
    }
    named
        .iter()
        .map(|server| Server {
            address: server.address.clone(),
            is_tls: server.is_tls,
            operator: server.address.to_string(),
            standing: Standing::Alive,
            identity: None,
        })
        .collect()
}

/// The list that is compiled in.
const LIST: &str = include_str!("../../../data/electrum-servers.toml");

/// The servers of [`LIST`], read once, and only where Electrum servers are
/// asked.
fn bundled() -> &'static [Server] {
    static SERVERS: OnceLock<Vec<Server>> = OnceLock::new();
    // A test reads the list, so it can be read.
    SERVERS.get_or_init(|| read(LIST).unwrap_or_default())
}

#[derive(Deserialize)]
struct File {
    server: Vec<Entry>,
}

/// What the program needs of an entry; who reported it is for people.
#[derive(Deserialize)]
struct Entry {
    operator: String,
    host: String,
    port: u16,
    tls: bool,
    state: Standing,
    key: Option<String>,
    certificate: Option<String>,
}

/// `None` if it is not a list of servers.
fn read(text: &str) -> Option<Vec<Server>> {
    let file: File = toml::from_str(text).ok()?;
    file.server.into_iter().map(Entry::into_server).collect()
}

impl Entry {
    fn into_server(self) -> Option<Server> {
        let identity = match (&self.key, &self.certificate) {
            (None, None) => None,
            (Some(key), None) => Some(Identity::Key(hash(key)?)),
            (None, Some(certificate)) => Some(Identity::Certificate(hash(certificate)?)),
            (Some(_), Some(_)) => return None,
        };
        Some(Server {
            address: NodeAddress {
                host: self.host,
                port: self.port,
            },
            is_tls: self.tls,
            operator: self.operator,
            standing: self.state,
            identity,
        })
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use toml::Table;

    use super::*;
    use crate::onion::OnionAddress;

    #[test]
    fn the_bundled_list_can_be_read() {
        let servers = read(LIST).unwrap();
        assert_eq!(servers, bundled());
        let addresses: BTreeSet<_> = servers.iter().map(Server::to_string).collect();
        assert_eq!(addresses.len(), servers.len(), "each is listed once");
        assert!(servers.is_sorted_by_key(|server| server.standing));
        for server in &servers {
            let host = &server.address.host;
            assert!(server.address.port > 0 && !server.operator.is_empty());
            // Or it could not be kept with the servers that it names.
            let in_a_word = |byte: u8| byte.is_ascii_graphic() && byte != b',';
            assert!(server.operator.bytes().all(in_a_word));
            assert!(!host.ends_with(".bit"), "{host}");
            assert!(!server.address.is_loopback(), "{host}");
            let is_address = host.parse::<IpAddr>().is_ok();
            assert!(is_address || host.contains('.'), "{host}");
            if server.address.is_onion() {
                assert!(OnionAddress::parse(host).is_ok(), "{host}");
            }
            // Anything else would show names to an exit of Tor.
            assert!(server.is_tls || server.address.is_onion(), "{host}");
        }
        let alive = |server: &&Server| server.standing == Standing::Alive;
        let operators: BTreeSet<_> = servers
            .iter()
            .filter(alive)
            .map(|server| &server.operator)
            .collect();
        assert!(operators.len() >= 2, "absence needs two: {operators:?}");
    }

    /// A misspelt key would be passed over.
    #[test]
    fn the_bundled_list_says_who_reported_what() {
        let table: Table = LIST.parse().unwrap();
        let known = [
            "operator",
            "host",
            "port",
            "tls",
            "state",
            "seen",
            "reported",
            "key",
            "certificate",
        ];
        for server in table["server"].as_array().unwrap() {
            let server = server.as_table().unwrap();
            for key in server.keys() {
                assert!(known.contains(&key.as_str()), "{key}: {server:?}");
            }
            assert!(!server["reported"].as_str().unwrap().is_empty());
            let is_alive = server["state"].as_str() == Some("alive");
            let Some(seen) = server.get("seen") else {
                assert!(!is_alive, "{server:?}");
                continue;
            };
            let (year, month) = match seen.as_str().unwrap().split_once('-') {
                Some((year, month)) => (year, month.parse().unwrap()),
                None => (seen.as_str().unwrap(), 1),
            };
            assert!((2020..2100).contains(&year.parse::<u32>().unwrap()));
            assert!((1..=12).contains(&month), "{server:?}");
        }
    }

    #[test]
    fn an_identity_is_one_hash() {
        let entry = |more: &str| {
            let text = "[[server]]\noperator='o'\nhost='h.example'\nport=1\ntls=true\nstate='dead'";
            read(&format!("{text}\n{more}")).map(|mut servers| servers.remove(0).identity)
        };
        let a = "aa".repeat(32);
        assert_eq!(entry(""), Some(None));
        let key = entry(&format!("key='{a}'"));
        assert_eq!(key, Some(Some(Identity::Key([0xaa; 32]))));
        let certificate = entry(&format!("certificate='{a}'"));
        assert_eq!(certificate, Some(Some(Identity::Certificate([0xaa; 32]))));
        assert_eq!(entry(&format!("key='{a}'\ncertificate='{a}'")), None);
        assert_eq!(entry("key='aa'"), None);
        assert_eq!(entry("state='asleep'"), None);
    }

    #[test]
    fn named_servers_take_the_place_of_the_list() {
        let named = ServerAddress {
            address: NodeAddress {
                host: "a.example".to_owned(),
                port: 50002,
            },
            is_tls: true,
        };
        let servers = servers(std::slice::from_ref(&named));
        let [server] = servers.as_slice() else {
            panic!("{servers:?}")
        };
        assert_eq!(server.address, named.address);
        assert_eq!(server.operator, "a.example:50002");
        assert_eq!(server.standing, Standing::Alive);
    }
}
