//! A terminal for the standard error of a child, and what it shows.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// The side of a terminal that its user sees.
pub struct Terminal {
    reader: JoinHandle<Vec<u8>>,
    columns: usize,
}

/// What a terminal has shown.
#[derive(Debug)]
pub struct Shown {
    /// What was written, in order.
    pub written: String,
    /// Each state that a line had before it was changed or left.
    pub states: Vec<String>,
    /// The lines that are left in the end.
    pub lines: Vec<String>,
}

impl Terminal {
    /// A terminal with so many columns, and what a child is to write to.
    pub fn new(columns: u16) -> (Self, OwnedFd) {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        let path = ptsname(&user, Vec::new()).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&user, size).unwrap();
        let child = File::options()
            .read(true)
            .write(true)
            .open(path.to_str().unwrap())
            .unwrap();
        let reader = thread::spawn(move || {
            let mut written = Vec::new();
            // It ends with an error when the last writer is gone.
            let _ = File::from(user).read_to_end(&mut written);
            written
        });
        let columns = columns.into();
        (Self { reader, columns }, child.into())
    }

    /// What it shows once nobody writes to it any more. Lines that begin with
    /// the name of the program may be as long as they like.
    pub fn shown(self) -> Shown {
        let written = self.reader.join().unwrap();
        let written = String::from_utf8(written).unwrap();
        let (mut lines, mut states) = (vec![String::new()], Vec::new());
        let (mut row, mut column) = (0, 0);
        let mut rest = written.chars();
        while let Some(c) = rest.next() {
            if matches!(c, '\r' | '\n' | '\x1b') {
                states.push(lines[row].clone());
            }
            match c {
                '\r' => column = 0,
                '\n' => {
                    row += 1;
                    lines.resize(lines.len().max(row + 1), String::new());
                }
                '\x1b' => {
                    assert_eq!(rest.next(), Some('['), "{written:?}");
                    let mut number = String::new();
                    let command = loop {
                        match rest.next().unwrap() {
                            digit @ '0'..='9' => number.push(digit),
                            command => break command,
                        }
                    };
                    let number = number.parse().unwrap_or(1);
                    match command {
                        'A' => row -= number,
                        'B' => row += number,
                        'K' => lines[row].clear(),
                        // Colours.
                        'm' => {}
                        _ => panic!("{command:?} in {written:?}"),
                    }
                }
                c => {
                    assert!(c.is_ascii_graphic() || c == ' ', "{c:?} in {written:?}");
                    let line = &mut lines[row];
                    assert_eq!(line.len(), column, "{c:?} into {line:?}");
                    line.push(c);
                    column += 1;
                    let is_long = column > self.columns && !line.starts_with("ncprop279: ");
                    assert!(!is_long, "{line:?} is wider than the terminal");
                }
            }
        }
        Shown {
            written,
            states,
            lines,
        }
    }
}
