//! The door on Tor's control port through the real binary
//! (`spec/tor-control.md`), with a stand-in for Tor.

mod authentication;
mod automap;
mod faults;
mod forged;
mod forgeries;
mod isolation;
mod leaving;
mod model;
mod plugins;
mod replay;
mod restarts;
mod stand_in;
mod streams;
mod taking_over;
mod targets;

use std::fs;

use crate::support::node::Node;
use crate::support::plugin::{Plugin, Start};
use crate::support::serve::Serve;
use crate::support::tor_control::ModelTor;

/// An onion service that Tor accepts.
const ONION: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion";

/// Names of every kind. That of the attacker leads to [`EVIL`].
const NAMES: &str = r#"{
    "d/ip": {"ip": "192.0.2.1"},
    "d/bank": {"ip": "192.0.2.2"},
    "d/x": {"ip": "192.0.2.3"},
    "d/y": {"ip": "192.0.2.4"},
    "d/six": {"ip6": "2001:db8::1"},
    "d/both": {"ip": "192.0.2.5", "ip6": "2001:db8::5"},
    "d/onion": {"tor": "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion"},
    "d/wikileaks": {"tor": "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion"},
    "d/alias": {"alias": "www.example.com."},
    "d/empty": {},
    "d/evil": {"ip": "198.51.100.66"}
}"#;

/// Where the attacker's name leads.
const EVIL: &str = "198.51.100.66";

/// The program, on the control ports of some Tors.
struct Door {
    process: Plugin,
    _names: Option<tempfile::NamedTempFile>,
}

impl Door {
    /// With [`NAMES`], in charge of a Tor.
    fn start(tor: &ModelTor) -> Self {
        let door = Self::begin(&[tor], &[]);
        door.is_in_charge_of(tor);
        door
    }

    /// With [`NAMES`]; nothing is waited for.
    fn begin(tors: &[&ModelTor], more: &[&str]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), NAMES).unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let mut arguments = vec!["--names-file", &path];
        arguments.extend(more);
        let mut door = Self::spawn(tors, &arguments);
        door._names = Some(file);
        door
    }

    /// With the names of a node, in charge of a Tor.
    fn with_node(tor: &ModelTor, node: &Node, more: &[&str]) -> Self {
        let door = Self::spawn(&[tor], &node.arguments(more));
        door.is_in_charge_of(tor);
        door
    }

    fn spawn<S: AsRef<str>>(tors: &[&ModelTor], arguments: &[S]) -> Self {
        let mut all: Vec<_> = arguments
            .iter()
            .map(|one| one.as_ref().to_owned())
            .collect();
        for tor in tors {
            all.extend(["--tor-control".to_owned(), tor.address().to_owned()]);
        }
        Self {
            process: Start::new(&Serve::arguments(&all)).spawn(),
            _names: None,
        }
    }

    /// Waits until it has taken over.
    #[track_caller]
    fn is_in_charge_of(&self, tor: &ModelTor) {
        let said = format!("resolving .bit names for Tor at {}", tor.address());
        self.process.complaint(&said);
        tor.wait_until_taken_over();
    }

    /// How often it has said something.
    fn said(&self, part: &str) -> usize {
        let lines = self.process.said_on_stderr();
        lines.iter().filter(|line| line.contains(part)).count()
    }
}

/// It leaves Tor as it was, so that its guardian has nothing to do.
impl Drop for Door {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.process.is_running() {
            self.process.signal("TERM");
            self.process.wait();
        }
    }
}
