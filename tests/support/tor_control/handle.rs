//! What a test holds of a stand-in: a stream, or a controller of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::stream::{End, bytes};
use super::{ModelTor, Shared, commands, wait};
use crate::support::PATIENCE;

/// A stream of a test.
pub struct Handle {
    pub id: u64,
    pub(super) at: usize,
    pub(super) shared: Shared,
}

impl Handle {
    /// Waits for how it ended.
    #[track_caller]
    pub fn end(&self) -> End {
        self.end_within(PATIENCE).unwrap_or_else(|| {
            let model = self.shared.0.lock().unwrap();
            let story = model.story();
            drop(model);
            panic!("stream {} does not end: {story}", self.id)
        })
    }

    /// How it ended, if it does so soon.
    pub fn end_within(&self, patience: Duration) -> Option<End> {
        wait(&self.shared, patience, |model| {
            model.streams[self.at].ends.first().cloned()
        })
    }

    /// All that has become of it so far: nothing while it waits.
    pub fn ends(&self) -> Vec<End> {
        self.shared.0.lock().unwrap().streams[self.at].ends.clone()
    }

    /// Whether it waits for a controller.
    pub fn waits(&self) -> bool {
        self.shared.0.lock().unwrap().streams[self.at].waiting
    }

    /// Its circuit fails.
    pub fn circuit_fails(&self) {
        let mut model = self.shared.0.lock().unwrap();
        model.detach(self.at);
        model.flush();
        drop(model);
        self.shared.1.notify_all();
    }

    /// Waits until so much has become of it.
    #[track_caller]
    pub fn ends_after(&self, count: usize) -> Vec<End> {
        let ends = wait(&self.shared, PATIENCE, |model| {
            let ends = &model.streams[self.at].ends;
            (ends.len() >= count).then(|| ends.clone())
        });
        ends.unwrap_or_else(|| panic!("stream {}: {:?}", self.id, self.ends()))
    }

    /// The client closes its connection.
    pub fn client_closes(&self) {
        let mut model = self.shared.0.lock().unwrap();
        model.client_leaves(self.at);
        model.flush();
        drop(model);
        self.shared.1.notify_all();
    }
}

/// A controller of the test's own.
pub struct Rival {
    reader: BufReader<TcpStream>,
}

impl Rival {
    pub fn connect(address: &str) -> Self {
        let stream: TcpStream = match address.strip_prefix("unix:") {
            // The type of TCP streams holds a Unix socket as well.
            Some(path) => OwnedFd::from(UnixStream::connect(path).unwrap()).into(),
            None => TcpStream::connect(address).unwrap(),
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            reader: BufReader::new(stream),
        }
    }

    /// Connected to a Tor that is open to everybody, with these events.
    pub fn to(tor: &ModelTor, events: &str) -> Self {
        let mut rival = Self::connect(tor.address());
        assert_eq!(rival.ask("AUTHENTICATE"), "250 OK");
        assert_eq!(rival.ask(&format!("SETEVENTS {events}")), "250 OK");
        rival
    }

    pub fn send(&mut self, line: &str) {
        let bytes = [bytes(line), b"\r\n".to_vec()].concat();
        self.reader.get_mut().write_all(&bytes).unwrap();
    }

    /// The next line, one character for each byte; empty at the end of the stream.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).unwrap();
        commands::text(&line)
    }

    /// Sends a command, and reads one line.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.line()
    }
}
