//! What Tor's lines say: events, and the state of streams. Nothing here believes
//! them (`spec/tor-control.md`, "Whom to believe").

use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest host: SOCKS has room for 255 bytes, and a host of 255 bytes
/// comes without its port.
const MAX_HOST: usize = 254;

/// An event, or what looks like one.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Something happened to a stream.
    Stream(StreamEvent<'a>),
    /// The user wants to be unlinkable with what was before.
    NewNym,
    /// Tor may have other settings now, and leaves streams unattached no more.
    LeavesNothing,
    /// Settings changed that say which addresses are virtual.
    Settings,
    /// Anything else.
    Other,
}

/// `650 STREAM <id> <status> <circuit> <target>[ <fields>]`.
#[derive(Debug, PartialEq, Eq)]
pub struct StreamEvent<'a> {
    /// Which stream.
    pub id: u64,
    /// What happened.
    pub status: StreamStatus,
    /// The target as it was written, up to the first space.
    pub target: &'a [u8],
    /// Everything behind the target.
    pub fields: &'a [u8],
}

/// What happens to streams, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamStatus {
    /// A client wants to connect.
    New,
    /// A client wants to resolve a name.
    NewResolve,
    /// The stream waits for a controller.
    ControllerWait,
    /// The stream is over.
    Closed,
    /// Anything else.
    Other,
}

impl StreamStatus {
    fn parse(word: &[u8]) -> Self {
        match word {
            b"NEW" => Self::New,
            b"NEWRESOLVE" => Self::NewResolve,
            b"CONTROLLER_WAIT" => Self::ControllerWait,
            b"CLOSED" => Self::Closed,
            _ => Self::Other,
        }
    }
}

/// The event in a line; `None` if it is part of a reply. A list can hold lines
/// that begin like events: items whose id is 650, and what a program made of the
/// names that virtual addresses were given to. Those are in lower case.
pub fn parse(line: &[u8]) -> Option<Event<'_>> {
    if let Some(setting) = line.strip_prefix(b"650-") {
        let mut letters = setting.iter().skip_while(|byte| **byte == b'_');
        if !letters.next().is_some_and(u8::is_ascii_uppercase) {
            return None;
        }
        return Some(if setting == b"__LeaveStreamsUnattached=0" {
            Event::LeavesNothing
        } else if setting.starts_with(b"AutomapHosts") || setting.starts_with(b"VirtualAddr") {
            Event::Settings
        } else {
            Event::Other
        });
    }
    let event = line.strip_prefix(b"650 ")?;
    let (keyword, rest) = word(event);
    Some(match keyword {
        b"STREAM" => stream(rest).map_or(Event::Other, Event::Stream),
        b"SIGNAL" => match rest {
            b"NEWNYM" => Event::NewNym,
            b"RELOAD" => Event::Settings,
            _ => Event::Other,
        },
        b"OK" => Event::Other,
        _ => return None,
    })
}

fn stream(event: &[u8]) -> Option<StreamEvent<'_>> {
    let (id, rest) = word(event);
    let (status, rest) = word(rest);
    let (_circuit, rest) = word(rest);
    let (target, fields) = word(rest);
    Some(StreamEvent {
        id: number(id)?,
        status: StreamStatus::parse(status),
        target,
        fields,
    })
}

/// One line of the list of streams: `<id> <status> <circuit> <target>`.
#[derive(Debug, PartialEq, Eq)]
pub struct ListedStream<'a> {
    /// Which stream.
    pub id: u64,
    /// What happened to it last.
    pub status: StreamStatus,
    /// Whether it may wait for a controller: it is new and has no circuit.
    pub may_wait: bool,
    /// Its target.
    pub target: &'a [u8],
}

/// The stream in a line of the list; `None` if it is none.
pub fn listed(line: &[u8]) -> Option<ListedStream<'_>> {
    let (id, rest) = word(line);
    let (status, rest) = word(rest);
    let (circuit, target) = word(rest);
    let status = StreamStatus::parse(status);
    let is_new = matches!(status, StreamStatus::New | StreamStatus::NewResolve);
    Some(ListedStream {
        id: number(id)?,
        status,
        may_wait: is_new && circuit == b"0",
        target,
    })
}

/// Whether a target is one of those that Tor itself uses for its directories.
pub fn is_of_tor(target: &[u8]) -> bool {
    let colon = target.iter().rposition(|&byte| byte == b':');
    let host = colon.and_then(|colon| target.get(..colon));
    host.unwrap_or(target).ends_with(b".exit")
}

/// What precedes the first space, and what follows it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| byte == b' ');
    let end = end.unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, b""));
    (word, rest.get(1..).unwrap_or_default())
}

/// A number as Tor writes it.
pub fn number(digits: &[u8]) -> Option<u64> {
    let is_written_so =
        digits.iter().all(u8::is_ascii_digit) && !(digits.len() > 1 && digits.starts_with(b"0"));
    let digits = std::str::from_utf8(digits).ok()?;
    digits.parse().ok().filter(|_| is_written_so)
}

