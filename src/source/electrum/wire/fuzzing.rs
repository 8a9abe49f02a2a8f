//! What the fuzz targets in `fuzz/` reach of this room.

use super::lines::{Budget, Lines};
use super::message::{Message, Outcome};

/// A line of a server, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A result and the id of its request.
    Result(u64, String),
    /// The code and text of an error, and the id of its request.
    Error(u64, i64, String),
    /// The method and parameters of something unasked.
    Notification(String, String),
}

/// The lines that pieces of a stream make, none of more than `longest` bytes
/// with its end, in `octets` of memory.
///
/// # Errors
/// A line is too long, or there is not enough memory.
pub fn lines<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    longest: usize,
    octets: usize,
) -> Result<Vec<Vec<u8>>, String> {
    let mut lines = Lines::new(longest, &Budget::new(octets));
    let mut taken = Vec::new();
    for piece in pieces {
        let take = |line: &[u8]| {
            taken.push(line.to_vec());
            Ok(())
        };
        lines.push(piece, take).map_err(|error| error.to_string())?;
    }
    Ok(taken)
}

/// Takes a line apart.
///
/// # Errors
/// It is no message.
pub fn message(line: &[u8]) -> Result<Line, String> {
    match Message::parse(line).map_err(|error| error.to_string())? {
        Message::Reply { id, outcome } => Ok(match outcome {
            Outcome::Result(result) => Line::Result(id, result.get().to_owned()),
            Outcome::Error(error) => Line::Error(id, error.code, error.message),
        }),
        Message::Notification { method, params } => {
            Ok(Line::Notification(method, params.get().to_owned()))
        }
    }
}
