//! The sending half of a connection: what is in line goes out at its time, in
//! packets, or as the lie of the hour has it.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::lies::Lie;
use super::log::{Packet, Request};
use super::packets::Packer;
use super::session::Session;

/// Bytes that an endless reply sends after each pause.
const CHUNK: usize = 16_384;

/// What is to be sent.
pub enum Item {
    Line(String),
    Raw(Vec<u8>),
    Drip(Vec<u8>, Duration),
    Endless(Duration),
    Close,
}

/// What is to be sent, and when.
#[derive(Default)]
pub struct Queue {
    items: VecDeque<(Instant, Item)>,
    pub closed: bool,
}

impl Session {
    pub(super) fn push(&self, due: Instant, item: Item) {
        self.queue.lock().unwrap().items.push_back((due, item));
        self.bell.notify_all();
    }

    /// Puts a reply in line, as the lie of the hour has it.
    pub(super) fn push_reply(&self, due: Instant, request: &Request, line: String) {
        let whole = format!("{line}\n").into_bytes();
        let items = match self.shared.lie(&request.method) {
            Some(Lie::Silent) => vec![],
            Some(Lie::Twice) => vec![Item::Line(line.clone()), Item::Line(line)],
            Some(Lie::Batch) => vec![Item::Line(format!("[{line}]"))],
            Some(Lie::CutLine) => vec![Item::Raw(whole[..whole.len() / 2].to_vec()), Item::Close],
            Some(Lie::Drip(pause)) => vec![Item::Drip(whole, pause)],
            Some(Lie::Endless(pause)) => vec![Item::Endless(pause)],
            Some(Lie::Junk) => vec![Item::Raw(b"\xff\xfe\x00{\"\x80\x00]\n".to_vec())],
            Some(Lie::DeepJson) => {
                let depth = 100_000;
                let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
                vec![Item::Line(format!(
                    "{{\"jsonrpc\":\"2.0\",\"result\":{deep},\"id\":{}}}",
                    request.id
                ))]
            }
            _ => vec![Item::Line(line)],
        };
        for item in items {
            self.push(due, item);
        }
    }

    /// Sends what is in line, each thing at its time.
    pub(super) fn send(&self) {
        let options = &self.shared.options;
        let mut packer = Packer::new(options.version, options.hold);
        while let Some(item) = self.next(&mut packer) {
            let sent = match item {
                Item::Line(line) => {
                    packer.push(&line);
                    Ok(())
                }
                Item::Raw(bytes) => self.write(&bytes, false),
                Item::Drip(bytes, pause) => self.drip(&bytes, pause),
                Item::Endless(pause) => self.endless(pause),
                Item::Close => {
                    let rest = packer.take();
                    if !rest.is_empty() {
                        let _ = self.write(&rest, false);
                    }
                    self.wire.finish();
                    self.shared.log.write(|log| log[self.at].closed = true);
                    return;
                }
            };
            if sent.is_err() {
                break;
            }
        }
        self.cut();
    }

    /// The next thing to be sent; packets that are due go out before. `None`
    /// at the end.
    fn next(&self, packer: &mut Packer) -> Option<Item> {
        let mut queue = self.queue.lock().unwrap();
        loop {
            let now = Instant::now();
            if queue.closed {
                return None;
            }
            if packer
                .due()
                .is_some_and(|due| due <= now || !packer.holds())
            {
                let small = packer.holds();
                drop(queue);
                self.write(&packer.take(), small).ok()?;
                queue = self.queue.lock().unwrap();
                continue;
            }
            let due = queue.items.front().map(|(due, _)| *due);
            if due.is_some_and(|due| due <= now) {
                return Some(queue.items.pop_front()?.1);
            }
            let until = due.into_iter().chain(packer.due()).min();
            queue = match until {
                Some(until) => {
                    let left = until.saturating_duration_since(now);
                    self.bell.wait_timeout(queue, left).unwrap().0
                }
                None => self.bell.wait(queue).unwrap(),
            };
        }
    }

    fn write(&self, bytes: &[u8], small: bool) -> io::Result<()> {
        let packet = Packet {
            bytes: bytes.len(),
            small,
            at: Instant::now(),
        };
        // Written down first, so that whoever has a reply finds it here.
        self.shared
            .log
            .write(|log| log[self.at].packets.push(packet));
        self.wire.write(bytes, self.shared.options.unread)
    }

    /// Waits; `false` if the connection ends meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        let queue = self.queue.lock().unwrap();
        let waiting = self
            .bell
            .wait_timeout_while(queue, pause, |queue| !queue.closed);
        !waiting.unwrap().0.closed
    }

    fn drip(&self, bytes: &[u8], pause: Duration) -> io::Result<()> {
        for byte in bytes {
            if !self.pause(pause) {
                return Err(io::ErrorKind::NotConnected.into());
            }
            self.write(&[*byte], false)?;
        }
        Ok(())
    }

    fn endless(&self, pause: Duration) -> io::Result<()> {
        self.write(b"{\"jsonrpc\":\"2.0\",\"result\":\"", false)?;
        while self.pause(pause) {
            self.write(&[b'0'; CHUNK], false)?;
        }
        Ok(())
    }
}
