//! Names that are delegated (`spec/delegations.md`): the real binary, name
//! servers on loopback, and a proxy that leads to them.

mod answers;
mod bounds;
mod hostile;
mod isolation;
mod servers;
mod signed;

use std::net::SocketAddr;

use crate::support::plugin::{Plugin, Start};
use crate::support::run;
use crate::support::socks::Socks;

/// An onion service that Tor accepts.
const ONION: &str = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion";

/// Names with their values, and where the proxy leads.
struct World {
    proxy: Socks,
    directory: tempfile::TempDir,
}

impl World {
    fn new(names: &str, routes: &[(&str, SocketAddr)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("names.json"), names).unwrap();
        let routes = routes
            .iter()
            .map(|(host, address)| (format!("{host}:53"), *address));
        Self {
            proxy: Socks::route(routes),
            directory,
        }
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let file = self.directory.path().join("names.json");
        let proxy = self.proxy.address();
        let own = ["--names-file", file.to_str().unwrap(), "--proxy", &proxy];
        own.iter().chain(more).map(ToString::to_string).collect()
    }

    fn plugin(&self, more: &[&str]) -> Plugin {
        Plugin::start(&self.arguments(more))
    }

    /// The answer to one query, as `status text`.
    fn ask(&self, name: &str) -> String {
        self.plugin(&[]).ask(name, "i")
    }

    /// What `resolve --explain` says.
    fn explain(&self, name: &str) -> run::Outcome {
        let mut arguments = self.arguments(&[]);
        let command = ["resolve", "--explain", name].map(str::to_owned);
        arguments.splice(0..0, command);
        run::run(Start::new(&arguments))
    }

    /// Where the proxy was asked to connect to.
    fn targets(&self) -> Vec<String> {
        self.proxy
            .seen()
            .into_iter()
            .map(|one| one.target)
            .collect()
    }
}
