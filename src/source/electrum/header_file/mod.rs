//! The file that keeps block headers.
//!
//! Its first line names format, network and checkpoint, and ends in `sampled` if
//! not all headers were verified with their proof of work. Records of 84 bytes
//! follow: the height (little-endian) and the header. They are a log. The
//! checkpoint's own header comes first. A record below the checkpoint is one lower
//! than the lowest before it; one above the checkpoint replaces the header at its
//! height and all that followed.
//!
//! A record counts only if its hash links it to others, so that damage costs no
//! more than fetching headers again. The file cannot show that its newest headers
//! were verified, so the last [`UNTRUSTED`] are always fetched again with their
//! proof of work.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::consensus::{deserialize, serialize};

use super::state_dir::StateDir;
use crate::chain::headers::Headers;
use crate::chain::network::{Checkpoint, Network};

/// Headers that are fetched again when the file was loaded.
pub(super) const UNTRUSTED: usize = 100;

/// Bytes of a record: height and header.
const RECORD: usize = 4 + Header::SIZE;

/// The longest file, in bytes: the headers of thirty years.
const MAX_FILE: usize = 128 << 20;

/// The file of a network's headers, and what it holds.
#[derive(Debug)]
pub(super) struct HeaderFile {
    state: Arc<StateDir>,
    name: String,
    preamble: Vec<u8>,
    /// Whether the preamble says that not all headers were verified.
    is_sampled: bool,
    /// `None` if the file is to be written anew.
    contents: Option<Contents>,
}

/// The contents of a file without damage.
#[derive(Debug)]
struct Contents {
    /// Bytes up to the end of the last whole record.
    length: usize,
    /// The height of the lowest header.
    lowest: u32,
    /// The headers from the checkpoint upwards.
    above: Vec<Header>,
}

/// The outcome of loading.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    /// Headers that were taken; the [`UNTRUSTED`] newest are not.
    pub kept: usize,
    /// Records that are damaged or depend on damaged ones.
    pub dropped: usize,
}

impl HeaderFile {
    /// Loads the file, if there is one. Verifies links, bits and times; a
    /// file for another checkpoint is not used.
    ///
    /// `verifies_all` refuses a file with headers that were not all verified.
    ///
    /// If anything is wrong with the file, there are fewer headers and a warning.
    pub fn load(
        state: Arc<StateDir>,
        network: Network,
        checkpoint: Checkpoint,
        verifies_all: bool,
    ) -> (Self, Headers, Loaded) {
        let mut file = Self {
            state,
            name: format!("headers-{}", network.as_str()),
            preamble: preamble(network, checkpoint),
            is_sampled: false,
            contents: None,
        };
        let mut replay = Replay::new(network, checkpoint);
        let mut loaded = Loaded::default();
        let bytes = file.read(verifies_all);
        // An incomplete last record does not count.
        let records = bytes.as_chunks::<RECORD>().0;
        for record in records {
            replay.take(record);
        }
        let replayed = replay.finish();
        loaded.dropped = replayed.dropped;
        if loaded.dropped > 0 {
            file.state.warn(format_args!(
                "{} of {} records of the file {} are damaged or do not follow from others",
                loaded.dropped,
                records.len(),
                file.name
            ));
        } else if let Some(lowest) = replayed.headers.lowest() {
            file.contents = Some(Contents {
                length: file.preamble.len() + records.len() * RECORD,
                lowest,
                above: replayed.above,
            });
        }
        let mut headers = replayed.headers;
        headers.give_up_newest(UNTRUSTED);
        loaded.kept = count(&headers);
        (file, headers, loaded)
    }

    /// Whether headers in the file were verified by a sample only.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// Notes that the headers added from now on were verified by a sample only.
    /// The next [`save`](Self::save) rewrites the file if it does not say so
    /// yet.
    pub fn note_sample(&mut self) {
        if !self.is_sampled {
            self.is_sampled = true;
            self.preamble = sampled(&self.preamble);
            self.contents = None;
        }
    }

