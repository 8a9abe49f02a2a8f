//! Which streams may share a trace: the isolation ids of lookups, and the
//! credentials that Tor is shown.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, TcpStream};

use super::{ONION, onion_value};
use crate::support::node::Node;
use crate::support::serve::{Ask, PROTOCOLS, Protocol, RESOLVE, Serve, dial, dial_from, node};
use crate::support::tor::{Tor, echo};

/// An address of this machine other than the one that clients have by default.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn site() -> Node {
    node(&[("d/site", &onion_value())])
}

/// Two ports and a Unix socket.
fn listeners(tor: &Tor, node: &Node, directory: &tempfile::TempDir) -> Serve {
    let unix = format!("unix:{}", directory.path().join("socks").display());
    let mut arguments = node.arguments(&["--proxy", &tor.address()]);
    for listener in ["127.0.0.1:0", "127.0.0.2:0", &unix] {
        arguments.extend(["--socks-listen".to_owned(), listener.to_owned()]);
    }
    Serve::with(&arguments, 3)
}

type Shown = Option<(&'static str, &'static str)>;

const SHOWN: [Shown; 7] = [
    None,
    Some(("alice", "")),
    Some(("alice", "one")),
    Some(("alice", "two")),
    Some(("bob", "one")),
    Some(("aliceo", "ne")),
    Some(("<torS0X>0", "one")),
];

fn ask(protocol: Protocol, host: &str, shown: Shown) -> Ask {
    let ask = Ask::new(protocol, host);
    match shown {
        Some((user, password)) => ask.user(user, password),
        None => ask,
    }
}

/// Everything that Tor isolates by, and the protocol, gives a lookup an id of its
/// own; the same again is the same id. The ids say nothing of what they are of.
#[test]
fn a_lookup_has_an_id_of_everything_that_tor_isolates_by() {
    let (tor, node) = (Tor::leading_to(echo()), site());
    let directory = tempfile::tempdir().unwrap();
    let serve = listeners(&tor, &node, &directory);
    let [first, second, unix] = &serve.listeners[..] else {
        panic!("{:?}", serve.listeners)
    };
    let mut expected = 0;
    let origins: [&dyn Fn() -> TcpStream; 5] = [
        &|| dial(first),
        &|| dial(second),
        &|| dial(unix),
        &|| dial_from(OTHER, first),
        &|| dial_from(OTHER, second),
    ];
    for origin in origins {
        for protocol in PROTOCOLS {
            for shown in SHOWN {
                // SOCKS4 has no password.
                let has_id =
                    protocol != Protocol::Socks4 || shown.is_none_or(|(_, it)| it.is_empty());
                if !has_id {
                    continue;
                }
                expected += 1;
                for _ in 0..2 {
                    let ask = ask(protocol, "site.bit", shown);
                    assert_eq!(ask.on(&mut origin()).code, protocol.opened());
                    // A second request would have been a second activity's.
                    assert_eq!(node.count("d/site"), expected, "{ask:?}");
                }
            }
        }
    }
    let ids = node.streams("d/site");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), expected);
    for id in &ids {
        assert_eq!(id.len(), 64);
        assert!(id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    }

    // In another run, all are others.
    let again = Serve::start(&tor, &node, &[]);
    assert_eq!(again.code(Protocol::Socks5, "site.bit"), 0);
    let id = node.streams("d/site").pop().unwrap();
    assert!(!ids.contains(&id));
}

/// A command does not make it another activity.
#[test]
fn all_commands_of_a_client_share_an_id() {
    let (tor, node) = (Tor::leading_to(echo()), site());
    let serve = Serve::start(&tor, &node, &[]);
    let ask = ask(Protocol::Socks5, "site.bit", Some(("alice", "one")));
    assert_eq!(serve.ask(&ask).code, 0);
    assert_eq!(serve.ask(&ask.command(RESOLVE)).code, 4);
    assert_eq!(node.count("d/site"), 1);
}

