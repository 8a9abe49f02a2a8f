//! The commands of a controller, and Tor's replies to them.

use super::model::{LEAVE, Model, When};
use super::stream::{bytes, latin1};

const EVENTS: [&str; 7] = [
    "STREAM",
    "SIGNAL",
    "CONF_CHANGED",
    "ADDRMAP",
    "CIRC",
    "NOTICE",
    "STATUS_CLIENT",
];

/// Whether the connection goes on.
pub(super) enum Turn {
    GoesOn,
    Closes,
    /// The command is to be given again after a pause.
    Pauses,
}

/// Carries out one command. Replies are queued.
pub(super) fn answer(model: &mut Model, who: usize, line: &str) -> Turn {
    let place = model.script.iter().position(|(prefix, _)| {
        let rest = line.strip_prefix(prefix.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    });
    if let Some((_, when)) = place.and_then(|place| model.script.remove(place)) {
        let named = line.split(' ').nth(1).and_then(|id| model.find(id));
        match when {
            When::ClientLeaves => {
                named.into_iter().for_each(|at| model.client_leaves(at));
            }
            When::AnotherAttaches => {
                if let Some(at) = named {
                    let _ = model.go_ahead(at, None);
                }
            }
            When::Replies(text) => {
                record(model, who, line);
                return reply(model, who, text);
            }
            When::Writes(bytes) => model.controllers[who].out.extend(bytes),
            When::Pauses => {
                model.paused = true;
                return Turn::Pauses;
            }
            When::OpensBehind(stream) => model.opens_behind = Some(stream),
            When::HangsUp => return Turn::Closes,
        }
    }
    record(model, who, line);
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let word = word.to_ascii_uppercase();
    if !model.controllers[who].authenticated {
        return before_authentication(model, who, &word, rest);
    }
    match word.as_str() {
        "PROTOCOLINFO" => {
            let lines = model.controllers[who].auth.protocolinfo();
            write(model, who, lines.as_bytes());
            Turn::GoesOn
        }
        "QUIT" => {
            reply(model, who, "250 closing connection");
            Turn::Closes
        }
        "GETCONF" => getconf(model, who, rest),
        "SETCONF" => setconf(model, who, rest),
        "RESETCONF" => {
            reply(model, who, "250 OK");
            if rest == LEAVE {
                model.set(LEAVE, "0");
            }
            Turn::GoesOn
        }
        "SETEVENTS" => setevents(model, who, rest),
        "GETINFO" => getinfo(model, who, rest),
        "SIGNAL" => signal(model, who, rest),
        "REDIRECTSTREAM" | "ATTACHSTREAM" | "CLOSESTREAM" => on_stream(model, who, &word, rest),
        _ => {
            model.violate(format!("controller {who} sent {line:?}"));
            reply(model, who, &format!("510 Unrecognized command \"{word}\""))
        }
    }
}

fn record(model: &mut Model, who: usize, line: &str) {
    model.controllers[who].commands.push(line.to_owned());
    model.commands.push((who, line.to_owned()));
    model.transcript.push(format!("{who} > {line}"));
}

fn write(model: &mut Model, who: usize, bytes: &[u8]) {
    model.controllers[who].out.extend(bytes);
}

fn reply(model: &mut Model, who: usize, line: &str) -> Turn {
    write(model, who, format!("{line}\r\n").as_bytes());
    Turn::GoesOn
}

fn before_authentication(model: &mut Model, who: usize, word: &str, rest: &str) -> Turn {
    let controller = &mut model.controllers[who];
    match word {
        "PROTOCOLINFO" if !controller.asked_for_protocolinfo => {
            controller.asked_for_protocolinfo = true;
            let lines = controller.auth.protocolinfo();
            write(model, who, lines.as_bytes());
            Turn::GoesOn
        }
        "AUTHCHALLENGE" => {
            let (line, goes_on) = controller.auth.challenge(rest);
            write(model, who, line.as_bytes());
            if goes_on { Turn::GoesOn } else { Turn::Closes }
        }
        "AUTHENTICATE" => match controller.auth.refusal(rest) {
            None => {
                controller.authenticated = true;
                reply(model, who, "250 OK")
            }
            Some(why) => {
                reply(model, who, &format!("515 Authentication failed: {why}"));
                Turn::Closes
            }
        },
        "QUIT" => {
            reply(model, who, "250 closing connection");
            Turn::Closes
        }
        _ => {
            reply(model, who, "514 Authentication required.");
            Turn::Closes
        }
    }
}

/// Replies to a command that asks for several things, in Tor's way.
fn lines(model: &mut Model, who: usize, lines: &[String]) -> Turn {
    for (at, line) in lines.iter().enumerate() {
        let separator = if at + 1 == lines.len() { ' ' } else { '-' };
        reply(model, who, &line.replacen(' ', &separator.to_string(), 1));
    }
    Turn::GoesOn
}

fn getconf(model: &mut Model, who: usize, rest: &str) -> Turn {
    let mut known = Vec::new();
    let mut unknown = Vec::new();
    for word in rest.split_whitespace() {
        let option = model.options.iter();
        match option
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(word))
        {
            Some((key, value)) => known.push(format!("250 {key}={value}")),
            None => unknown.push(format!("552 Unrecognized configuration key \"{word}\"")),
        }
    }
    let said = if unknown.is_empty() { known } else { unknown };
    lines(model, who, &said)
}

