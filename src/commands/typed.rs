//! Lines that a person types into the plugin, which a naming client writes
//! otherwise.

use std::io::{self, Read};

use crate::door::stdio::request::Request;

/// What to say where the plugin begins to read from a terminal.
pub const WELCOME: &str = "requests of a naming client are awaited on this terminal; to look a \
                           name up write RESOLVE 1 NAME, or end this with Ctrl-D and write \
                           ncprop279 resolve NAME";

/// What to say of a line that is no request.
pub const HINT: &str = "that line is no request and was ignored; write RESOLVE 1 NAME, or end \
                        this with Ctrl-D and see ncprop279 --help";

/// Input from a terminal, with a hint for each line that is no request. (The
/// protocol has a plugin ignore what it does not know.)
pub struct Typed<R, H> {
    input: R,
    hint: H,
}

impl<R: Read, H: FnMut(&str)> Typed<R, H> {
    /// Reads from a terminal and gives hints.
    pub fn new(input: R, hint: H) -> Self {
        Self { input, hint }
    }
}

impl<R: Read, H: FnMut(&str)> Read for Typed<R, H> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        // A terminal gives a line for each read.
        let typed = buffer.get(..count).unwrap_or_default().trim_ascii();
        if !typed.is_empty() && Request::parse(typed) == Request::Ignored {
            (self.hint)(HINT);
        }
        Ok(count)
    }
}
