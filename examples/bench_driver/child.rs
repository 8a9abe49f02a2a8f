//! The program that is measured.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use crate::Outcome;

/// A running program.
pub struct Child {
    process: std::process::Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    line: Vec<u8>,
}

impl Child {
    /// Starts a program. Its stderr is ours.
    pub fn start(command: &[String]) -> Outcome<Self> {
        let (program, arguments) = command.split_first().ok_or("no program is given")?;
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take();
        let output = process.stdout.take().ok_or("the program has no output")?;
        Ok(Self {
            process,
            input,
            output: BufReader::new(output),
            line: Vec::new(),
        })
    }

    fn read(&mut self) -> Outcome<&[u8]> {
        self.line.clear();
        self.output.read_until(b'\n', &mut self.line)?;
        Ok(&self.line)
    }

    /// Waits until the program is ready.
    pub fn ready(&mut self) -> Outcome<()> {
        match self.read()? {
            b"INIT 1 0\n" => Ok(()),
            other => Err(format!("no INIT: {:?}", String::from_utf8_lossy(other)).into()),
        }
    }

    /// Asks one query, and waits for its answer: a success, or the echo of the
    /// query.
    pub fn turn(&mut self, query: &str) -> Outcome<()> {
        let input = self.input.as_mut().ok_or("the input is elsewhere")?;
        input.write_all(query.as_bytes())?;
        let answer = self.read()?;
        let mut words = answer.split(|octet| *octet == b' ');
        let good = match words.next() {
            Some(b"RESOLVED") => words.nth(1) == Some(b"0"),
            _ => answer == query.as_bytes(),
        };
        if good {
            return Ok(());
        }
        let answer = String::from_utf8_lossy(answer);
        Err(format!("{query:?} was answered with {answer:?}").into())
    }

    /// Both streams; the input is taken away.
    pub fn streams(&mut self) -> Outcome<(ChildStdin, &mut BufReader<ChildStdout>)> {
        let input = self.input.take().ok_or("the input is elsewhere")?;
        Ok((input, &mut self.output))
    }

    /// Gives the input back.
    pub fn take_back(&mut self, input: ChildStdin) {
        self.input = Some(input);
    }

    /// Resident memory in KiB (Linux).
    pub fn resident(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let size = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(size.ok_or("no VmRSS")?.parse()?)
    }

    /// Closes the input and waits for the end.
    pub fn finish(mut self) -> Outcome<()> {
        drop(self.input.take());
        self.process.wait()?;
        Ok(())
    }
}
