//! One stream as Tor sees it: what a client asked for, the lines that Tor writes
//! about it, and how it ended.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Connect,
    /// SOCKS `RESOLVE`: an address of either family.
    Resolve,
    /// A question to the DNSPort.
    A,
    Aaaa,
}

/// The fields that a listener without flags isolates by.
pub const USUAL_FIELDS: &str = "SOCKS_USERNAME,SOCKS_PASSWORD,CLIENTADDR,SESSION_GROUP,NYM_EPOCH";

/// A stream that a test has some client open. It comes from 127.0.0.1 to a listener
/// without flags unless a method changes that.
#[derive(Debug, Clone)]
pub struct Stream {
    pub(super) wish: Wish,
    pub(super) host: Vec<u8>,
    pub(super) port: u16,
    user: Vec<u8>,
    password: Vec<u8>,
    source: String,
    protocol: &'static str,
    group: i64,
    fields: String,
    /// What the listener's traffic flags forbid.
    forbidden: &'static str,
}

/// Each client has a port of its own.
static PORTS: AtomicU16 = AtomicU16::new(40_000);

impl Stream {
    /// SOCKS5 CONNECT.
    pub fn connect(host: impl AsRef<[u8]>, port: u16) -> Self {
        let source = format!("127.0.0.1:{}", PORTS.fetch_add(1, Ordering::Relaxed));
        Self {
            wish: Wish::Connect,
            host: host.as_ref().to_vec(),
            port,
            user: Vec::new(),
            password: Vec::new(),
            source,
            protocol: "SOCKS5",
            group: -4,
            fields: USUAL_FIELDS.to_owned(),
            forbidden: "",
        }
    }

    /// SOCKS5 RESOLVE, as `tor-resolve` sends it.
    pub fn resolve(host: impl AsRef<[u8]>) -> Self {
        Self {
            wish: Wish::Resolve,
            ..Self::connect(host, 80)
        }
    }

    /// A question to the DNSPort, [`Wish::A`] or [`Wish::Aaaa`]. Tor writes the same
    /// lines for both.
    pub fn dns(host: impl AsRef<[u8]>, wish: Wish) -> Self {
        let stream = Self::connect(host, 0);
        Self { wish, ..stream }.listener("DNS", -12)
    }

    /// HTTP CONNECT.
    pub fn http(host: impl AsRef<[u8]>, port: u16) -> Self {
        Self::connect(host, port).listener("HTTPCONNECT", -14)
    }

    /// SOCKS4a.
    pub fn socks4(host: impl AsRef<[u8]>, port: u16) -> Self {
        Self::connect(host, port).listener("SOCKS4", -4)
    }

    /// A connection that a firewall hands to the TransPort.
    pub fn transparent(address: &str, port: u16) -> Self {
        Self::connect(address, port).listener("TRANS", -13)
    }

    /// SOCKS5 on a Unix socket, whose listener does not isolate by client address.
    pub fn unix(host: impl AsRef<[u8]>, port: u16) -> Self {
        let fields = "SOCKS_USERNAME,SOCKS_PASSWORD,SESSION_GROUP,NYM_EPOCH";
        let stream = Self::connect(host, port).listener("SOCKS5", -11);
        stream.from("/run/tor/socks.sock:0").fields(fields)
    }

    pub fn listener(self, protocol: &'static str, group: i64) -> Self {
        Self {
            protocol,
            group,
            ..self
        }
    }

