//! From the bytes that Tor sends to lines, in bounded memory.

/// The longest line in bytes. Of all that Tor writes on its own, an event with
/// the headers of an HTTP request is the longest: four times 8 KiB.
pub const MAX_LINE: usize = 64 << 10;

/// Splits what arrives at CR LF or LF.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line that is not complete yet.
    rest: Vec<u8>,
    /// The line is too long and its remainder is skipped.
    is_skipping: bool,
}

impl Lines {
    /// Calls `each` with every line that is complete now, without its end. Lines
    /// longer than [`MAX_LINE`] are left out.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        let mut pieces = bytes.split(|&byte| byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let is_complete = pieces.peek().is_some();
            if !self.is_skipping && self.rest.len() + piece.len() > MAX_LINE {
                self.is_skipping = true;
                self.rest = Vec::new();
            }
            if !is_complete {
                if !self.is_skipping {
                    self.rest.extend_from_slice(piece);
                }
            } else if std::mem::take(&mut self.is_skipping) {
                // The end of a line that is too long.
            } else if self.rest.is_empty() {
                each(without_cr(piece));
            } else {
                self.rest.extend_from_slice(piece);
                let line = std::mem::take(&mut self.rest);
                each(without_cr(&line));
            }
        }
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in pieces {
            lines.feed(piece, |line| {
                found.push(String::from_utf8_lossy(line).into_owned());
            });
        }
        found
    }

    #[test]
    fn lines_end_with_lf_however_they_arrive() {
        let whole: &[u8] = b"250 OK\r\n\r\na\rb\n650 x\r\nrest";
        let expected = ["250 OK", "", "a\rb", "650 x"];
        assert_eq!(lines(&[whole]), expected);
        for cut in 0..=whole.len() {
            let (before, after) = whole.split_at(cut);
            assert_eq!(lines(&[before, after]), expected);
        }
        let bytes: Vec<_> = whole.chunks(1).collect();
        assert_eq!(lines(&bytes), expected);
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_in_bounded_memory() {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        let long = vec![b'x'; MAX_LINE];
        lines.feed(&long, |line| found.push(line.len()));
        lines.feed(b"\r\n", |line| found.push(line.len()));
        for _ in 0..100 {
            lines.feed(&long, |line| found.push(line.len()));
            assert!(lines.rest.capacity() <= 2 * MAX_LINE);
        }
        lines.feed(b"x\r\nok\r\n", |line| found.push(line.len()));
        // CR counts, too.
        assert_eq!(found, [2]);
    }
}
