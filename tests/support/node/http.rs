//! As much of HTTP/1.1 as the recorded servers and their clients need.

use std::io::{BufRead, Read, Write};
use std::net::TcpStream;

pub struct Request {
    pub path: String,
    /// User and password of Basic authentication, decoded.
    pub authorization: Option<String>,
    /// The client wants the connection to be closed after the answer.
    pub close: bool,
    pub body: Vec<u8>,
}

/// Reads one request; `None` at the end of the connection.
pub fn read(reader: &mut impl BufRead) -> Option<Request> {
    let line = line(reader)?;
    let mut words = line.split(' ');
    let (method, path, version) = (words.next()?, words.next()?, words.next()?);
    // A client that does something else is told by a broken connection.
    if method != "POST" {
        return None;
    }
    let mut request = Request {
        path: path.to_owned(),
        authorization: None,
        close: version == "HTTP/1.0",
        body: Vec::new(),
    };
    let mut length = 0;
    loop {
        let line = self::line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "connection" => request.close = value.eq_ignore_ascii_case("close"),
            "authorization" => request.authorization = basic(value),
            _ => {}
        }
    }
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    match reader.by_ref().take(64 << 10).read_line(&mut line) {
        Ok(count) if count > 0 => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
        _ => None,
    }
}

fn basic(value: &str) -> Option<String> {
    let encoded = value.strip_prefix("Basic ")?;
    let octets = data_encoding::BASE64.decode(encoded.as_bytes()).ok()?;
    String::from_utf8(octets).ok()
}

pub enum Response {
    Whole {
        status: String,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// A whole response of which only the beginning is sent.
    Half(Box<Response>),
    Close,
}

impl Response {
    fn octets(&self) -> Vec<u8> {
        match self {
            Self::Whole {
                status,
                headers,
                body,
            } => {
                let mut head = format!("HTTP/1.1 {status}\r\n");
                for (name, value) in headers {
                    head += &format!("{name}: {value}\r\n");
                }
                head += &format!("Content-Length: {}\r\n\r\n", body.len());
                [head.into_bytes(), body.clone()].concat()
            }
            Self::Half(whole) => {
                let mut octets = whole.octets();
                // Into the body, so that the head promises more than comes.
                octets.truncate(octets.len() - 30);
                octets
            }
            Self::Close => Vec::new(),
        }
    }

    pub fn write(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        stream.write_all(&self.octets())?;
        stream.flush()
    }
}