    /// SOCKS credentials. Tor does not tell empty ones from none.
    pub fn user(self, user: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> Self {
        Self {
            user: user.as_ref().to_vec(),
            password: password.as_ref().to_vec(),
            ..self
        }
    }

    /// The client's address as Tor writes it.
    pub fn from(self, source: &str) -> Self {
        Self {
            source: source.to_owned(),
            ..self
        }
    }

    /// The listener's session group.
    pub fn group(self, group: i64) -> Self {
        Self { group, ..self }
    }

    /// What the listener isolates by.
    pub fn fields(self, fields: &str) -> Self {
        Self {
            fields: fields.to_owned(),
            ..self
        }
    }

    /// The listener has this flag: `NoIPv6Traffic`, `OnionTrafficOnly`,
    /// `NoOnionTraffic` or `NoDNSRequest`.
    pub fn forbidding(self, flag: &'static str) -> Self {
        Self {
            forbidden: flag,
            ..self
        }
    }

    /// What the client asked for.
    pub fn host(&self) -> &[u8] {
        &self.host
    }

    /// Whether Tor's SOCKS listener refuses the host name. It writes a CLOSED event
    /// without a NEW then, with the name as it is.
    pub(super) fn is_refused_by_socks(&self) -> bool {
        let host = &self.host[..];
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
        self.protocol.starts_with("SOCKS")
            && !std::str::from_utf8(host).is_ok_and(is_address)
            && (!host.iter().all(is_name)
                || host.starts_with(b"-")
                || host.starts_with(b".")
                || host.windows(2).any(|pair| pair == b".."))
    }

    /// C strings end at NUL.
    pub(super) fn cut_at_nul(&mut self) {
        let end = self.host.iter().position(|&byte| byte == 0);
        self.host.truncate(end.unwrap_or(self.host.len()));
    }

    /// Host and port; 255 bytes at most.
    pub(super) fn target(&self) -> Vec<u8> {
        let port = format!(":{}", self.port);
        let mut target = [&self.host, port.as_bytes()].concat();
        target.truncate(255);
        target
    }

    pub(super) fn is_question(&self) -> bool {
        self.wish != Wish::Connect
    }

    pub(super) fn first_status(&self) -> &'static str {
        match self.wish {
            Wish::Connect => "NEW",
            _ => "NEWRESOLVE",
        }
    }

    /// The event of a new stream.
    pub(super) fn announced(&self, id: u64, epoch: u64) -> Vec<u8> {
        let purpose = match self.wish {
            Wish::Connect => "USER",
            _ => "DNS_REQUEST",
        };
        let more = format!(" SOURCE_ADDR={} PURPOSE={purpose}", self.source);
        self.event(id, epoch, self.first_status(), &more)
    }

    /// Any event of the stream. `more` comes before the isolation fields.
    pub(super) fn event(&self, id: u64, epoch: u64, status: &str, more: &str) -> Vec<u8> {
        let mut line = format!("650 STREAM {id} {status} 0 ").into_bytes();
        line.extend(self.target());
        line.extend(more.bytes());
        for (key, text) in [
            ("SOCKS_USERNAME", &self.user),
            ("SOCKS_PASSWORD", &self.password),
        ] {
            if !text.is_empty() {
                line.extend(format!(" {key}=\"{}\"", quoted(text)).bytes());
            }
        }
        line.extend(
            format!(
                " CLIENT_PROTOCOL={} NYM_EPOCH={epoch} SESSION_GROUP={} ISO_FIELDS={}\r\n",
                self.protocol, self.group, self.fields
            )
            .bytes(),
        );
        line
    }

    /// What the client gets if the stream is closed for a reason: a SOCKS5 or SOCKS4
    /// reply, an HTTP status, or a DNS response code.
    pub(super) fn code(&self, reason: &str) -> u16 {
        match (self.protocol, reason) {
            ("DNS", _) => 2,
            ("SOCKS4", _) => 91,
            ("HTTPCONNECT", "TIMEOUT") => 504,
            ("HTTPCONNECT", _) => 503,
            // The listener closed it before anything else.
            (_, "SOCKS_PROTOCOL") if self.wish == Wish::Resolve => 4,
            (_, "RESOLVEFAILED" | "NOROUTE") => 4,
            (_, "CONNECTREFUSED" | "DONE" | "CONNRESET") => 5,
            (_, "EXITPOLICY" | " UNKNOWN_264") => 2,
            (_, "TIMEOUT") => 6,
            _ => 1,
        }
    }

