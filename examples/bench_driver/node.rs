//! A node on the loopback interface that answers every request at once: what
//! it says of names is the same for all of them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::Outcome;

/// `{"ip":"192.0.2.1"}`.
const VALUE: &str = "7b226970223a223139322e302e322e31227d";

/// A Namecoin Core of today, as far as it is asked.
pub struct Node {
    port: u16,
}

impl Node {
    /// Listens on a free port; its threads end with the process.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || serve(stream));
            }
        });
        Ok(Self { port })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let body = read_message(&mut reader)?;
        reader.get_mut().write_all(reply(&body).as_bytes())?;
    }
}

/// The answer to a JSON-RPC request.
fn reply(request: &str) -> String {
    let has = |method: &str| request.contains(&format!("\"{method}\""));
    let result = if has("getblockchaininfo") {
        r#"{"chain":"main","blocks":840000,"headers":840000,"initialblockdownload":false}"#
            .to_owned()
    } else if has("getnetworkinfo") {
        r#"{"version":310000,"subversion":"/Satoshi:31.0.0/"}"#.to_owned()
    } else {
        // The plugin asks in hexadecimal digits, and is answered in them.
        let name = request.split('"').find(|part| part.starts_with("642f"));
        format!(
            r#"{{"name":"{}","name_encoding":"hex","value":"{VALUE}","value_encoding":"hex","txid":"{:064}","vout":0,"address":"N0","ismine":false,"height":839000,"expires_in":35000,"expired":false}}"#,
            name.unwrap_or("642f78"),
            1
        )
    };
    let id = request.split_once("\"id\":").map_or("null", |(_, rest)| {
        rest.split([',', '}']).next().unwrap_or("null")
    });
    let body = format!(r#"{{"result":{result},"error":null,"id":{id}}}"#);
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A request as the plugin makes it.
pub fn request(number: usize) -> String {
    let digits: String = format!("d/cold{number}")
        .bytes()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"name_show","params":["{digits}",{{"nameEncoding":"hex","streamID":"isolation-0","valueEncoding":"hex"}}]}}"#
    );
    format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic dTpw\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A client with one connection, that does no more than it must.
pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Opens the connection.
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            reader: BufReader::new(stream),
        })
    }

    /// A request and its reply.
    pub fn exchange(&mut self, request: &str) -> Outcome<()> {
        self.reader.get_mut().write_all(request.as_bytes())?;
        let body = read_message(&mut self.reader)?;
        match body.contains(VALUE) {
            true => Ok(()),
            false => Err("the node did not answer with the value".into()),
        }
    }
}

/// The body of an HTTP message with a length.
fn read_message(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(number) = line.strip_prefix("content-length:") {
            length = number.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}
