//! As much of HTTP/1.1 as the recorded servers and their clients need.

use std::io::{BufRead, Read, Write};
use std::net::TcpStream;

pub struct Request {
    pub path: String,
    /// The first line and the header, with its names in lower case.
    pub head: String,
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
        head: format!("{line}\r\n"),
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
        let name = name.to_ascii_lowercase();
        request.head += &format!("{name}:{value}\r\n");
        let value = value.trim();
        match name.as_str() {
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
    let bytes = data_encoding::BASE64.decode(encoded.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}

pub enum Response {
    Whole {
        status: String,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// A whole response of which only the beginning is sent.
    Half(Box<Response>),
    /// These bytes, whatever they are.
    Raw(Vec<u8>),
    Close,
}

impl Response {
    fn bytes(&self) -> Vec<u8> {
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
                let mut bytes = whole.bytes();
                // Into the body, so that the head promises more than comes.
                bytes.truncate(bytes.len() - 30);
                bytes
            }
            Self::Raw(bytes) => bytes.clone(),
            Self::Close => Vec::new(),
        }
    }

    pub fn write(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        stream.write_all(&self.bytes())?;
        stream.flush()
    }
}
