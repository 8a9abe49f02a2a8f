//! The scripted Electrum servers of the tests as a process, for the scripts:
//! `cargo run --example scripted_electrum -- VERSION... [OPTIONS]`.
//!
//! Each VERSION (`1.15.0` or `2.0b1`) is one server on the loopback interface.
//! All have the same regtest chain, in which the names `d/name0` to `d/nameN`
//! have 20 confirmations. The first line on stdout is their addresses. After
//! that each line on stdin is a command, and each gets a line of JSON:
//!
//! - `delay MS` delays the replies to requests that come from now on;
//! - `report` tells of each server's connections: bytes that were sent,
//!   methods that were called, and whether it is closed;
//! - `mine COUNT` mines empty blocks;
//! - `block [["register"|"update", NAME, VALUE], ...]` mines a block with these
//!   operations. Both tell the new height.
//!
//! It ends when stdin does.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "../tests/support/electrum/mod.rs"]
mod electrum;

use std::collections::BTreeMap;
use std::io::{BufRead, stdin};
use std::time::Duration;

use electrum::auxpow::Shape;
use electrum::chain::Chain;
use electrum::log::Connection;
use electrum::names::{Operation, operation};
use electrum::{Electrum, Limits, Options, Version};
use serde_json::{Value, json};

/// As in the tests, from whose modules the servers come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The confirmations of the names; between the twelve that are asked for and
/// the thirty after which they expire.
const CONFIRMATIONS: usize = 20;

/// ElectrumX's own limits.
const LIMITS: Limits = Limits {
    slow: 5_000_000,
    close: 50_000_000,
    slowest: Duration::from_millis(2500),
};

const USAGE: &str = "\
usage: scripted_electrum VERSION... [OPTIONS]
  --blocks N   height of the chain [100]
  --names N    names in it [20]
  --real       proofs as large as those of mainnet, about 2 KB
  --limits     sessions are slowed after 5 MB and closed after 50 MB";

/// What the command line asks for.
struct Plan {
    versions: Vec<Version>,
    blocks: usize,
    names: usize,
    real: bool,
    limits: bool,
}

impl Plan {
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut plan = Self {
            versions: Vec::new(),
            blocks: 100,
            names: 20,
            real: false,
            limits: false,
        };
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next()?.parse().ok();
            match argument.as_str() {
                "1.15.0" => plan.versions.push(Version::V1_15),
                "2.0b1" => plan.versions.push(Version::V2_0b1),
                "--blocks" => plan.blocks = number()?,
                "--names" => plan.names = number()?,
                "--real" => plan.real = true,
                "--limits" => plan.limits = true,
                _ => return None,
            }
        }
        let fits = !plan.versions.is_empty() && plan.blocks > CONFIRMATIONS;
        fits.then_some(plan)
    }

    /// The chain of all servers. Its names are registered in one block.
    fn chain(&self) -> Chain {
        let mut chain = Chain::new();
        chain.shape = self.real.then_some(Shape::REAL);
        chain.mine(self.blocks - CONFIRMATIONS);
        let names = (0..self.names).map(|number| {
            let name = format!("d/name{number}");
            let salt = u32::try_from(number).unwrap();
            let value = br#"{"ip":"192.0.2.1"}"#;
            operation(Operation::FirstUpdate, name.as_bytes(), value, salt)
        });
        chain.mine_with(names.collect());
        chain.mine(CONFIRMATIONS - 1);
        chain
    }

    fn start(&self) -> Vec<Electrum> {
        let chain = self.chain();
        let servers = self.versions.iter().map(|version| {
            let mut options = Options::new(*version);
            options.limits = self.limits.then_some(LIMITS);
            Electrum::start(chain.clone(), options)
        });
        servers.collect()
    }
}

/// What one connection has seen.
fn report(connection: &Connection) -> Value {
    let mut methods = BTreeMap::<&str, usize>::new();
    for method in connection.methods() {
        *methods.entry(method).or_default() += 1;
    }
    json!({
        "bytes": connection.bytes(),
        "methods": methods,
        "closed": connection.closed,
    })
}

/// Mines a block with operations, given in JSON.
fn block(chain: &mut Chain, operations: &str) -> Option<()> {
    let operations: Vec<(String, String, String)> = serde_json::from_str(operations).ok()?;
    let height = u32::try_from(chain.tip()).ok()?;
    let transactions = (0..).zip(&operations).map(|(number, (kind, name, value))| {
        let kind = match kind.as_str() {
            "register" => Operation::FirstUpdate,
            "update" => Operation::Update,
            _ => return None,
        };
        let salt = height.wrapping_add(number * 0x0100_0001);
        Some(operation(kind, name.as_bytes(), value.as_bytes(), salt))
    });
    chain.mine_with(transactions.collect::<Option<_>>()?);
    Some(())
}

/// Changes the chain of all servers; tells its height.
fn work(servers: &[Electrum], work: impl FnOnce(&mut Chain) -> Option<()>) -> Option<Value> {
    let mut chain = servers[0].chain();
    work(&mut chain)?;
    for server in servers {
        server.set_chain(chain.clone());
    }
    Some(json!(chain.tip()))
}

/// Obeys a command; `None` if there is no such command.
fn obey(servers: &[Electrum], command: &str) -> Option<Value> {
    let (command, rest) = command.split_once(' ').unwrap_or((command, ""));
    match command {
        "delay" => {
            let delay = Duration::from_millis(rest.parse().ok()?);
            servers.iter().for_each(|server| server.delay(delay));
            Some(json!(true))
        }
        "mine" => {
            let count = rest.parse().ok()?;
            work(servers, |chain| {
                chain.mine(count);
                Some(())
            })
        }
        "block" => work(servers, |chain| block(chain, rest)),
        "report" => {
            let report = |server: &Electrum| server.connections().iter().map(report).collect();
            Some(Value::Array(servers.iter().map(report).collect()))
        }
        _ => None,
    }
}

fn main() {
    let Some(plan) = Plan::read(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    let servers = plan.start();
    let addresses = servers.iter().map(|server| server.address().to_string());
    println!("{}", addresses.collect::<Vec<_>>().join(" "));
    for line in stdin().lock().lines() {
        let reply = obey(&servers, line.unwrap().trim());
        println!("{}", reply.expect("a command that there is"));
    }
}