    /// Why Tor refuses to attach the stream to its target, if it does.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        let host = latin1(&self.host);
        let is_onion = host.ends_with(".onion");
        if let Ok(address) = host.trim_matches(&['[', ']'][..]).parse::<IpAddr>() {
            if let Some(reason) = refused_address(address) {
                return Some(reason);
            }
            let is_forbidden = match (self.wish, address) {
                (Wish::A, IpAddr::V6(_)) | (Wish::Aaaa, IpAddr::V4(_)) => true,
                (_, IpAddr::V6(_)) if self.forbidden == "NoIPv6Traffic" => true,
                _ => self.forbidden == "OnionTrafficOnly",
            };
            return is_forbidden.then_some(" UNKNOWN_264");
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let lower = host.to_ascii_lowercase();
        if lower == "localhost" || lower.ends_with(".local") {
            Some("PRIVATE_ADDR")
        } else if host.is_empty()
            || !host.chars().all(is_name)
            || lower.ends_with(".exit")
            || is_onion && !is_onion_service(&host)
        {
            Some("TORPROTOCOL")
        } else if is_onion {
            match self.wish {
                Wish::Resolve => Some("SOCKS_PROTOCOL"),
                Wish::A | Wish::Aaaa => Some(" UNKNOWN_264"),
                Wish::Connect if self.forbidden == "NoOnionTraffic" => Some(" UNKNOWN_264"),
                Wish::Connect => None,
            }
        } else {
            let is_forbidden = ["NoDNSRequest", "OnionTrafficOnly"].contains(&self.forbidden);
            is_forbidden.then_some(" UNKNOWN_264")
        }
    }
}

fn refused_address(address: IpAddr) -> Option<&'static str> {
    let is_private = match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || first == 0 || is_shared
        }
        IpAddr::V6(v6) => {
            if v6.is_unicast_link_local() {
                return Some("INTERNAL");
            }
            let inner = v6.to_ipv4_mapped().map(IpAddr::V4);
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || inner.is_some_and(|inner| refused_address(inner).is_some())
        }
    };
    is_private.then_some("PRIVATE_ADDR")
}

/// Whether the last label but one is a v3 onion service's, by its length and
/// alphabet. Tor checks more; what this program answers is checked elsewhere.
fn is_onion_service(host: &str) -> bool {
    let label = host.trim_end_matches(".onion").rsplit('.').next().unwrap();
    let is_base32 = |c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '2'..='7');
    label.len() == 56 && label.chars().all(is_base32) && label.ends_with(['d', 'D'])
}

/// Whether a name must not reach Tor: it ends in `.bit` or `.bit.onion`. Tor itself
/// refuses what is no host name.
pub fn is_ours(host: &[u8]) -> bool {
    let lower = latin1(host).to_ascii_lowercase();
    let name = lower.trim_end_matches('.');
    let name = name.strip_suffix(".onion").unwrap_or(name);
    name == "bit" || name.ends_with(".bit")
}

/// A C string as Tor quotes it.
fn quoted(text: &[u8]) -> String {
    let mut out = String::new();
    for &byte in text.split(|&byte| byte == 0).next().unwrap() {
        match byte {
            b'"' | b'\\' | b'\'' => out.extend(['\\', char::from(byte)]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x20..0x7f => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out
}

/// Bytes as text, one character for each.
pub(super) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// The bytes of such a text.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap()).collect()
}

/// How a stream ended for its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A controller attached it; where it leads.
    Attached(String),
    /// A controller attached a question, and Tor knew this answer.
    Answered(String),
    /// It was closed, for this reason; the code that the client got.
    Closed(String, u16),
    /// Tor attached it without asking a controller; where it leads.
    Alone(String),
    /// The client went away.
    Left,
    /// Tor ended.
    Gone,
}

/// A stream that was closed for a reason, which its client knows by a code.
pub fn closed(reason: &str, code: u16) -> End {
    End::Closed(reason.to_owned(), code)
}

pub fn attached(target: &str) -> End {
    End::Attached(target.to_owned())
}
