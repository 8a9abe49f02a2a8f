//! HTTP: the CONNECT request, and pages for whoever opens the port in a browser.

use std::net::IpAddr;

use super::request::{Command, Credentials, Host, Protocol, Request};

/// The longest head of a request in bytes.
pub const MAX_HEAD: usize = 16 << 10;

/// The most header fields of a request.
const MAX_FIELDS: usize = 64;

/// The longest host name in bytes, as in SOCKS5, which Tor is asked with.
const MAX_HOST: usize = 255;

/// Stands before the password of a client that speaks HTTP, as in Tor, so that
/// no SOCKS client has its credentials.
const PASSWORD_PREFIX: &[u8] = b"\x01\xff\x01\xff";

/// Why there is no request.
pub enum Stop {
    /// Its head is not complete.
    More,
    /// It cannot be served: what to answer.
    Refuse(Vec<u8>),
}

/// The statuses of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The page that says what this port is.
    Ok,
    /// The request cannot be parsed.
    BadRequest,
    /// There is no such name.
    NotFound,
    /// The method is not CONNECT.
    MethodNotAllowed,
    /// The head is too long.
    TooLarge,
    /// Tor cannot be asked, or could not connect.
    BadGateway,
    /// There are too many streams.
    ServiceUnavailable,
    /// The answer is not known for now.
    GatewayTimeout,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::TooLarge => "431 Request Header Fields Too Large",
            Self::BadGateway => "502 Bad Gateway",
            Self::ServiceUnavailable => "503 Service Unavailable",
            Self::GatewayTimeout => "504 Gateway Timeout",
        }
    }
}

const ABOUT: &str = "\
This is the SOCKS port of ncprop279. Programs that use it as their SOCKS5 or
HTTP CONNECT proxy reach Namecoin's .bit names, and everything else, through
Tor. It is no web page: enter this host and port in the proxy settings of a
program, and have it resolve host names through the proxy.";

const METHOD: &str = "\
This proxy knows the method CONNECT only. Have the program tunnel its
connections, or use SOCKS5.";

/// What a client is sent once its tunnel is open.
pub const ESTABLISHED: &[u8] = b"HTTP/1.0 200 OK\r\n\r\n";

/// A page of plain text. Bytes of the text that are not printable ASCII are left
/// out, so that no name can forge a header or mark-up.
pub fn page(status: Status, text: &str) -> Vec<u8> {
    let text: String = text
        .chars()
        .filter(|&c| c == '\n' || c == ' ' || c.is_ascii_graphic())
        .collect();
    let allow = match status {
        Status::MethodNotAllowed => "Allow: CONNECT\r\n",
        _ => "",
    };
    format!(
        "HTTP/1.0 {}\r\n{allow}Content-Type: text/plain; charset=us-ascii\r\n\
         X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{text}\n",
        status.line(),
        text.len() + 1,
    )
    .into_bytes()
}

/// Parses the head of a request; gives it and its length in bytes.
pub fn request(input: &[u8]) -> Result<(Request, usize), Stop> {
    let refuse = |status, text| Err(Stop::Refuse(page(status, text)));
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let window = input.get(..MAX_HEAD).unwrap_or(input);
    let length = match head.parse(window) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if input.len() < MAX_HEAD => return Err(Stop::More),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return refuse(Status::TooLarge, "The head of the request is too long.");
        }
        Err(_) => {
            let text = "This is neither SOCKS nor HTTP. Set the program to SOCKS5.";
            return refuse(Status::BadRequest, text);
        }
    };
    match (head.method, head.path) {
        (Some("CONNECT"), Some(authority)) => match target(authority) {
            Some((host, port)) => {
                let request = Request {
                    protocol: Protocol::Http,
                    command: Command::Connect,
                    credentials: credentials(head.headers),
                    host,
                    port,
                };
                Ok((request, length))
            }
            None => refuse(
                Status::BadRequest,
                "CONNECT needs a host and a port: CONNECT host:port HTTP/1.1",
            ),
        },
        (Some("GET"), Some(path)) if path.starts_with('/') => refuse(Status::Ok, ABOUT),
        _ => refuse(Status::MethodNotAllowed, METHOD),
    }
}