    /// Writes what the file does not hold yet, unless another process has the
    /// state directory. Headers that are no longer needed and abandoned
    /// branches are removed once they take as much room as the rest.
    ///
    /// Returns how many headers in the file were replaced, including those that
    /// were loaded and not fetched again.
    ///
    /// # Errors
    /// The file cannot be written. Its contents are unchanged, and the next
    /// call tries again.
    pub fn save(&mut self, headers: &Headers) -> io::Result<u32> {
        let Some((tip, _)) = headers.tip().filter(|_| self.state.is_writable()) else {
            return Ok(0);
        };
        let lowest = headers
            .lowest()
            .unwrap_or(tip)
            .max(headers.lowest_needed(tip));
        let Some(contents) = &mut self.contents else {
            return self.rewrite(headers, lowest).map(|()| 0);
        };
        let fork = contents.fork(headers);
        let replaced = contents.replaced(headers, fork);
        let mut records = Vec::new();
        for height in (lowest..contents.lowest).rev() {
            write_record(&mut records, headers, height);
        }
        // What was loaded but not fetched again yet stays in the file.
        for height in fork.saturating_add(1)..=tip {
            write_record(&mut records, headers, height);
        }
        if records.is_empty() {
            return Ok(replaced);
        }
        let length = contents.length + records.len();
        let needed = index(tip - lowest).saturating_add(1);
        if length / RECORD > needed.saturating_mul(2) {
            return self.rewrite(headers, lowest).map(|()| replaced);
        }
        let end = u64::try_from(contents.length).unwrap_or(u64::MAX);
        match self.state.append(&self.name, end, &records) {
            Ok(()) => {
                contents.length = length;
                contents.lowest = contents.lowest.min(lowest);
                contents.extend(headers, fork);
                Ok(replaced)
            }
            // Somebody removed or shortened it.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) =>
            {
                self.rewrite(headers, lowest).map(|()| replaced)
            }
            Err(error) => Err(error),
        }
    }

    /// The records of the file; none if it is not for this checkpoint.
    fn read(&mut self, verifies_all: bool) -> Vec<u8> {
        let name = &self.name;
        match self.state.read(name, MAX_FILE) {
            Ok(None) => Vec::new(),
            Ok(Some(bytes)) => {
                if let Some(records) = bytes.strip_prefix(&*self.preamble) {
                    return records.to_vec();
                }
                let sampled = sampled(&self.preamble);
                match bytes.strip_prefix(&*sampled) {
                    Some(_) if verifies_all => self.state.warn(format_args!(
                        "not all block headers in the file {name} were verified with their proof \
                         of work; they are fetched again because verify-all-headers is set"
                    )),
                    Some(records) => {
                        self.preamble = sampled;
                        self.is_sampled = true;
                        return records.to_vec();
                    }
                    None => self.state.warn(format_args!(
                        "the file {name} is damaged or for another checkpoint, and is not used"
                    )),
                }
                Vec::new()
            }
            Err(error) => {
                self.state
                    .warn(format_args!("cannot read the file {name}: {error}"));
                Vec::new()
            }
        }
    }

    fn rewrite(&mut self, headers: &Headers, lowest: u32) -> io::Result<()> {
        let Some((tip, _)) = headers.tip() else {
            return Ok(());
        };
        let checkpoint = headers.checkpoint().height;
        let mut bytes = self.preamble.clone();
        for height in (lowest..=checkpoint).rev() {
            write_record(&mut bytes, headers, height);
        }
        for height in checkpoint.saturating_add(1)..=tip {
            write_record(&mut bytes, headers, height);
        }
        self.state.replace(&self.name, &bytes)?;
        self.contents = Some(Contents {
            length: bytes.len(),
            lowest,
            above: headers_from(headers, checkpoint),
        });
        Ok(())
    }
}

impl Contents {
    /// The height of the newest header that the file and `headers` have in
    /// common; it is at least the checkpoint's.
    fn fork(&self, headers: &Headers) -> u32 {
        let checkpoint = headers.checkpoint().height;
        let tip = headers.tip().map_or(checkpoint, |(tip, _)| tip);
        // Where one header is the same all below it are.
        (checkpoint..=tip)
            .rev()
            .find(|height| {
                let contents = self.above.get(index(height - checkpoint));
                contents.is_some() && contents == headers.get(*height)
            })
            .unwrap_or(checkpoint)
    }

    /// How many headers in the file were replaced.
    fn replaced(&self, headers: &Headers, fork: u32) -> u32 {
        let checkpoint = headers.checkpoint().height;
        if headers.get(fork.saturating_add(1)).is_none() {
            return 0;
        }
        let above = self
            .above
            .len()
            .saturating_sub(index(fork - checkpoint) + 1);
        u32::try_from(above).unwrap_or(u32::MAX)
    }

    /// Notes that the headers above `fork` were written. If there are none,
    /// what the file holds above it is still there.
    fn extend(&mut self, headers: &Headers, fork: u32) {
        let checkpoint = headers.checkpoint().height;
        let new = headers_from(headers, fork.saturating_add(1));
        if !new.is_empty() {
            self.above.truncate(index(fork - checkpoint) + 1);
            self.above.extend(new);
        }
    }
}

