//! A panic is a bug; it costs the query that met it and nothing else.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use ncprop279::config::settings::Settings;
use ncprop279::door::stdio::{Streams, serve};
use ncprop279::isolation::IsolationId;
use ncprop279::log::Log;
use ncprop279::scheduler::Timekeeper;
use ncprop279::snapshot::{FetchError, Fetched, NameKey};
use ncprop279::source::{Bounds, Source, SourceReply};

/// Panics at one name and knows every other.
struct Fragile;

impl Source for Fragile {
    fn fetch(
        &self,
        _isolation: &IsolationId,
        key: &NameKey,
        _bounds: &Bounds,
    ) -> Result<SourceReply, FetchError> {
        assert_ne!(key.as_str(), "d/bug", "this panic is meant");
        let value = br#"{"ip":"93.184.216.34"}"#;
        Ok(Fetched::Value(value.as_slice().into()).into())
    }
}

/// What was written, for all who hold a clone.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_panic_costs_one_query() {
    let input = "RESOLVE 1 one.bit a\nRESOLVE 2 bug.bit a\nRESOLVE 3 bug.bit b\n\
                 RESOLVE 4 two.bit a\n";
    let output = Written::default();
    let streams = Streams {
        input: input.as_bytes(),
        output: output.clone(),
        hang_up: None,
        closed: |_| {},
    };
    serve(
        streams,
        Arc::new(Fragile).into(),
        &Settings::default(),
        Timekeeper::start().unwrap(),
        &Log::silent(),
    )
    .unwrap();
    let written = output.0.lock().unwrap();
    let mut lines: Vec<_> = std::str::from_utf8(&written).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[0], "RESOLVED 1 0 93.184.216.34");
    for (line, id) in [(lines[1], 2), (lines[2], 3)] {
        let start = format!("RESOLVED {id} 1 \"");
        assert!(line.starts_with(&start) && line.contains("a bug"), "{line}");
    }
    assert_eq!(lines[3], "RESOLVED 4 0 93.184.216.34");
}
