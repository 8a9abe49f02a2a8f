//! The sockets of the control port.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::super::PATIENCE;
use super::Shared;
use super::commands::{self, Turn};

/// A control port that is open.
pub struct Listening {
    pub address: String,
    shared: Shared,
    thread: JoinHandle<()>,
}

impl Listening {
    pub fn start(address: &str, shared: &Shared) -> Self {
        shared.0.lock().unwrap().stopped = false;
        if let Some(path) = address.strip_prefix("unix:") {
            let _ = std::fs::remove_file(path);
            let listener = UnixListener::bind(path).unwrap();
            let accept = move || Ok(OwnedFd::from(listener.accept()?.0).into());
            return Self::accepting(address.to_owned(), shared, accept);
        }
        let listener = bind(address);
        let address = listener.local_addr().unwrap().to_string();
        Self::accepting(address, shared, move || Ok(listener.accept()?.0))
    }

    fn accepting(
        address: String,
        shared: &Shared,
        accept: impl Fn() -> std::io::Result<TcpStream> + Send + 'static,
    ) -> Self {
        let shared = Arc::clone(shared);
        let for_all = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let mut open = Vec::new();
            loop {
                let Ok(client) = accept() else { continue };
                if for_all.0.lock().unwrap().stopped {
                    break;
                }
                open.push(client.try_clone().unwrap());
                let shared = Arc::clone(&for_all);
                thread::spawn(move || serve(client, &shared));
            }
            for client in open {
                let _ = client.shutdown(Shutdown::Both);
            }
        });
        Self {
            address,
            shared,
            thread,
        }
    }

    /// Ends it, with everything that Tor knew.
    pub fn stop(self) {
        let Ok(mut model) = self.shared.0.lock() else {
            return;
        };
        model.stopped = true;
        model.paused = false;
        model.die();
        drop(model);
        self.shared.1.notify_all();
        // Wakes the thread that accepts.
        match self.address.strip_prefix("unix:") {
            Some(path) => drop(UnixStream::connect(path)),
            None => drop(TcpStream::connect(&self.address)),
        }
        let _ = self.thread.join();
        if let Some(path) = self.address.strip_prefix("unix:") {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A port that was closed a moment ago can still be open in a process that another
/// test is starting, which has copies of all descriptors at first.
fn bind(address: &str) -> TcpListener {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) if Instant::now() > deadline => panic!("{address}: {error}"),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Sends what a controller is to read, so that one that reads nothing stops nobody.
fn send(mut client: TcpStream, lines: &Receiver<Vec<u8>>, dribbles: bool) {
    while let Ok(bytes) = lines.recv() {
        let size = if dribbles { 1 } else { bytes.len() };
        let mut pieces = bytes.chunks(size);
        if pieces.any(|piece| client.write_all(piece).is_err()) {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

fn serve(mut client: TcpStream, shared: &Shared) {
    let (writer, lines) = channel();
    let sender = client.try_clone().unwrap();
    let (who, dribbles) = {
        let mut model = shared.0.lock().unwrap();
        (model.add(writer), model.dribbles)
    };
    if dribbles {
        // Unix sockets know no such thing.
        let _ = client.set_nodelay(true);
    }
    let sending = thread::spawn(move || send(sender, &lines, dribbles));
    shared.1.notify_all();
    let mut unread = Vec::new();
    let mut chunk = [0; 65536];
    'connection: loop {
        match client.read(&mut chunk) {
            Ok(count) if count > 0 => unread.extend(&chunk[..count]),
            _ => break,
        }
        // What has arrived is one turn of Tor's main loop.
        let mut model = shared.0.lock().unwrap();
        while let Some(end) = unread.iter().position(|&byte| byte == b'\n') {
            while model.paused {
                model = shared.1.wait(model).unwrap();
            }
            if model.stopped {
                break 'connection;
            }
            let line = commands::text(&unread[..=end]);
            match commands::answer(&mut model, who, &line) {
                Turn::Pauses => {
                    model.flush();
                    shared.1.notify_all();
                    continue;
                }
                Turn::GoesOn => {}
                Turn::Closes => {
                    model.flush();
                    break 'connection;
                }
            }
            unread.drain(..=end);
            if let Some(stream) = model.opens_behind.take() {
                model.flush();
                model.open(None, *stream);
                model.flush();
            }
        }
        model.flush();
        drop(model);
        shared.1.notify_all();
    }
    let closed = {
        let Ok(mut model) = shared.0.lock() else {
            return;
        };
        let controller = &mut model.controllers[who];
        controller.open = false;
        // The writer ends after what is queued.
        std::mem::replace(&mut controller.writer, channel().0)
    };
    drop(closed);
    shared.1.notify_all();
    let _ = sending.join();
}