/// What Tor is shown: of a plain client what it shows, of others a hash as the
/// password. Names of ours and others are shown alike.
#[test]
fn tor_is_shown_credentials_that_keep_apart_what_it_would_keep_apart() {
    let (tor, node) = (Tor::leading_to(echo()), site());
    let directory = tempfile::tempdir().unwrap();
    let serve = listeners(&tor, &node, &directory);
    let [first, second, _] = &serve.listeners[..] else {
        panic!("{:?}", serve.listeners)
    };
    let seen = |stream: TcpStream, ask: &Ask| {
        let mut stream = stream;
        ask.on(&mut stream);
        tor.asked().pop().unwrap().credentials()
    };
    for shown in SHOWN {
        for host in ["site.bit", "a.example"] {
            let own = shown.map(|(user, password)| (user.to_owned(), password.to_owned()));
            let socks5 = ask(Protocol::Socks5, host, shown);
            assert_eq!(seen(dial(first), &socks5), own);
            let socks4 = ask(Protocol::Socks4, host, shown);
            let user = own.map(|(user, _)| (user, String::new()));
            let shown4 = seen(dial(first), &socks4);
            match shown {
                // SOCKS4 gives it no meaning; in SOCKS5 it would have one.
                Some((user, _)) if user.starts_with("<torS0X>") => {
                    assert_eq!(shown4.unwrap().0, "<torS0X>0");
                }
                _ => assert_eq!(shown4, user),
            }
        }
    }
    let mut folded = HashSet::new();
    let origins: [&dyn Fn() -> TcpStream; 3] =
        [&|| dial(second), &|| dial_from(OTHER, first), &|| {
            dial_from(OTHER, second)
        }];
    let mut expected = 0;
    for (number, origin) in origins.into_iter().enumerate() {
        for protocol in PROTOCOLS {
            for shown in SHOWN {
                let is_distinct =
                    protocol != Protocol::Socks4 || shown.is_none_or(|(_, it)| it.is_empty());
                let stream = ask(protocol, "a.example", shown);
                let (user, password) = seen(origin(), &stream).unwrap();
                assert_eq!(password.len(), 64, "{number} {stream:?}");
                assert_eq!(
                    seen(origin(), &stream),
                    Some((user.clone(), password.clone()))
                );
                match shown {
                    Some((shown, _)) if protocol == Protocol::Socks5 => assert_eq!(user, shown),
                    Some((shown, _)) if !shown.starts_with('<') => assert_eq!(user, shown),
                    _ => assert_eq!(user, "<torS0X>0"),
                }
                if is_distinct {
                    expected += 1;
                    folded.insert((user, password));
                }
            }
        }
    }
    assert_eq!(folded.len(), expected);
    assert_eq!(tor.asked_for(ONION).len(), 2 * SHOWN.len());
}

/// The lookups that go through Tor have random credentials for each connection,
/// which no stream has.
#[test]
fn lookups_share_no_credentials_with_streams() {
    let tor = Tor::start();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    crate::support::state::write_private(&config, "rpc-user = \"u\"\nrpc-password = \"p\"\n");
    let node = crate::support::socks::ONION;
    let serve = Serve::with(
        &[
            "--rpc-address",
            &format!("{node}:8336"),
            "--config",
            config.to_str().unwrap(),
            "--timeout",
            "1",
            "--proxy",
            &tor.address(),
            "--socks-listen",
            "127.0.0.1:0",
        ],
        1,
    );
    let stream = ask(Protocol::Socks5, "site.bit", Some(("alice", "one")));
    assert_eq!(serve.ask(&stream).code, 6);
    let asked = tor.asked_for(node);
    assert!(!asked.is_empty());
    let mut seen = HashSet::new();
    for one in &asked {
        let (user, password) = one.credentials().unwrap();
        assert_eq!((user.len(), password.len()), (32, 32));
        assert!(seen.insert(user) && seen.insert(password), "{asked:#?}");
    }
}
