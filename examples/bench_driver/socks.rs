//! A stand-in for Tor's SOCKS port, and a client of it or of the door in front
//! of it, which take the same steps in both cases.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Outcome, spread};

/// The port of a target that gives back what it gets.
const ECHO: u16 = 7;

/// The port of a target that sends as fast as it can.
const SOURCE: u16 = 19;

/// The port of a target that sends [`PACE`] bytes a second, several times what Tor
/// carries.
const PACED: u16 = 20;
const PACE: u64 = 200_000_000;

/// Bytes for one read or write of a target or client.
const CHUNK: usize = 64 << 10;

/// Streams opened before any is measured.
const WARM_UP: usize = 100;

/// Clients that open streams at the same time.
const CLIENTS: usize = 4;

/// The stack of a thread of the stand-in.
const STACK: usize = 256 << 10;

const SUCCESS: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

/// Listens in place of Tor; gives the port.
pub fn stand_in() -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = move || serve(stream);
            let _ = thread::Builder::new().stack_size(STACK).spawn(serve);
        }
    });
    Ok(port)
}

fn take<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn skip_counted(stream: &mut TcpStream) -> io::Result<()> {
    let [length] = take(stream)?;
    stream.read_exact(&mut vec![0; length.into()])
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let [_, methods] = take(&mut stream)?;
    let mut offered = vec![0; methods.into()];
    stream.read_exact(&mut offered)?;
    let has_credentials = offered.contains(&2);
    stream.write_all(&[5, if has_credentials { 2 } else { 0 }])?;
    if has_credentials {
        take::<1>(&mut stream)?;
        skip_counted(&mut stream)?;
        skip_counted(&mut stream)?;
        stream.write_all(&[1, 0])?;
    }
    let [_, _, _, kind] = take(&mut stream)?;
    match kind {
        1 => take::<4>(&mut stream).map(drop)?,
        4 => take::<16>(&mut stream).map(drop)?,
        _ => skip_counted(&mut stream)?,
    }
    let port = u16::from_be_bytes(take(&mut stream)?);
    stream.write_all(&SUCCESS)?;
    let is_source = matches!(port, SOURCE | PACED);
    let mut bytes = vec![0; if is_source { CHUNK } else { 1 << 10 }];
    let begin = Instant::now();
    let mut sent = 0;
    loop {
        if port == PACED {
            let due = begin + Duration::from_nanos(sent * 1_000_000_000 / PACE);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            sent += bytes.len() as u64;
        }
        match port {
            SOURCE | PACED => stream.write_all(&bytes)?,
            _ => match stream.read(&mut bytes)? {
                0 => return Ok(()),
                count => stream.write_all(bytes.get(..count).unwrap_or_default())?,
            },
        }
    }
}

/// Opens a stream to a host.
fn open(address: &str, host: &str, port: u16) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(&[5, 1, 0])?;
    if take(&mut stream)? != [5, 0] {
        return Err("the SOCKS port wants credentials".into());
    }
    let mut request = vec![5, 1, 0, 3, u8::try_from(host.len())?];
    request.extend(host.as_bytes());
    request.extend(port.to_be_bytes());
    stream.write_all(&request)?;
    match take::<10>(&mut stream)? {
        [5, 0, ..] => Ok(stream),
        reply => Err(format!("{host} was refused: {reply:?}").into()),
    }
}

/// From the beginning of a connection to the first byte of its target. In the
/// host `{n}` stands for the number of the stream.
pub fn first_byte(address: &str, host: &str, count: usize) -> Outcome<String> {
    let mut times = Vec::with_capacity(count);
    for number in 0..WARM_UP + count {
        let host = host.replace("{n}", &number.to_string());
        let begin = Instant::now();
        let mut stream = open(address, &host, ECHO)?;
        stream.write_all(b"x")?;
        take::<1>(&mut stream)?;
        if number >= WARM_UP {
            times.push(begin.elapsed().as_nanos());
        }
    }
    Ok(spread(&mut times))
}

/// How long one stream takes for so many bytes.
pub fn throughput(address: &str, host: &str, count: usize, is_paced: bool) -> Outcome<String> {
    let mut stream = open(address, host, if is_paced { PACED } else { SOURCE })?;
    let mut bytes = vec![0; CHUNK];
    let mut left = count;
    let begin = Instant::now();
    while left > 0 {
        match stream.read(&mut bytes)? {
            0 => return Err("the stream ended".into()),
            read => left = left.saturating_sub(read),
        }
    }
    Ok(format!("time={}", begin.elapsed().as_nanos()))
}

/// How long it takes several clients to open so many streams, each after the last.
pub fn rate(address: &str, host: &str, count: usize) -> Outcome<String> {
    let left = AtomicUsize::new(count);
    let begin = Instant::now();
    thread::scope(|scope| {
        let client = || -> Result<(), String> {
            let take = |left: usize| left.checked_sub(1);
            let next = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
            while next().is_ok() {
                open(address, host, ECHO).map_err(|error| error.to_string())?;
            }
            Ok(())
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for client in clients {
            client.join().map_err(|_| "a client panicked")??;
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    Ok(format!("time={}", begin.elapsed().as_nanos()))
}

/// Opens so many streams, of which each echoes one byte, says so, and keeps them
/// until stdin ends.
pub fn idle(address: &str, host: &str, count: usize) -> Outcome<String> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = open(address, host, ECHO)?;
        stream.write_all(b"x")?;
        take::<1>(&mut stream)?;
        streams.push(stream);
    }
    println!("open={}", streams.len());
    wait()?;
    Ok(String::new())
}

/// Waits until stdin ends.
pub fn wait() -> io::Result<()> {
    io::stdout().flush()?;
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
}
