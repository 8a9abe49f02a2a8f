//! `ncprop279 serve` as a child process, and clients of its SOCKS door.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use super::PATIENCE;
use super::node::{Flavour, Node};
use super::plugin::{Plugin, Start};
use super::tor::Tor;

/// The door in front of a Tor and a node.
pub struct Serve {
    pub process: Plugin,
    /// Where its listeners are, in the order of the configuration.
    pub listeners: Vec<String>,
}

impl Serve {
    /// On one port, with the names of a node.
    pub fn start(tor: &Tor, node: &Node, more: &[&str]) -> Self {
        let tor = tor.address();
        let listen = ["--socks-listen", "127.0.0.1:0", "--proxy", &tor];
        Self::with(&node.arguments(&[&listen, more].concat()), 1)
    }

    /// With arguments behind the command, and so many listeners.
    pub fn with<S: AsRef<str>>(arguments: &[S], count: usize) -> Self {
        Self::of(Start::new(&Self::arguments(arguments)), count)
    }

    pub fn arguments<S: AsRef<str>>(arguments: &[S]) -> Vec<String> {
        let mut all = vec!["serve".to_owned()];
        all.extend(arguments.iter().map(|one| one.as_ref().to_owned()));
        all
    }

    /// Started in some way, with so many listeners.
    pub fn of(start: Start, count: usize) -> Self {
        let process = start.spawn();
        let lines = process.complaints("listening for SOCKS", count);
        let listeners = lines.iter().map(|line| {
            let (_, address) = line.split_once(" on ").unwrap();
            address.split(';').next().unwrap().to_owned()
        });
        Self {
            listeners: listeners.collect(),
            process,
        }
    }

    /// The first listener.
    pub fn address(&self) -> &str {
        &self.listeners[0]
    }

    /// A connection to the first listener.
    pub fn connect(&self) -> TcpStream {
        dial(self.address())
    }

    /// Asks on a connection of its own.
    pub fn ask(&self, ask: &Ask) -> Reply {
        ask.on(&mut self.connect())
    }

    /// The code that a name gets.
    pub fn code(&self, protocol: Protocol, host: &str) -> u16 {
        self.ask(&Ask::new(protocol, host)).code
    }
}

