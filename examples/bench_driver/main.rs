//! Drives a program that speaks the naming protocol, and measures it from
//! outside (`scripts/bench`, which says what each figure means):
//!
//!     bench_driver turns COUNT -- PROGRAM ARGUMENT...
//!     bench_driver pipelined COUNT -- PROGRAM ARGUMENT...
//!     bench_driver start COUNT -- PROGRAM ARGUMENT...
//!     bench_driver cold COUNT -- PROGRAM ARGUMENT...
//!     bench_driver exchange COUNT
//!
//! Or it opens streams at a SOCKS port (`scripts/socks-bench`), which in the first
//! case is its own stand-in for Tor's:
//!
//!     bench_driver stand-ins 0
//!     bench_driver first-byte|throughput|paced|rate|idle COUNT -- ADDRESS HOST
//!
//! In the command `{port}` stands for the port of a node on the loopback
//! interface, in this process, that answers every request at once.
//!
//! It prints a line of figures as `name=number`: times in nanoseconds, memory
//! in KiB. A program that does not answer as it should ends it with an error.

mod child;
mod node;
mod socks;

use std::error::Error;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use child::Child;
use node::Node;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Names and isolation ids that the cached queries take in turns.
const NAMES: usize = 8;
const IDS: usize = 4;

/// Queries that may be unanswered while the caches are filled.
const WARM_UP: usize = 2_000;

fn main() -> ExitCode {
    match run() {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench_driver: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<String> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().ok_or("no measurement is named")?;
    let count: usize = arguments.next().ok_or("no count is given")?.parse()?;
    let node = Node::start()?;
    let port = node.port().to_string();
    let words = arguments.skip_while(|word| word == "--");
    let command: Vec<String> = words.map(|word| word.replace("{port}", &port)).collect();
    match &*kind {
        "turns" => turns(&command, count),
        "pipelined" => pipelined(&command, count),
        "start" => start(&command, count),
        "cold" => cold(&command, count),
        "exchange" => exchange(&node, count),
        "stand-ins" => {
            println!("node={port} tor={}", socks::stand_in()?);
            socks::wait()?;
            Ok(String::new())
        }
        "first-byte" | "throughput" | "paced" | "rate" | "idle" => {
            let [address, host] = command.as_slice() else {
                return Err("an address and a host are needed".into());
            };
            match &*kind {
                "first-byte" => socks::first_byte(address, host, count),
                "throughput" | "paced" => {
                    socks::throughput(address, host, count, &*kind == "paced")
                }
                "rate" => socks::rate(address, host, count),
                _ => socks::idle(address, host, count),
            }
        }
        other => Err(format!("{other} is no measurement").into()),
    }
}

/// The `number`th of the queries that the cache answers.
fn cached_query(number: usize) -> String {
    let (name, id) = (number % NAMES, number / NAMES % IDS);
    format!("RESOLVE {} cached{name}.bit isolation-{id}\n", number + 1)
}

/// A child whose caches are filled.
fn warm(command: &[String]) -> Outcome<Child> {
    let mut child = Child::start(command)?;
    child.ready()?;
    for number in 0..WARM_UP {
        child.turn(&cached_query(number))?;
    }
    Ok(child)
}

/// One query after the other, each after the answer to the last.
fn turns(command: &[String], count: usize) -> Outcome<String> {
    let mut child = warm(command)?;
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let query = cached_query(number);
        let begin = Instant::now();
        child.turn(&query)?;
        times.push(begin.elapsed().as_nanos());
    }
    let memory = child.resident()?;
    child.finish()?;
    Ok(format!("{} resident={memory}", spread(&mut times)))
}

/// All queries at once, read while they are written.
fn pipelined(command: &[String], count: usize) -> Outcome<String> {
    let mut child = warm(command)?;
    let queries: String = (0..count).map(cached_query).collect();
    let (mut input, output) = child.streams()?;
    let begin = Instant::now();
    let writer = thread::spawn(move || input.write_all(queries.as_bytes()).map(|()| input));
    let mut answers = 0;
    let mut octets = vec![0; 1 << 16];
    while answers < count {
        let read = output.read(&mut octets)?;
        if read == 0 {
            return Err(format!("the program ended after {answers} answers").into());
        }
        let chunk = octets.get(..read).unwrap_or_default();
        answers += chunk.iter().filter(|octet| **octet == b'\n').count();
    }
    let time = begin.elapsed();
    let input = writer.join().map_err(|_| "the writer panicked")??;
    child.take_back(input);
    let memory = child.resident()?;
    child.finish()?;
    Ok(format!("time={} resident={memory}", time.as_nanos()))
}

/// From the beginning of a process to its first line.
fn start(command: &[String], count: usize) -> Outcome<String> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        let mut child = Child::start(command)?;
        child.ready()?;
        times.push(begin.elapsed().as_nanos());
        child.finish()?;
    }
    Ok(spread(&mut times))
}

/// Names that nobody asked for before, at a node that answers at once. In the
/// command `{port}` stands for the node's port.
fn cold(command: &[String], count: usize) -> Outcome<String> {
    let node = Node::start()?;
    let port = node.port().to_string();
    let command: Vec<String> = command.iter().map(|w| w.replace("{port}", &port)).collect();
    let mut child = Child::start(&command)?;
    child.ready()?;
    let mut times = Vec::with_capacity(count);
    // The first learn what kind of node it is, and open the connection.
    let first = 20;
    for number in 0..count + first {
        let query = format!("RESOLVE {number} cold{number}.bit isolation-0\n");
        let begin = Instant::now();
        child.turn(&query)?;
        if number >= first {
            times.push(begin.elapsed().as_nanos());
        }
    }
    child.finish()?;
    Ok(spread(&mut times))
}

/// The same requests to the same node, without a plugin in between.
fn exchange(node: &Node, count: usize) -> Outcome<String> {
    let mut client = node::Client::connect(node.port())?;
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let request = node::request(number);
        let begin = Instant::now();
        client.exchange(&request)?;
        times.push(begin.elapsed().as_nanos());
    }
    Ok(spread(&mut times))
}

/// Median, and what 1 in 100 exceeds.
fn spread(times: &mut [u128]) -> String {
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(0);
    format!("median={} slow={}", at(50), at(99))
}
