//! Recordings of what Tor said on its control port (`tests/data/README.md` has their
//! form).

use std::fs;
use std::path::Path;

use super::stream::{Stream, Wish, bytes};
use super::{Handle, ModelTor};

/// One line of a recording.
#[derive(Debug, Clone)]
pub enum Step {
    /// A client opened this stream.
    Opens(u64, Stream),
    /// The stream's client closed its connection.
    Leaves(u64),
    /// The recorded controller sent this.
    Sends(String),
    /// Tor sent this, one character for each byte.
    Receives(String),
}

pub struct Recording {
    /// Whether `__LeaveStreamsUnattached` was on at the beginning.
    pub leaves: bool,
    pub steps: Vec<Step>,
}

/// The recordings.
pub const ALL: [&str; 10] = [
    "controller-dies",
    "escaping",
    "forged-events",
    "leave-set-by-controller",
    "newnym",
    "pipelining",
    "redirect-attach-close",
    "stream-events",
    "traffic-flags",
    "transport",
];

impl Recording {
    pub fn read(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tor-control");
        let text = fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap();
        let mut leaves = None;
        let mut steps = Vec::new();
        for line in text.lines() {
            let (mark, rest) = line.split_at(1);
            let rest = rest.strip_prefix(' ').unwrap_or(rest);
            match mark {
                "#" => {}
                "!" => leaves = Some(rest == "leave 1"),
                "+" => steps.push(opens(rest)),
                "-" => steps.push(Step::Leaves(rest.parse().unwrap())),
                ">" => steps.push(Step::Sends(rest.to_owned())),
                "<" => steps.push(Step::Receives(rest.to_owned())),
                _ => panic!("{name}: {line}"),
            }
        }
        Self {
            leaves: leaves.unwrap(),
            steps,
        }
    }

    /// Has the clients do what they did, whatever controllers do.
    pub fn replay(&self, tor: &ModelTor) -> Vec<Handle> {
        let mut handles: Vec<Handle> = Vec::new();
        for step in &self.steps {
            match step {
                Step::Opens(id, stream) => handles.push(tor.stream_with_id(*id, stream.clone())),
                Step::Leaves(id) => {
                    let mut all = handles.iter();
                    all.find(|one| one.id == *id).unwrap().client_closes();
                }
                Step::Sends(line) if line == "SIGNAL NEWNYM" => tor.newnym(),
                Step::Sends(line) if line == "SIGNAL RELOAD" => tor.reload(),
                Step::Sends(_) | Step::Receives(_) => {}
            }
        }
        handles
    }
}

/// Reads `ID KIND "HOST" PORT` and `key=value` pairs.
fn opens(text: &str) -> Step {
    let mut words = words(text).into_iter();
    let mut next = || words.next().unwrap();
    let id = next().parse().unwrap();
    let kind = next();
    let host = bytes(&next());
    let port = next().parse().unwrap();
    let mut stream = match kind.as_str() {
        "socks5" => Stream::connect(host, port),
        "socks4" => Stream::socks4(host, port),
        "http" => Stream::http(host, port),
        "resolve" => Stream::resolve(host),
        "trans" => Stream::connect(host, port).listener("TRANS", -13),
        "A" => Stream::dns(host, Wish::A),
        "AAAA" => Stream::dns(host, Wish::Aaaa),
        _ => panic!("{text}"),
    };
    let (mut user, mut password) = (String::new(), String::new());
    for word in words {
        let (key, value) = word.split_once('=').unwrap();
        match key {
            "from" => stream = stream.from(value),
            "user" => value.clone_into(&mut user),
            "password" => value.clone_into(&mut password),
            "group" => stream = stream.group(value.parse().unwrap()),
            "fields" => stream = stream.fields(value),
            "flag" => stream = stream.forbidding(value.to_owned().leak()),
            _ => panic!("{text}"),
        }
    }
    Step::Opens(id, stream.user(bytes(&user), bytes(&password)))
}

/// Words between spaces. Quotes hold spaces, and escapes as in Rust.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let word = words.last_mut().unwrap();
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            '\\' => match rest.next().unwrap() {
                'x' => {
                    let digits: String = rest.by_ref().take(2).collect();
                    word.push(char::from(u8::from_str_radix(&digits, 16).unwrap()));
                }
                other => word.push(other),
            },
            _ => word.push(c),
        }
    }
    words
}