/// The headers from a height upwards.
fn headers_from(headers: &Headers, height: u32) -> Vec<Header> {
    (height..)
        .map_while(|height| headers.get(height).copied())
        .collect()
}

/// A number of headers as an index.
fn index(headers: u32) -> usize {
    usize::try_from(headers).unwrap_or(usize::MAX)
}

/// How many headers there are.
fn count(headers: &Headers) -> usize {
    match (headers.lowest(), headers.tip()) {
        (Some(lowest), Some((tip, _))) => index(tip - lowest).saturating_add(1),
        _ => 0,
    }
}

fn preamble(network: Network, checkpoint: Checkpoint) -> Vec<u8> {
    format!(
        "ncprop279 headers 1 {} {} {}\n",
        network.as_str(),
        checkpoint.height,
        checkpoint.hash
    )
    .into_bytes()
}

/// The preamble of a file of which not all headers were verified.
fn sampled(preamble: &[u8]) -> Vec<u8> {
    let line = preamble.strip_suffix(b"\n").unwrap_or(preamble);
    [line, b" sampled\n"].concat()
}

fn write_record(bytes: &mut Vec<u8>, headers: &Headers, height: u32) {
    if let Some(header) = headers.get(height) {
        bytes.extend(height.to_le_bytes());
        bytes.extend(serialize(header));
    }
}

/// Takes a record apart.
fn read_record(record: &[u8; RECORD]) -> Option<(u32, Header)> {
    let (height, header) = record.split_first_chunk()?;
    Some((u32::from_le_bytes(*height), deserialize(header).ok()?))
}

/// Replays the log: the chain that the records so far make.
pub(super) struct Replay {
    /// The checkpoint and what is below it.
    headers: Headers,
    /// What is above the checkpoint, linked but not verified.
    branch: Vec<Header>,
    /// The hash that the next header of the branch has to link to.
    tip_hash: BlockHash,
    dropped: usize,
}

/// The outcome of replaying the log.
pub(super) struct Replayed {
    pub headers: Headers,
    /// The headers from the checkpoint upwards.
    pub above: Vec<Header>,
    /// Records that were dropped.
    pub dropped: usize,
}

impl Replay {
    pub fn new(network: Network, checkpoint: Checkpoint) -> Self {
        Self {
            headers: Headers::new(network, checkpoint),
            branch: Vec::new(),
            tip_hash: checkpoint.hash,
            dropped: 0,
        }
    }

    /// Takes the next record of the log, or drops it if it does not link.
    pub fn take(&mut self, record: &[u8; RECORD]) {
        let taken = read_record(record)
            .and_then(|(height, header)| self.place(height, header))
            .is_some();
        self.dropped += usize::from(!taken);
    }

    fn place(&mut self, height: u32, header: Header) -> Option<()> {
        let checkpoint = self.headers.checkpoint().height;
        if height > checkpoint {
            return self.put_above(height - checkpoint - 1, header);
        }
        if height == checkpoint {
            return self.headers.anchor(header).ok();
        }
        if self.headers.lowest()? != height.checked_add(1)? {
            return None;
        }
        self.headers.prepend(header).ok()
    }

    /// Puts a header in the place of that at `index` of the branch and of all
    /// behind it, if it links to the one before.
    fn put_above(&mut self, index: u32, header: Header) -> Option<()> {
        let index = usize::try_from(index).ok()?;
        let parent = match self.branch.get(index) {
            Some(replaced) => replaced.prev_blockhash,
            None if index == self.branch.len() => self.tip_hash,
            None => return None,
        };
        if header.prev_blockhash != parent {
            return None;
        }
        self.branch.truncate(index);
        self.branch.push(header);
        self.tip_hash = header.block_hash();
        Some(())
    }

    /// Verifies the chain as far as that is possible without the proofs of
    /// work. A header that fails is dropped with all above it.
    pub fn finish(mut self) -> Replayed {
        let checkpoint = self.headers.checkpoint().height;
        let mut verified = 0;
        if let Some(mut candidate) = self.headers.candidate(checkpoint) {
            verified = self
                .branch
                .iter()
                .take_while(|header| candidate.push_recorded(&self.headers, **header).is_ok())
                .count();
            let _ = self.headers.adopt(&candidate);
        }
        self.dropped += self.branch.len() - verified;
        let mut above = Vec::with_capacity(verified + 1);
        above.extend(self.headers.get(checkpoint));
        above.extend(self.branch.iter().take(verified));
        Replayed {
            headers: self.headers,
            above,
            dropped: self.dropped,
        }
    }
}

#[cfg(test)]
mod tests;