/// Host and port of an authority.
fn target(authority: &str) -> Option<(Host, u16)> {
    let (host, port) = authority.rsplit_once(':')?;
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number)?;
    if host.is_empty() || host.len() > MAX_HOST {
        return None;
    }
    let literal = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = match (literal, host.parse::<IpAddr>()) {
        (Some(literal), _) => Host::Address(IpAddr::V6(literal.parse().ok()?)),
        (None, Ok(address @ IpAddr::V4(_))) => Host::Address(address),
        (None, Ok(IpAddr::V6(_))) => return None,
        (None, Err(_)) => Host::Name(host.as_bytes().to_vec()),
    };
    Some((host, port))
}

/// What Tor isolates such clients by, put as Tor puts it: the whole value of
/// `Proxy-Authorization` is the user, that of `X-Tor-Stream-Isolation` the
/// password, with a prefix.
fn credentials(fields: &[httparse::Header]) -> Option<Credentials> {
    let find = |name: &str| {
        let found = fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| field.value)
    };
    let user = find("Proxy-Authorization");
    let isolation = find("X-Tor-Stream-Isolation");
    if user.is_none() && isolation.is_none() {
        return None;
    }
    Some(Credentials {
        user: user.unwrap_or_default().to_vec(),
        password: [PASSWORD_PREFIX, isolation.unwrap_or_default()].concat(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &[u8]) -> Option<String> {
        match request(head) {
            Err(Stop::Refuse(page)) => {
                let page = String::from_utf8(page).unwrap();
                Some(page.split(' ').nth(1).unwrap().to_owned())
            }
            Err(Stop::More) | Ok(_) => None,
        }
    }

    #[test]
    fn authorities_have_a_host_and_a_port() {
        for (authority, host) in [
            ("a.bit:80", Some(Host::Name(b"a.bit".to_vec()))),
            ("a.bit.:080", Some(Host::Name(b"a.bit.".to_vec()))),
            (
                "[::1]:80",
                Some(Host::Address(IpAddr::V6([0, 0, 0, 0, 0, 0, 0, 1].into()))),
            ),
            (
                "127.0.0.1:80",
                Some(Host::Address(IpAddr::V4([127, 0, 0, 1].into()))),
            ),
            // Not an address as Tor reads it, so it goes as a name.
            ("127.1:80", Some(Host::Name(b"127.1".to_vec()))),
            ("a.bit", None),
            (":80", None),
            ("a.bit:", None),
            ("a.bit:-1", None),
            ("a.bit:+80", None),
            ("a.bit:65616", None),
            ("::1:80", None),
            ("[a.bit]:80", None),
            ("[127.0.0.1]:80", None),
        ] {
            assert_eq!(
                target(authority),
                host.map(|host| (host, 80)),
                "{authority}"
            );
        }
        assert!(target(&format!("{}:80", "x".repeat(255))).is_some());
        assert!(target(&format!("{}:80", "x".repeat(256))).is_none());
    }

    #[test]
    fn heads_have_limits() {
        let head = |count: usize, size: usize| {
            let field = format!("F: {}\r\n", "x".repeat(size));
            format!("CONNECT a.bit:80 HTTP/1.1\r\n{}\r\n", field.repeat(count))
        };
        assert_eq!(status(head(MAX_FIELDS, 1).as_bytes()), None);
        assert_eq!(status(head(MAX_FIELDS + 1, 1).as_bytes()).unwrap(), "431");
        let room = MAX_HEAD - head(1, 0).len();
        assert_eq!(status(head(1, room).as_bytes()), None);
        assert_eq!(status(head(1, room + 1).as_bytes()).unwrap(), "431");
    }

    /// Text that comes from elsewhere cannot end the page's head, or be mark-up.
    #[test]
    fn pages_are_plain_text_of_the_length_that_they_say() {
        for status in [Status::Ok, Status::MethodNotAllowed, Status::NotFound] {
            let page = String::from_utf8(page(status, "a\r\n\r\n<b>\0\u{e4}")).unwrap();
            let (head, text) = page.split_once("\r\n\r\n").unwrap();
            assert_eq!(text, "a\n\n<b>\n");
            assert!(head.contains(&format!("Content-Length: {}", text.len())));
            assert!(head.contains("text/plain") && head.contains("nosniff"));
        }
    }
}