/// Where a stream is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A host name or an address, as the client wrote it: letters, digits, `-`,
    /// `_` and `.` only, or an IPv6 address.
    pub host: String,
    /// The port; 0 for questions of the DNS.
    pub port: u16,
}

impl Target {
    /// The host and port in `host:port`; `None` if any byte does not belong
    /// there.
    pub fn parse(target: &[u8]) -> Option<Self> {
        let target = std::str::from_utf8(target).ok()?;
        let (host, port) = target.rsplit_once(':')?;
        let belongs = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = host.bytes().all(belongs);
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let is_host = is_name || inner.parse::<Ipv6Addr>().is_ok();
        if host.is_empty() || host.len() > MAX_HOST || !is_host {
            return None;
        }
        let port = number(port.as_bytes())?;
        Some(Self {
            host: host.to_owned(),
            port: u16::try_from(port).ok()?,
        })
    }

    /// The address, if the host is one.
    pub fn address(&self) -> Option<std::net::IpAddr> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let v4 = host.parse::<Ipv4Addr>().map(Into::into);
        v4.or_else(|_| host.parse::<Ipv6Addr>().map(Into::into))
            .ok()
    }
}

/// The fields of an event that announces a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Announcement<'a> {
    /// The client's address without its port; `None` for Tor itself.
    pub client: Option<&'a [u8]>,
    /// Whether a client asked for it, in contrast to Tor itself.
    pub is_users: bool,
    /// The fields that are repeated once the stream waits for a controller.
    pub rest: &'a [u8],
}

/// Takes the fields of NEW and NEWRESOLVE apart; `None` if they have another
/// form. The path of a Unix socket may hold spaces.
pub fn announcement(fields: &[u8]) -> Option<Announcement<'_>> {
    const PURPOSE: &[u8] = b"PURPOSE=";
    let (source, fields) = match fields.strip_prefix(b"SOURCE_ADDR=") {
        Some(fields) => {
            let needle = b" PURPOSE=";
            let at = fields.windows(needle.len()).position(|at| at == needle)?;
            (fields.get(..at), fields.get(at + 1..)?)
        }
        None => (None, fields),
    };
    let (purpose, rest) = word(fields.strip_prefix(PURPOSE)?);
    let client = match source {
        Some(source) => {
            let colon = source.iter().rposition(|&byte| byte == b':')?;
            source.get(..colon)
        }
        None => None,
    };
    Some(Announcement {
        client,
        is_users: matches!(purpose, b"USER" | b"DNS_REQUEST"),
        rest,
    })
}

/// The fields `KEY=value` and `KEY="value"`; `None` if there is anything else.
/// Values stay as they were written, without quotes.
pub fn fields(mut text: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut fields = Vec::new();
    while !text.is_empty() {
        let equals = text.iter().position(|&byte| byte == b'=')?;
        let (key, rest) = text.split_at_checked(equals)?;
        let is_key = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'_';
        if key.is_empty() || !key.iter().all(is_key) {
            return None;
        }
        let rest = rest.get(1..)?;
        let (value, after) = match rest.strip_prefix(b"\"") {
            Some(quoted) => {
                let end = closing_quote(quoted)?;
                (quoted.get(..end)?, quoted.get(end + 1..)?)
            }
            None => {
                let end = rest.iter().position(|&byte| byte == b' ');
                rest.split_at_checked(end.unwrap_or(rest.len()))?
            }
        };
        fields.push((key, value));
        text = match after {
            [] => after,
            [b' ', next @ ..] if !next.is_empty() => next,
            _ => return None,
        };
    }
    Some(fields)
}

