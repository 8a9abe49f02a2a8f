//! Reads the cases. `tests/conformance/README.md` describes their form.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use serde::Deserialize;

use super::support::node::Reply;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    names: BTreeMap<String, RawReplies>,
    #[serde(default)]
    case: Vec<RawCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    title: String,
    requirements: Vec<String>,
    #[serde(default)]
    node: Dialect,
    heights: Option<(i64, i64)>,
    timeout: Option<f64>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    names: BTreeMap<String, RawReplies>,
    #[serde(default)]
    held: Vec<String>,
    init: Option<String>,
    #[serde(default)]
    at_once: bool,
    #[serde(default)]
    deaf: bool,
    #[serde(default)]
    steps: Vec<RawStep>,
    #[serde(default)]
    expect: Vec<RawLine>,
    #[serde(default)]
    order: Vec<Vec<String>>,
    #[serde(default)]
    never: Vec<String>,
    #[serde(default)]
    counts: Vec<Count>,
    #[serde(default)]
    init_first: bool,
    #[serde(default)]
    messages_only: bool,
    #[serde(default)]
    stderr_never: Vec<String>,
    #[serde(default)]
    requests: Vec<Asked>,
    exit: Option<i32>,
    exit_within: Option<f64>,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    #[default]
    Core,
    Electrum,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawReplies {
    One(RawReply),
    Many(Vec<RawReply>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawReply {
    Value(String),
    Table(Box<ReplyTable>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyTable {
    value: Option<String>,
    value_hex: Option<String>,
    expired_value: Option<String>,
    error: Option<String>,
    code: Option<i64>,
    http: Option<u16>,
    body: Option<String>,
    #[serde(default)]
    close: bool,
    #[serde(default)]
    cut: bool,
    #[serde(default)]
    silent: bool,
    delay: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    send: Option<Texts>,
    send_raw: Option<String>,
    send_hex: Option<String>,
    wait: Option<Texts>,
    wait_request: Option<Awaited>,
    release: Option<String>,
    set: Option<BTreeMap<String, RawReplies>>,
    close: Option<Stream>,
    signal: Option<Signal>,
    pause: Option<f64>,
    times: Option<usize>,
    within: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawLine {
    Pattern(String),
    Any(AnyOf),
    Numbered(Numbered),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyOf {
    any: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbered {
    line: String,
    times: usize,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    Stdin,
    Stdout,
}

#[derive(Deserialize, Clone, Copy, Debug)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    Term,
    Int,
}

/// How many lines match a pattern.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    pub line: String,
    pub count: usize,
}

/// Requests to wait for.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Awaited {
    pub name: Option<String>,
    pub id: Option<String>,
    #[serde(default = "one")]
    pub count: usize,
}

fn one() -> usize {
    1
}

/// How often the node was asked.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    pub name: Option<String>,
    pub id: Option<String>,
    pub count: Option<usize>,
    pub min: Option<usize>,
    pub max: Option<usize>,
}

pub type Script = BTreeMap<String, Vec<Reply>>;

pub struct Case {
    pub group: String,
    pub name: String,
    pub title: String,
    pub requirements: Vec<String>,
    pub dialect: Dialect,
    pub heights: (i64, i64),
    pub timeout: Duration,
    pub env: BTreeMap<String, String>,
    pub names: Script,
    pub held: Vec<String>,
    pub init: String,
    pub at_once: bool,
    pub deaf: bool,
    pub steps: Vec<Step>,
    /// For each line the patterns of which it matches one.
    pub expect: Vec<Vec<String>>,
    pub order: Vec<Vec<String>>,
    pub never: Vec<String>,
    pub counts: Vec<Count>,
    pub init_first: bool,
    pub messages_only: bool,
    pub stderr_never: Vec<String>,
    pub requests: Vec<Asked>,
    pub exit: Option<i32>,
    pub exit_within: Option<Duration>,
}

pub enum Step {
    Send(Vec<u8>),
    Wait(Vec<Vec<String>>, Option<Duration>),
    WaitRequest(Awaited),
    Release(String),
    Set(Script),
    Close(Stream),
    Signal(Signal),
    Pause(Duration),
}

/// All cases of `tests/conformance/`, by their files and in their order.
pub fn read_all() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let group = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        cases.extend(read(group, &text).unwrap_or_else(|why| panic!("{group}.toml: {why}")));
    }
    let mut names = HashSet::new();
    for case in &cases {
        assert!(names.insert(&case.name), "{} is used twice", case.name);
    }
    cases
}

/// The cases of one file.
pub fn read(group: &str, text: &str) -> Result<Vec<Case>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let shared = script(file.names)?;
    let cases = file.case.into_iter();
    cases
        .map(|raw| {
            let name = raw.name.clone();
            case(group, raw, &shared).map_err(|why| format!("{name}: {why}"))
        })
        .collect()
}

