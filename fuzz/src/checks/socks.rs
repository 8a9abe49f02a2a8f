//! What clients of the SOCKS door send, and what Tor replies.

use std::net::{IpAddr, Ipv4Addr};

use ncprop279::fuzzing::socks::{
    Command, Distinction, Host, Isolation, Origin, Outcome, Protocol, Reader, Request, Step,
    TorReply, TorRequest, is_ours,
};

/// The longest client that is also read byte by byte, which takes a time that is
/// quadratic in its length.
const SHORT: usize = 400;

/// Any bytes as what a client sends, up to the first pair of 0xFF; behind it is
/// what Tor replies. The first byte says how long the pieces are in which both
/// arrive.
///
/// Nothing depends on how they are cut. What Tor is asked is what the client
/// asked, and never for a name that is ours.
pub fn socks(data: &[u8]) {
    let (client, tor) = super::divide(data);
    let Some((size, client)) = client.split_first() else {
        return;
    };
    let size = usize::from(*size) + 1;
    let read = Read::of(client, client.len().max(1));
    assert_eq!(read, Read::of(client, size), "pieces of {size}");
    if client.len() <= SHORT {
        assert_eq!(read, Read::of(client, 1), "byte by byte");
    }
    assert!(client.ends_with(&read.rest));
    match &read.end {
        Step::Done(request) => asked(request),
        Step::Refuse(reply) => {
            let known = [&b"\0\x5b"[..], b"\x05", b"\x01\x01", b"HTTP/1.0 "];
            assert!(known.iter().any(|known| reply.starts_with(known)));
        }
        Step::More | Step::Say(_) => {}
    }
    for command in [Command::Connect, Command::Resolve, Command::ResolvePtr] {
        for protocol in [Protocol::Socks4, Protocol::Socks5, Protocol::Http] {
            replied(tor, size, protocol, command);
        }
    }
}

/// What a reader made of all that a client sent.
#[derive(Debug, PartialEq)]
struct Read {
    said: Vec<u8>,
    end: Step,
    /// What belongs to the stream.
    rest: Vec<u8>,
}

impl Read {
    fn of(bytes: &[u8], size: usize) -> Self {
        let mut reader = Reader::default();
        let (mut input, mut said) = (Vec::new(), Vec::new());
        let mut pieces = bytes.chunks(size);
        let end = loop {
            let before = input.len();
            match reader.step(&mut input) {
                Step::More => match pieces.next() {
                    Some(piece) => input.extend(piece),
                    None => break Step::More,
                },
                Step::Say(bytes) => {
                    assert!(input.len() < before, "nothing was taken");
                    said.extend(bytes);
                }
                end => break end,
            }
        };
        input.extend(pieces.flatten());
        // What is left of a request that is refused is of no use.
        if let Step::Refuse(_) = end {
            input.clear();
        }
        Self {
            said,
            end,
            rest: input,
        }
    }
}

/// Whether whoever reads a host takes it for a name in `.bit`: all of it, or what
/// comes before a NUL.
fn looks_ours(host: &[u8]) -> bool {
    let before = host.split(|byte| *byte == 0).next().unwrap_or_default();
    [host, before].into_iter().any(|host| {
        let lower = String::from_utf8_lossy(host).to_ascii_lowercase();
        let name = lower.trim_end_matches('.');
        let name = name.strip_suffix(".onion").unwrap_or(name);
        name == "bit" || name.ends_with(".bit")
    })
}

fn asked(request: &Request) {
    let isolation = Isolation::new([7; 32]);
    let of = |listener| Distinction {
        origin: Origin {
            listener,
            bound: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        },
        protocol: request.protocol,
        credentials: request.credentials.as_ref(),
    };
    assert_ne!(isolation.id(of(0)), isolation.id(of(1)));
    assert!(isolation.toward_tor(of(1)).is_some());
    let credentials = isolation.toward_tor(of(0));
    if let Some(shown) = &credentials {
        assert!(shown.user.len() <= 255 && shown.password.len() <= 255);
    }
    let is_http = request.protocol == Protocol::Http;
    assert!(is_http || request.credentials == credentials || is_misread(request));
    let to_tor = TorRequest {
        command: request.command,
        credentials,
        host: request.host.clone(),
        port: request.port,
    };
    let message = match (&request.host, to_tor.message()) {
        (Host::Name(name), Err(_)) => {
            assert!(is_ours(name), "refused for no reason");
            return;
        }
        (host, message) => {
            let name = match host {
                Host::Name(name) => name.as_slice(),
                Host::Address(_) => &[],
            };
            assert!(!is_ours(name) && !looks_ours(name), "sent to Tor");
            message.expect("an address")
        }
    };
    // Tor reads what the client asked for.
    let read = Read::of(&[&[5, 1, 0], message.as_slice()].concat(), 3);
    let expected = Request {
        protocol: Protocol::Socks5,
        credentials: None,
        ..request.clone()
    };
    assert_eq!(read.end, Step::Done(expected));
}

/// Whether SOCKS5 would give a user id of SOCKS4 another meaning.
fn is_misread(request: &Request) -> bool {
    let shown = request.credentials.as_ref();
    request.protocol == Protocol::Socks4
        && shown.is_some_and(|shown| shown.user.starts_with(b"<torS0X>"))
}

/// Tor's reply, whole and in pieces.
fn replied(tor: &[u8], size: usize, protocol: Protocol, command: Command) {
    let whole = feed([tor], protocol, command);
    assert_eq!(whole, feed(tor.chunks(size), protocol, command));
    assert_eq!(whole, feed(tor.chunks(1), protocol, command));
    match whole {
        None => assert!(tor.len() < 7 + 255),
        Some(Outcome::Open(bytes)) => {
            assert!(command == Command::Connect && tor.starts_with(&[5, 0]));
            match protocol {
                Protocol::Socks5 => assert_eq!(bytes, tor),
                Protocol::Socks4 => assert!(bytes.starts_with(&[0, 90])),
                Protocol::Http => assert!(bytes.starts_with(b"HTTP/1.0 200 ")),
            }
        }
        Some(Outcome::Answer(bytes)) => match protocol {
            Protocol::Socks5 => assert!(tor.starts_with(&bytes)),
            Protocol::Socks4 => assert_eq!(bytes.len(), 8),
            Protocol::Http => assert!(bytes.starts_with(b"HTTP/1.0 ")),
        },
        Some(Outcome::NoTor(why)) => assert!(super::is_printable(why)),
    }
}

/// The outcome, with all that follows an open reply behind it.
fn feed<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    protocol: Protocol,
    command: Command,
) -> Option<Outcome> {
    let mut reply = TorReply::new(protocol, command);
    let mut pieces = pieces.into_iter();
    while let Some(piece) = pieces.next() {
        match reply.feed(piece) {
            None => {}
            Some(Outcome::Open(mut bytes)) => {
                pieces.for_each(|piece| bytes.extend(piece));
                return Some(Outcome::Open(bytes));
            }
            end => return end,
        }
    }
    None
}
