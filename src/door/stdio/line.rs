//! From bytes to lines, in bounded memory.

use std::io::{self, BufRead, ErrorKind, Read};

/// The longest line in bytes, without its LF.
pub const MAX_LINE: usize = 65_536;

/// The bytes of the buffer at first: memory that nobody fills is not touched.
const FIRST_CAPACITY: usize = 4_096;

/// The most bytes of the buffer: the longest incomplete line, and as much again.
const CAPACITY: usize = 2 * MAX_LINE;

/// One line of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// The bytes of the line, without its LF.
    Complete(&'a [u8]),
    /// The line was longer than [`MAX_LINE`] bytes and was skipped.
    TooLong,
}

/// Reads lines that end with LF or with the end of the input.
///
/// Its buffer doubles whenever the input fills it, up to twice [`MAX_LINE`].
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    buffer: Vec<u8>,
    /// The unread bytes are `start..end`.
    start: usize,
    end: usize,
    /// Just after the last LF in the buffer. It is found as bytes arrive, so that
    /// a line in many small pieces is not searched again for each of them.
    last_line_end: usize,
    /// Whether a line that is too long is being skipped.
    skipping: bool,
    ended: bool,
}

impl<R: Read> LineReader<R> {
    /// A reader of `input`. Reads nothing yet.
    pub fn new(input: R) -> Self {
        Self {
            input,
            buffer: vec![0; FIRST_CAPACITY],
            start: 0,
            end: 0,
            last_line_end: 0,
            skipping: false,
            ended: false,
        }
    }

    /// Whether [`next_line`](Self::next_line) would return a line without
    /// reading from the input.
    pub fn has_buffered_line(&self) -> bool {
        self.start < self.last_line_end
    }

