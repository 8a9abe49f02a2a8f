//! A node's answer on the wire.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ncprop279::config::settings::DialectSetting;
use ncprop279::source::{Bounds, Cancel, Source};

use super::rpc::{check_failure, question, source};

/// The port of a server that answers everything with the same bytes, and those
/// bytes.
static SERVER: Mutex<Option<u16>> = Mutex::new(None);
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Any bytes as all that a node sends on each connection: the fetch ends, and
/// a failure is told without what was asked.
pub fn http(data: &[u8]) {
    *ANSWER.lock().unwrap_or_else(PoisonError::into_inner) = data.to_vec();
    let port = port();
    let (isolation, key) = question();
    let deadline = Instant::now() + Duration::from_secs(5);
    let limit = Bounds {
        due: deadline,
        deadline,
        cancel: Cancel::new(),
    };
    let source = source(port, DialectSetting::Core);
    if let Err(failure) = source.fetch(&isolation, &key, &limit) {
        check_failure(&failure);
    }
}

fn port() -> u16 {
    let mut port = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    *port.get_or_insert_with(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // What becomes of the connection is the client's affair.
                let _ = answer(stream);
            }
        });
        port
    })
}

/// Reads one request, sends the bytes and closes.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 2048];
    while !request.ends_with(b"}") {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..count]);
    }
    let bytes = ANSWER
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    stream.write_all(&bytes)?;
    stream.shutdown(Shutdown::Write)
}
