//! Naming plugins of the user's (`spec/naming-plugins.md`), through the real
//! binary: `serve`, with a plugin that does what a test says.

mod answers;
mod bit;
mod life;
mod queries;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::PATIENCE;
use crate::support::node::Node;
use crate::support::serve::{Ask, Protocol, RESOLVE, Reply, Serve, node};
use crate::support::tor::{Manner, Tor, reply};

const ONION: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion";

/// A door with a plugin for `test`.
struct World {
    serve: Serve,
    tor: Tor,
    _node: Node,
    files: TempDir,
}

/// What the plugin says to each query for a name, in turn.
fn script(entries: Value) -> Value {
    let mut script = json!({ "INIT": [["INIT 1 0"]] });
    let all = script.as_object_mut().unwrap();
    all.extend(entries.as_object().unwrap().clone());
    script
}

impl World {
    /// With a script for the plugin.
    fn new(entries: Value) -> Self {
        Self::with(entries, &[])
    }

    /// With more arguments.
    fn with(entries: Value, more: &[&str]) -> Self {
        let files = tempfile::tempdir().unwrap();
        let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("script"), script(entries).to_string()).unwrap();
        fs::write(path("plugin.py"), include_str!("plugin.py")).unwrap();
        let plugin = format!(
            "test=python3 {} {} {}",
            path("plugin.py"),
            path("log"),
            path("script")
        );
        let node = node(&[("d/example", r#"{"ip":"192.0.2.77"}"#)]);
        Self::start(&plugin, files, node, more)
    }

    /// With another plugin.
    fn start(plugin: &str, files: TempDir, node: Node, more: &[&str]) -> Self {
        let tor = Tor::start();
        let serve = Serve::start(&tor, &node, &[&["--naming-plugin", plugin], more].concat());
        Self {
            serve,
            tor,
            _node: node,
            files,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// What the plugin has noted.
    fn noted(&self) -> Vec<String> {
        let log = fs::read_to_string(self.file("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Waits until the plugin has noted something.
    #[track_caller]
    fn wait<T>(&self, what: &str, find: impl Fn(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let noted = self.noted();
            if let Some(found) = find(&noted) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: {noted:#?}{}",
                self.serve.process.story()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for a line that the plugin reads; its words.
    #[track_caller]
    fn wait_for_line(&self, begin: &str, part: &str) -> Vec<String> {
        self.wait(&format!("{begin} … {part}"), |noted| {
            let found = |line: &&String| line.starts_with(begin) && line.contains(part);
            let line = noted.iter().find(found)?;
            Some(line.split(' ').map(str::to_owned).collect())
        })
    }

    /// Waits until the plugin was started so often; its process ids.
    #[track_caller]
    fn wait_for_starts(&self, count: usize) -> Vec<u32> {
        self.wait(&format!("{count} starts"), |noted| {
            let starts = noted.iter().filter_map(|line| line.strip_prefix("START "));
            let ids: Vec<u32> = starts.map(|id| id.parse().unwrap()).collect();
            (ids.len() >= count).then_some(ids)
        })
    }

    /// The queries for a name that the plugin has read.
    fn queries(&self, name: &str) -> Vec<Vec<String>> {
        let noted = self.noted();
        let words = noted.iter().map(|line| line.split(' '));
        let words = words.map(|words| words.map(str::to_owned).collect::<Vec<_>>());
        let of_name = |words: &Vec<String>| words[0] == "RESOLVE" && words[2] == name;
        words.filter(of_name).collect()
    }

    /// Asks for the address of a name; the code of SOCKS5.
    fn code(&self, name: &str) -> u16 {
        self.resolve(name).code
    }

    /// Waits until the plugin answers, however short a time a query has.
    fn wait_until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.code("ready.test") != NO_SUCH_NAME {
            assert!(Instant::now() < deadline);
        }
    }

    fn resolve(&self, name: &str) -> Reply {
        let ask = Ask::new(Protocol::Socks5, name).command(RESOLVE);
        self.serve.ask(&ask)
    }

    /// The address that a name leads to.
    #[track_caller]
    fn address(&self, name: &str) -> [u8; 4] {
        let reply = self.resolve(name);
        assert_eq!(reply.code, 0, "{name}{}", self.serve.process.story());
        reply.bytes[4..8].try_into().unwrap()
    }

    /// The page that an HTTP client gets.
    fn page(&self, name: &str) -> (u16, String) {
        let reply = self.serve.ask(&Ask::new(Protocol::Http, name));
        (reply.code, String::from_utf8(reply.bytes).unwrap())
    }
}

/// The SOCKS5 codes.
const NO_SUCH_NAME: u16 = 4;
const NOT_NOW: u16 = 6;

/// What an address is answered with.
fn address(last: u8) -> Value {
    json!([[format!("RESOLVED {{id}} 0 192.0.2.{last}")]])
}

/// Tor refuses what it is asked for, so that clients are done with.
fn refusal() -> Manner {
    Manner::Says(reply(1))
}