    /// The next line; `None` once the input has ended. Blocks until the line is
    /// complete.
    ///
    /// # Errors
    /// Reading failed. Interrupted reads are repeated. Nothing read so far is lost,
    /// so the call may be repeated.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            if self.has_buffered_line() {
                let first = self.start;
                let after = self.find_line_end();
                self.start = after;
                return Ok(Some(self.finish_line(first, after.saturating_sub(1))));
            }
            if self.skipping || self.end - self.start > MAX_LINE {
                self.skipping = true;
                self.clear();
            }
            if self.ended {
                let (first, last) = (self.start, self.end);
                if first == last && !self.skipping {
                    return Ok(None);
                }
                self.clear();
                return Ok(Some(self.finish_line(first, last)));
            }
            self.fill()?;
        }
    }

    /// The line in `first..last`, unless it is too long.
    fn finish_line(&mut self, first: usize, last: usize) -> Line<'_> {
        let skipped = std::mem::take(&mut self.skipping);
        match self.buffer.get(first..last) {
            Some(bytes) if !skipped && bytes.len() <= MAX_LINE => Line::Complete(bytes),
            _ => Line::TooLong,
        }
    }

    /// Just after the first LF in the unread bytes, which contain one.
    fn find_line_end(&self) -> usize {
        let mut rest = self
            .buffer
            .get(self.start..self.last_line_end)
            .unwrap_or_default();
        // Uses the fast search of the standard library. Reading a slice cannot fail.
        self.start + rest.skip_until(b'\n').unwrap_or_default()
    }

    /// Empties the buffer.
    fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
        self.last_line_end = 0;
    }

    /// Reads once. The buffer must contain no complete line, and at most
    /// [`MAX_LINE`] bytes of an incomplete one.
    fn fill(&mut self) -> io::Result<()> {
        if self.end == self.buffer.len() {
            let longer = (2 * self.buffer.len()).min(CAPACITY);
            self.buffer.resize(longer, 0);
        }
        if self.start == self.end {
            // Short lines touch only the first pages, however many they are.
            self.clear();
        } else if self.start > 0 && self.end > self.buffer.len() / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            self.last_line_end = 0;
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let count = loop {
            match self.input.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.ended = count == 0;
        // Backwards, because a chunk usually ends with a complete line.
        let last = room
            .get(..count)
            .and_then(|chunk| chunk.iter().rposition(|&byte| byte == b'\n'));
        if let Some(last) = last {
            self.last_line_end = self.end + last + 1;
        }
        self.end += count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    /// Returns the data in pieces of the given lengths, repeating the last length,
    /// with an interrupted read before each.
    struct Pieces<'a> {
        data: &'a [u8],
        lengths: Vec<usize>,
        interrupt: bool,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupt = !self.interrupt;
            if self.interrupt {
                return Err(ErrorKind::Interrupted.into());
            }
            let length = match self.lengths.len() {
                1 => self.lengths[0],
                _ => self.lengths.remove(0),
            };
            let count = length.min(buffer.len()).min(self.data.len());
            buffer[..count].copy_from_slice(&self.data[..count]);
            self.data = &self.data[count..];
            Ok(count)
        }
    }

    /// All lines; `None` is one that is too long.
    fn lines(data: &[u8], lengths: &[usize]) -> Vec<Option<Vec<u8>>> {
        let mut reader = LineReader::new(Pieces {
            data,
            lengths: lengths.to_vec(),
            interrupt: false,
        });
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(match line {
                Line::Complete(bytes) => Some(bytes.to_vec()),
                Line::TooLong => None,
            });
            assert!(reader.buffer.capacity() <= CAPACITY);
        }
        assert_eq!(reader.next_line().unwrap(), None);
        assert!(!reader.has_buffered_line());
        lines
    }

    /// What [`lines`] must return, computed in the simplest way.
    fn expected(data: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut parts: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
        if parts.last().is_some_and(|last| last.is_empty()) {
            parts.pop();
        }
        parts
            .into_iter()
            .map(|part| (part.len() <= MAX_LINE).then(|| part.to_vec()))
            .collect()
    }

    #[test]
    fn splits_at_lf_only() {
        let data = b"a\r\n\nb\0\rc\n\n";
        assert_eq!(
            lines(data, &[1]),
            [&b"a\r"[..], b"", b"b\0\rc", b""].map(|line| Some(line.to_vec()))
        );
        assert_eq!(lines(b"", &[1]), []);
        assert_eq!(
            lines(b"a\nlast", &[64]),
            [Some(b"a".into()), Some(b"last".into())]
        );
    }

    #[test]
    fn accepts_a_line_at_the_limit_and_skips_a_longer_one() {
        for (length, fits) in [
            (MAX_LINE - 1, true),
            (MAX_LINE, true),
            (MAX_LINE + 1, false),
        ] {
            for tail in [&b"\nx\n"[..], b"\n", b""] {
                for piece in [777, FIRST_CAPACITY, MAX_LINE, CAPACITY] {
                    let mut data = b"first\n".to_vec();
                    data.extend(vec![b'x'; length]);
                    data.extend(tail);
                    let result = lines(&data, &[piece]);
                    assert_eq!(result, expected(&data));
                    assert_eq!(result[1].is_some(), fits);
                }
            }
        }
    }

    #[test]
    fn skips_a_huge_line_in_bounded_memory() {
        let mut reader = LineReader::new(io::repeat(b'x').take(64 << 20).chain(&b"\nnext\n"[..]));
        assert_eq!(reader.next_line().unwrap(), Some(Line::TooLong));
        assert_eq!(reader.buffer.len(), 128 << 10);
        assert_eq!(reader.next_line().unwrap(), Some(Line::Complete(b"next")));
        assert_eq!(reader.next_line().unwrap(), None);
    }

    #[test]
    fn agrees_with_a_plain_split_for_random_input() {
        let mut random = SmallRng::seed_from_u64(279);
        for _ in 0..60 {
            let mut data = Vec::new();
            for _ in 0..random.random_range(0..12) {
                let length = match random.random_range(0..4) {
                    0 => 0,
                    1 => random.random_range(0..100),
                    2 => random.random_range(MAX_LINE - 3..MAX_LINE + 4),
                    _ => random.random_range(0..3 * MAX_LINE),
                };
                data.extend((0..length).map(|_| random.random_range(11..=255u8)));
                if random.random_range(0..8) != 0 {
                    data.push(b'\n');
                }
            }
            let lengths: Vec<usize> = (0..100)
                .map(|_| random.random_range(1..5000))
                .chain([MAX_LINE])
                .collect();
            assert!(lines(&data, &lengths) == expected(&data));
        }
    }

    #[test]
    fn knows_whether_a_line_is_buffered() {
        let mut reader = LineReader::new(Pieces {
            data: b"a\nb\ncd",
            lengths: vec![5, 1],
            interrupt: false,
        });
        assert!(!reader.has_buffered_line());
        assert_eq!(reader.next_line().unwrap(), Some(Line::Complete(b"a")));
        assert!(reader.has_buffered_line());
        assert_eq!(reader.next_line().unwrap(), Some(Line::Complete(b"b")));
        assert!(!reader.has_buffered_line());
        assert_eq!(reader.next_line().unwrap(), Some(Line::Complete(b"cd")));
        assert_eq!(reader.next_line().unwrap(), None);
    }

    #[test]
    fn keeps_input_read_before_an_error() {
        struct Failing(u8);
        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                let piece: &[u8] = match self.0 {
                    1 => b"ab",
                    2 => return Err(ErrorKind::WouldBlock.into()),
                    3 => b"c\n",
                    _ => b"",
                };
                buffer[..piece.len()].copy_from_slice(piece);
                Ok(piece.len())
            }
        }
        let mut reader = LineReader::new(Failing(0));
        assert_eq!(
            reader.next_line().unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert_eq!(reader.next_line().unwrap(), Some(Line::Complete(b"abc")));
        assert_eq!(reader.next_line().unwrap(), None);
    }
}