fn closing_quote(quoted: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    quoted.iter().position(|&byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Option<(String, u16)> {
        Target::parse(text.as_bytes()).map(|target| (target.host, target.port))
    }

    #[test]
    fn a_target_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("ip.BIT.:80", "ip.BIT.", 80),
            ("a_b-c.example:65535", "a_b-c.example", 65535),
            ("192.0.2.1:0", "192.0.2.1", 0),
            ("2001:db8::5:80", "2001:db8::5", 80),
            ("[2001:db8::5]:80", "[2001:db8::5]", 80),
        ] {
            assert_eq!(target(text), Some((host.to_owned(), port)), "{text}");
        }
        let long = "a".repeat(255) + ":80";
        for text in [
            "",
            ":80",
            "a",
            "a:",
            "a:x",
            "a:080",
            "a:65536",
            "a b:80",
            "a\r:80",
            "a\0:80",
            "\u{e4}:80",
            "a\":80",
            "a:b:80",
            "[a]:80",
            "a.$00.exit:80",
            &long,
        ] {
            assert_eq!(target(text), None, "{text:?}");
        }
        let address = |text: &str| Target::parse(text.as_bytes()).unwrap().address();
        assert_eq!(address("127.0.0.1:80"), Some([127, 0, 0, 1].into()));
        assert!(address("[fe80::1]:80").is_some() && address("fe80::1:80").is_some());
        assert_eq!(address("a.bit:80"), None);
    }

    #[test]
    fn events_of_streams_are_read_as_tor_writes_them() {
        let line = b"650 STREAM 18 NEW 0 ip.bit:80 SOURCE_ADDR=127.0.0.1:47948 PURPOSE=USER \
            SOCKS_USERNAME=\"a \\\"b\\\\\" NYM_EPOCH=0 ISO_FIELDS=SOCKS_USERNAME,NYM_EPOCH";
        let Some(Event::Stream(event)) = parse(line) else {
            panic!("no event");
        };
        assert_eq!((event.id, event.status), (18, StreamStatus::New));
        assert_eq!(event.target, b"ip.bit:80");
        let announcement = announcement(event.fields).unwrap();
        assert_eq!(announcement.client, Some(&b"127.0.0.1"[..]));
        assert!(announcement.is_users);
        let fields = fields(announcement.rest).unwrap();
        let expected: [(&[u8], &[u8]); 3] = [
            (b"SOCKS_USERNAME", b"a \\\"b\\\\"),
            (b"NYM_EPOCH", b"0"),
            (b"ISO_FIELDS", b"SOCKS_USERNAME,NYM_EPOCH"),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn sources_may_be_paths_ipv6_or_none() {
        let client = |fields: &'static str| announcement(fields.as_bytes()).map(|a| a.client);
        let is = |text: &'static str| Some(Some(text.as_bytes()));
        assert_eq!(client("SOURCE_ADDR=::1:5 PURPOSE=USER X=1"), is("::1"));
        let path = "SOURCE_ADDR=/run/my tor/socks:0 PURPOSE=USER";
        assert_eq!(client(path), is("/run/my tor/socks"));
        assert_eq!(client("PURPOSE=DNS_REQUEST X=1"), Some(None));
        assert_eq!(client("SOURCE_ADDR=1 X=1"), None);
        assert_eq!(client("X=1 PURPOSE=USER"), None);
        assert_eq!(client(""), None);
        let of_tor = announcement(b"PURPOSE=DIR_FETCH A=1").unwrap();
        assert!(!of_tor.is_users);
    }

    #[test]
    fn fields_are_read_whole_or_not_at_all() {
        for text in [
            "A",
            "=",
            "A=1 ",
            "A=1  B=2",
            "a=1",
            "A=\"x",
            "A=\"x\"y",
            "A=1 b.bit:80",
        ] {
            assert_eq!(fields(text.as_bytes()), None, "{text}");
        }
        assert_eq!(
            fields(b"A=\"\\\\\" B="),
            Some(vec![(&b"A"[..], &b"\\\\"[..]), (b"B", b"")])
        );
        assert_eq!(fields(b""), Some(vec![]));
    }

    #[test]
    fn other_events_are_told_from_replies() {
        for (line, event) in [
            (&b"650 SIGNAL NEWNYM"[..], Some(Event::NewNym)),
            (b"650 SIGNAL RELOAD", Some(Event::Settings)),
            (b"650-CONF_CHANGED", Some(Event::Other)),
            (
                b"650-__LeaveStreamsUnattached=0",
                Some(Event::LeavesNothing),
            ),
            (b"650-__LeaveStreamsUnattached=1", Some(Event::Other)),
            (b"650-AutomapHostsOnResolve", Some(Event::Settings)),
            (b"650 OK", Some(Event::Other)),
            (b"650 STREAM x NEW 0 a:1", Some(Event::Other)),
            (b"650 STREAM 01 NEW 0 a:1", Some(Event::Other)),
            (b"650 X:80 A=1", None),
            (b"650 NEW 0 a:1", None),
            (b"650 stream 17 new 0 a:1 NEVER", None),
            (b"650 NEVER", None),
            (b"650-x.bit NEVER", None),
            (b"650-_x.bit NEVER", None),
            (b"650- NEVER", None),
            (b"250 OK", None),
            (b"", None),
            (b"17 NEW 0 a:1", None),
        ] {
            assert_eq!(parse(line), event, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn items_of_the_list_say_whether_a_stream_may_wait() {
        let stream = listed(b"28 NEWRESOLVE 0 x.bit:0").unwrap();
        assert_eq!((stream.id, stream.may_wait), (28, true));
        assert_eq!(stream.target, b"x.bit:0");
        let stream = listed(b"17 SUCCEEDED 5 a b:1").unwrap();
        assert_eq!((stream.may_wait, stream.target), (false, &b"a b:1"[..]));
        assert!(!listed(b"17 NEW 5 a:1").unwrap().may_wait);
        assert_eq!(listed(b"250+stream-status="), None);
        assert_eq!(listed(b"250 OK").map(|found| found.may_wait), Some(false));
    }
}