fn setconf(model: &mut Model, who: usize, rest: &str) -> Turn {
    match rest.split_once('=') {
        Some((key, value)) if key.eq_ignore_ascii_case(LEAVE) => {
            reply(model, who, "250 OK");
            model.set(LEAVE, value);
        }
        _ => {
            model.violate(format!("controller {who} sent SETCONF {rest}"));
            reply(model, who, "250 OK");
        }
    }
    Turn::GoesOn
}

fn setevents(model: &mut Model, who: usize, rest: &str) -> Turn {
    let events: Vec<_> = rest
        .split_whitespace()
        .map(str::to_ascii_uppercase)
        .collect();
    match events.iter().find(|one| !EVENTS.contains(&one.as_str())) {
        Some(event) => reply(model, who, &format!("552 Unrecognized event \"{event}\"")),
        None => {
            model.controllers[who].events = events;
            reply(model, who, "250 OK")
        }
    }
}

fn getinfo(model: &mut Model, who: usize, rest: &str) -> Turn {
    let mut said = Vec::new();
    let mut unknown = Vec::new();
    for key in rest.split_whitespace() {
        match key {
            "version" => said.extend(b"250-version=0.4.9.11\r\n"),
            "stream-status" => said.extend(data(key, &model.stream_status())),
            // Virtual addresses count as made by controllers.
            "address-mappings/all" | "address-mappings/control" => {
                let mappings = model.mappings.iter();
                let lines = mappings.map(|(from, to)| bytes(&format!("{from} {to} NEVER")));
                let lines: Vec<_> = lines.collect();
                said.extend(data(key, &lines));
            }
            _ => unknown.push(format!("552 Unrecognized key \"{key}\"")),
        }
    }
    if !unknown.is_empty() {
        return lines(model, who, &unknown);
    }
    said.extend(b"250 OK\r\n");
    write(model, who, &said);
    Turn::GoesOn
}

/// A value of GETINFO: in its line, or below it if it has several.
fn data(key: &str, lines: &[Vec<u8>]) -> Vec<u8> {
    let value = lines.join(&b"\r\n"[..]);
    if !value.contains(&b'\r') && !value.contains(&b'\n') {
        return [format!("250-{key}=").as_bytes(), &value, b"\r\n"].concat();
    }
    let mut out = format!("250+{key}=\r\n").into_bytes();
    for line in value.split(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend(b"\r\n");
    }
    out.extend(b".\r\n");
    out
}

fn signal(model: &mut Model, who: usize, rest: &str) -> Turn {
    reply(model, who, "250 OK");
    match rest {
        "RELOAD" => model.reload(),
        "NEWNYM" => model.newnym(),
        _ => model.event("SIGNAL", format!("650 SIGNAL {rest}\r\n").as_bytes()),
    }
    Turn::GoesOn
}

fn on_stream(model: &mut Model, who: usize, word: &str, rest: &str) -> Turn {
    let words: Vec<_> = rest.split_whitespace().collect();
    let [id, second, more @ ..] = &words[..] else {
        let text = format!("512 Bad arguments to {word}: Need at least 2 argument(s)");
        return reply(model, who, &text);
    };
    let Some(at) = model.find(id) else {
        return reply(model, who, &format!("552 Unknown stream \"{id}\""));
    };
    match word {
        "REDIRECTSTREAM" => {
            let port = more.first().map(|text| text.parse::<u16>());
            if let Some(Err(_)) = port {
                let text = format!("512 Cannot parse port \"{}\"", more[0]);
                return reply(model, who, &text);
            }
            model.redirect(who, at, second, port.and_then(Result::ok));
            reply(model, who, "250 OK")
        }
        "ATTACHSTREAM" if *second != "0" => {
            reply(model, who, &format!("552 Unknown circuit \"{second}\""))
        }
        "ATTACHSTREAM" if !model.streams[at].waiting => {
            reply(model, who, "555 Connection is not managed by controller.")
        }
        "ATTACHSTREAM" => {
            if model.was_redirected_just_now(at) {
                let id = model.streams[at].id;
                model.violate(format!(
                    "controller {who} attached stream {id} without awaiting the reply of \
                     REDIRECTSTREAM"
                ));
            }
            if model.go_ahead(at, Some(who)) {
                reply(model, who, "250 OK")
            } else {
                reply(model, who, "551 Unable to attach stream")
            }
        }
        _ => {
            let Ok(number) = second.parse() else {
                let text = format!("552 Unrecognized reason \"{second}\"");
                return reply(model, who, &text);
            };
            reply(model, who, "250 OK");
            model.close(at, &reason(number));
            Turn::GoesOn
        }
    }
}

fn reason(number: u16) -> String {
    let known = [
        "MISC",
        "RESOLVEFAILED",
        "CONNECTREFUSED",
        "EXITPOLICY",
        "DESTROY",
        "DONE",
        "TIMEOUT",
        "NOROUTE",
        "HIBERNATING",
        "INTERNAL",
        "RESOURCELIMIT",
        "CONNRESET",
        "TORPROTOCOL",
        "NOTDIRECTORY",
    ];
    let name = usize::from(number)
        .checked_sub(1)
        .and_then(|at| known.get(at));
    name.map_or_else(|| format!(" UNKNOWN_{number}"), |&name| name.to_owned())
}

/// A line as text, one character for each byte.
pub(super) fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    latin1(line.strip_suffix(b"\r").unwrap_or(line))
}