fn case(group: &str, raw: RawCase, shared: &Script) -> Result<Case, String> {
    let is_name = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if raw.name.is_empty() || !raw.name.bytes().all(is_name) {
        return Err("not a name".into());
    }
    if raw.title.is_empty() || raw.requirements.is_empty() {
        return Err("title or requirements are empty".into());
    }
    if raw.exit_within.is_some() && raw.exit.is_none() {
        return Err("exit_within goes with exit".into());
    }
    for asked in &raw.requests {
        if asked.count.is_some() == (asked.min.is_some() || asked.max.is_some()) {
            return Err(format!("{asked:?} has neither or both of count and bounds"));
        }
    }
    let mut names = shared.clone();
    names.extend(script(raw.names)?);
    Ok(Case {
        group: group.into(),
        name: raw.name,
        title: raw.title,
        requirements: raw.requirements,
        dialect: raw.node,
        heights: raw.heights.unwrap_or((250, 250)),
        timeout: seconds(raw.timeout.unwrap_or(3.0))?,
        env: raw.env,
        names,
        held: raw.held,
        init: raw.init.unwrap_or_else(|| "INIT 1 0".into()),
        at_once: raw.at_once,
        deaf: raw.deaf,
        steps: raw.steps.into_iter().map(step).collect::<Result<_, _>>()?,
        expect: raw.expect.into_iter().flat_map(expected).collect(),
        order: raw.order,
        never: raw.never,
        counts: raw.counts,
        init_first: raw.init_first,
        messages_only: raw.messages_only,
        stderr_never: raw.stderr_never,
        requests: raw.requests,
        exit: raw.exit,
        exit_within: raw.exit_within.map(seconds).transpose()?,
    })
}

fn seconds(number: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number).map_err(|why| why.to_string())
}

fn expected(line: RawLine) -> Vec<Vec<String>> {
    match line {
        RawLine::Pattern(pattern) => vec![vec![pattern]],
        RawLine::Any(patterns) => vec![patterns.any],
        RawLine::Numbered(Numbered { line, times }) => (1..=times)
            .map(|n| vec![line.replace("{n}", &n.to_string())])
            .collect(),
    }
}

fn step(raw: RawStep) -> Result<Step, String> {
    let is_sent = raw.send.is_some() || raw.send_raw.is_some();
    if raw.times.is_some() && !is_sent {
        return Err("a step that cannot be repeated".into());
    }
    if raw.within.is_some() && raw.wait.is_none() {
        return Err("a step that waits for nothing".into());
    }
    let lines = |texts: Texts| -> String {
        let lines = texts.into_list().into_iter();
        lines.map(|line| line + "\n").collect()
    };
    let within = raw.within.map(seconds).transpose()?;
    let one_each = |patterns: Texts| patterns.into_list().into_iter().map(|one| vec![one]);
    let kinds = [
        raw.send.map(|texts| send(&lines(texts), raw.times)),
        raw.send_raw.map(|text| send(&text, raw.times)),
        raw.send_hex
            .as_deref()
            .map(unhex)
            .transpose()?
            .map(Step::Send),
        raw.wait
            .map(|all| Step::Wait(one_each(all).collect(), within)),
        raw.wait_request.map(Step::WaitRequest),
        raw.release.map(Step::Release),
        raw.set.map(script).transpose()?.map(Step::Set),
        raw.close.map(Step::Close),
        raw.signal.map(Step::Signal),
        raw.pause.map(seconds).transpose()?.map(Step::Pause),
    ];
    let mut kinds: Vec<_> = kinds.into_iter().flatten().collect();
    match (kinds.pop(), kinds.is_empty()) {
        (Some(step), true) => Ok(step),
        _ => Err("a step is not exactly one step".into()),
    }
}

fn send(text: &str, times: Option<usize>) -> Step {
    let Some(times) = times else {
        return Step::Send(text.into());
    };
    let all: String = (1..=times)
        .map(|n| text.replace("{n}", &n.to_string()))
        .collect();
    Step::Send(all.into())
}

fn unhex(digits: &str) -> Result<Vec<u8>, String> {
    HEX.decode(digits.as_bytes()).map_err(|why| why.to_string())
}

fn script(raw: BTreeMap<String, RawReplies>) -> Result<Script, String> {
    raw.into_iter()
        .map(|(name, replies)| Ok((name, self::replies(replies)?)))
        .collect()
}

fn replies(raw: RawReplies) -> Result<Vec<Reply>, String> {
    let all = match raw {
        RawReplies::One(one) => vec![one],
        RawReplies::Many(many) => many,
    };
    if all.is_empty() {
        return Err("a name without a reply".into());
    }
    all.into_iter().map(reply).collect()
}

fn reply(raw: RawReply) -> Result<Reply, String> {
    let raw = match raw {
        RawReply::Value(text) => return Ok(Reply::Value(text.into())),
        RawReply::Table(table) => *table,
    };
    if raw.error.is_some() != raw.code.is_some() || (raw.body.is_some() && raw.http.is_none()) {
        return Err("a reply lacks a part".into());
    }
    let body = raw.body.unwrap_or_default();
    let kinds = [
        raw.value.map(|text| Reply::Value(text.into())),
        raw.value_hex
            .as_deref()
            .map(unhex)
            .transpose()?
            .map(Reply::Value),
        raw.expired_value
            .map(|text| Reply::ExpiredValue(text.into())),
        // The node of these tests keeps texts for ever.
        raw.error
            .zip(raw.code)
            .map(|(text, code)| Reply::Error(code, text.leak())),
        raw.http
            .map(|code| Reply::Http(format!("{code} Unheard Of").leak(), body)),
        raw.close.then_some(Reply::Close),
        raw.cut.then_some(Reply::Half),
        raw.silent.then_some(Reply::Hang),
    ];
    let mut kinds: Vec<_> = kinds.into_iter().flatten().collect();
    let (Some(reply), true) = (kinds.pop(), kinds.is_empty()) else {
        return Err("a reply is not exactly one reply".into());
    };
    Ok(match raw.delay {
        Some(delay) => Reply::Late(seconds(delay)?, Box::new(reply)),
        None => reply,
    })
}
