//! The floor that the plugin is measured against (`scripts/bench`): says that
//! it is ready, then gives back every line that it reads.
//!
//! It does what any program with this protocol must do, and nothing else: one
//! read for all that is there, a search for the ends of lines, one write.

use std::io::{self, Read, Write};

/// Bytes asked for in one read, as in the plugin.
const CHUNK: usize = 65_536;

fn main() -> io::Result<()> {
    // Reads and writes of whole lines pass by the buffers of the standard library.
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    output.write_all(b"INIT 1 0\n")?;
    let mut buffer = vec![0; CHUNK];
    let mut held = Vec::with_capacity(CHUNK);
    let mut answers = Vec::with_capacity(2 * CHUNK);
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut pieces = buffer.get(..count).unwrap_or_default().split(is_end);
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            answers.append(&mut held);
            answers.extend_from_slice(piece);
            answers.push(b'\n');
        }
        held.extend_from_slice(last);
        output.write_all(&answers)?;
        answers.clear();
    }
}

fn is_end(octet: &u8) -> bool {
    *octet == b'\n'
}