/// A node that knows these names.
pub fn node(names: &[(&str, &str)]) -> Node {
    let node = Node::start(Flavour::Core);
    for (key, value) in names {
        node.set(key, value);
    }
    node
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Connects to a listener, `ADDRESS:PORT` or `unix:PATH`. The type of TCP streams
/// holds a Unix socket as well.
pub fn dial(listener: &str) -> TcpStream {
    patient(match listener.strip_prefix("unix:") {
        Some(path) => OwnedFd::from(UnixStream::connect(path).unwrap()).into(),
        None => TcpStream::connect(listener).unwrap(),
    })
}

/// Connects from an address of this machine.
pub fn dial_from(client: IpAddr, listener: &str) -> TcpStream {
    let listener: SocketAddr = listener.parse().unwrap();
    let family = match client {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket(family, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::new(client, 0)).unwrap();
    connect(&socket, &listener).unwrap();
    patient(socket.into())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Socks4,
    Socks5,
    Http,
}

pub const PROTOCOLS: [Protocol; 3] = [Protocol::Socks4, Protocol::Socks5, Protocol::Http];

impl Protocol {
    /// The code of a stream that is open.
    pub fn opened(self) -> u16 {
        match self {
            Self::Socks4 => 90,
            Self::Socks5 => 0,
            Self::Http => 200,
        }
    }

    /// The code for a name that does not exist or has no address.
    pub fn no_such_name(self) -> u16 {
        match self {
            Self::Socks4 => 91,
            Self::Socks5 => 4,
            Self::Http => 404,
        }
    }

    /// The code for a name that is not known for now.
    pub fn not_now(self) -> u16 {
        match self {
            Self::Socks4 => 91,
            Self::Socks5 => 6,
            Self::Http => 504,
        }
    }

    /// The code if Tor cannot be asked.
    pub fn no_tor(self) -> u16 {
        match self {
            Self::Socks4 => 91,
            Self::Socks5 => 1,
            Self::Http => 502,
        }
    }
}

pub const CONNECT: u8 = 1;
pub const RESOLVE: u8 = 0xF0;
pub const RESOLVE_PTR: u8 = 0xF1;

/// A request, spoken by hand.
#[derive(Debug, Clone)]
pub struct Ask {
    pub protocol: Protocol,
    pub command: u8,
    /// User and password; the value of `Proxy-Authorization` and that of
    /// `X-Tor-Stream-Isolation`.
    pub credentials: Option<(Vec<u8>, Vec<u8>)>,
    pub host: Vec<u8>,
    pub port: u16,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The code in the words of the protocol.
    pub code: u16,
    /// The whole reply without what follows it.
    pub bytes: Vec<u8>,
}

impl Ask {
    pub fn new(protocol: Protocol, host: impl AsRef<[u8]>) -> Self {
        Self {
            protocol,
            command: CONNECT,
            credentials: None,
            host: host.as_ref().to_vec(),
            port: 80,
        }
    }

    pub fn command(self, command: u8) -> Self {
        Self { command, ..self }
    }

    pub fn user(self, user: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> Self {
        let credentials = Some((user.as_ref().to_vec(), password.as_ref().to_vec()));
        Self {
            credentials,
            ..self
        }
    }

    /// All that the client sends, as if it knew the replies.
    pub fn bytes(&self) -> Vec<u8> {
        self.messages().concat()
    }

    /// What the client sends, message by message.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        let port = self.port.to_be_bytes();
        match self.protocol {
            Protocol::Socks4 => {
                let user = self.credentials.as_ref().map(|(user, _)| user.as_slice());
                let head = [4, self.command, port[0], port[1], 0, 0, 0, 1];
                let user = user.unwrap_or_default();
                vec![[&head[..], user, b"\0", &self.host, b"\0"].concat()]
            }
            Protocol::Socks5 => {
                let mut messages = Vec::new();
                match &self.credentials {
                    None => messages.push(vec![5, 1, 0]),
                    Some((user, password)) => {
                        messages.push(vec![5, 2, 0, 2]);
                        messages.push([&[1][..], &counted(user), &counted(password)].concat());
                    }
                }
                let head = [5, self.command, 0, 3];
                messages.push([&head[..], &counted(&self.host), &port].concat());
                messages
            }
            Protocol::Http => {
                let mut head = b"CONNECT ".to_vec();
                head.extend(&self.host);
                head.extend(format!(":{} HTTP/1.1\r\n", self.port).as_bytes());
                if let Some((user, password)) = &self.credentials {
                    head.extend(b"Proxy-Authorization: ");
                    head.extend(user);
                    head.extend(b"\r\nX-Tor-Stream-Isolation: ");
                    head.extend(password);
                    head.extend(b"\r\n");
                }
                head.extend(b"\r\n");
                vec![head]
            }
        }
    }

    /// What the door says before its reply, to this client.
    fn negotiated(&self) -> &'static [u8] {
        match (self.protocol, &self.credentials) {
            (Protocol::Socks5, None) => &[5, 0],
            (Protocol::Socks5, Some(_)) => &[5, 2, 1, 0],
            (Protocol::Socks4 | Protocol::Http, _) => &[],
        }
    }

    /// Reads all that is said to a client that sent its request unasked.
    #[track_caller]
    pub fn replies(&self, stream: &mut TcpStream) -> Reply {
        let negotiated = self.negotiated();
        assert_eq!(take(stream, negotiated.len()), negotiated);
        self.reply(stream)
    }

    /// Asks and reads the reply.
    #[track_caller]
    pub fn on(&self, stream: &mut TcpStream) -> Reply {
        self.on_with(stream, b"")
    }

    /// Asks, with the first bytes of the stream right behind the request.
    #[track_caller]
    pub fn on_with(&self, stream: &mut TcpStream, early: &[u8]) -> Reply {
        let mut messages = self.messages();
        messages.last_mut().unwrap().extend(early);
        let mut replies = self.negotiated().chunks(2);
        for message in messages {
            stream.write_all(&message).unwrap();
            if let Some(reply) = replies.next() {
                assert_eq!(take(stream, 2), reply);
            }
        }
        self.reply(stream)
    }

    /// Reads the reply.
    #[track_caller]
    pub fn reply(&self, stream: &mut TcpStream) -> Reply {
        match self.protocol {
            Protocol::Socks4 => {
                let bytes = take(stream, 8);
                assert_eq!(bytes[0], 0, "{bytes:?}");
                let code = bytes[1].into();
                Reply { code, bytes }
            }
            Protocol::Socks5 => {
                let mut bytes = take(stream, 5);
                assert_eq!(bytes[0], 5, "{bytes:?}");
                let left = match bytes[3] {
                    1 => 5,
                    3 => usize::from(bytes[4]) + 2,
                    _ => 17,
                };
                bytes.extend(take(stream, left));
                let code = bytes[1].into();
                Reply { code, bytes }
            }
            Protocol::Http => {
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"\r\n\r\n") {
                    bytes.extend(take(stream, 1));
                }
                let head = String::from_utf8(bytes.clone()).unwrap();
                let code = head.split(' ').nth(1).unwrap().parse().unwrap();
                if code != 200 {
                    bytes.extend(rest(stream));
                }
                Reply { code, bytes }
            }
        }
    }
}

fn counted(field: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(field.len()).unwrap()];
    bytes.extend(field);
    bytes
}

/// Exactly so many bytes.
#[track_caller]
pub fn take(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// What comes until the end of the stream, however that comes about.
pub fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    bytes
}
