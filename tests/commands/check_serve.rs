//! `ncprop279 check serve` in front of Tor, of what is not Tor, and with ports
//! that are taken.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use serde_json::Value;

use crate::support::plugin::{Plugin, Start};
use crate::support::run::{self, Outcome};
use crate::support::socks::{nobody, useless};

const NAMES: &str = "--names-file=examples/names.json";

/// What listens at `--proxy`.
#[derive(Clone, Copy)]
struct Port {
    /// What it answers to a browser.
    page: &'static str,
    /// What it answers to credentials.
    login: [u8; 2],
    /// What it answers to RESOLVE; nothing at all if it is empty.
    resolved: &'static [u8],
}

const TOR: Port = Port {
    page: "HTTP/1.0 501 Tor is not an HTTP Proxy\r\n\r\n",
    login: [1, 0],
    resolved: &[5, 0, 0, 1, 127, 0, 0, 1, 0, 0],
};

/// An answer to a command that is not known.
const UNKNOWN: &[u8] = &[5, 7, 0, 1, 0, 0, 0, 0, 0, 0];

impl Port {
    fn start(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || self.serve(stream));
            }
        });
        address
    }

    fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut greeting = [0; 3];
        stream.read_exact(&mut greeting)?;
        if greeting != [5, 1, 2] {
            return stream.write_all(self.page.as_bytes());
        }
        stream.write_all(&[5, 2])?;
        // A user name and a password of one byte.
        let mut login = [0; 13];
        stream.read_exact(&mut login)?;
        assert_eq!(login, *b"\x01\x09<torS0X>0\x010");
        stream.write_all(&self.login)?;
        let mut request = [0; 10];
        stream.read_exact(&mut request)?;
        // Nothing that would leave the machine.
        assert_eq!(request, [5, 0xF0, 0, 1, 127, 0, 0, 1, 0, 0]);
        match self.resolved {
            [] => stream.read_to_end(&mut Vec::new()).map(drop),
            reply => stream.write_all(reply),
        }
    }
}

fn check(proxy: &str, more: &[&str]) -> Outcome {
    let port = format!("--proxy={proxy}");
    run::with(&[&["check", "serve", NAMES, &port], more].concat())
}

/// Label, health and text of each finding between the source's and the result.
fn findings(end: &Outcome) -> Vec<String> {
    assert!(end.stdout.iter().all(|line| line.len() <= 80), "{end:#?}");
    let text = end.stdout.join("\n");
    let whole = text.replace("\n                  ", " ");
    let lines: Vec<_> = whole.lines().map(str::to_owned).collect();
    let (result, lines) = lines.split_last().unwrap();
    let works = end.code == Some(0);
    let expected = if works { "ok" } else { "FAIL" };
    assert!(
        result.starts_with(&format!("result      {expected}")),
        "{end:#?}"
    );
    assert!(lines[0].starts_with("source") && lines[1].starts_with("names file"));
    let words = |line: &String| line.split_whitespace().collect::<Vec<_>>().join(" ");
    lines[2..].iter().map(words).collect()
}

/// `ncprop279 serve` at a port of its own; with its address.
fn serve() -> (Plugin, String) {
    let plugin = Start::new(&["serve", NAMES, "--socks-listen=127.0.0.1:0"]).spawn();
    let line = plugin.complaint("listening for SOCKS");
    let rest = line.split(" on ").nth(1).unwrap();
    let address = rest.split(';').next().unwrap().to_owned();
    (plugin, address)
}

#[test]
fn tor_and_a_free_port_are_ok() {
    let end = check(&TOR.start(), &["--socks-listen=127.0.0.1:0"]);
    let found = findings(&end);
    assert_eq!(found.len(), 2, "{end:#?}");
    assert!(found[0].starts_with("Tor ok 127.0.0.1:"), "{end:#?}");
    assert!(found[0].contains("cannot be tested from here"), "{end:#?}");
    assert_eq!(found[1], "listener ok 127.0.0.1:0 is free for clients");
    assert!(end.text().contains("names are looked up in "), "{end:#?}");

    let end = check(&TOR.start(), &["--socks-listen=127.0.0.1:0", "--json"]);
    let object: Value = serde_json::from_str(&end.stdout[0]).unwrap();
    let labels = object["findings"].as_array().unwrap().iter();
    let labels: Vec<_> = labels.map(|one| one["label"].as_str().unwrap()).collect();
    assert_eq!(
        labels,
        ["source", "names file", "Tor", "listener", "result"]
    );
    assert_eq!(object["works"], true);
}

#[test]
fn what_is_not_quite_tor_is_named() {
    let no_page = "HTTP/1.1 400 Bad Request\r\n\r\n";
    let ours = "HTTP/1.0 200 OK\r\n\r\nThis is the SOCKS port of ncprop279.";
    for (port, found, works) in [
        // Another implementation of Tor, or another wording.
        (
            Port {
                page: no_page,
                ..TOR
            },
            "Tor ok",
            true,
        ),
        (
            Port {
                resolved: UNKNOWN,
                ..TOR
            },
            "Tor ok",
            true,
        ),
        (
            Port {
                page: no_page,
                resolved: UNKNOWN,
                ..TOR
            },
            "Tor warn 127.0.0.1:# is a SOCKS5 proxy, but probably not Tor -> set --proxy",
            true,
        ),
        (
            Port {
                page: no_page,
                resolved: &[],
                ..TOR
            },
            "Tor warn 127.0.0.1:# is a SOCKS5 proxy, but probably not Tor -> set --proxy",
            true,
        ),
        (
            Port {
                resolved: &[],
                ..TOR
            },
            "Tor FAIL 127.0.0.1:# is Tor's SOCKS port, but Tor leaves requests unanswered -> \
             start the naming client",
            false,
        ),
        (
            Port {
                login: [1, 1],
                ..TOR
            },
            "Tor warn 127.0.0.1:# refuses the user name <torS0X>0",
            true,
        ),
        (
            Port { page: ours, ..TOR },
            "Tor FAIL 127.0.0.1:# is the port of an ncprop279, not Tor's -> start Tor",
            false,
        ),
    ] {
        let address = port.start();
        let end = check(&address, &["--socks-listen=127.0.0.1:0"]);
        let line = findings(&end)[0].replace(&address, "127.0.0.1:#");
        assert!(line.starts_with(found), "{found}: {end:#?}");
        assert_eq!(end.code == Some(0), works, "{end:#?}");
    }
    // Not only our stand-in has that page.
    let (serving, address) = serve();
    let end = check(&address, &["--socks-listen=127.0.0.1:0"]);
    assert!(
        findings(&end)[0].contains("is the port of an ncprop279"),
        "{end:#?}"
    );
    drop(serving);
}

#[test]
fn a_port_that_is_no_use_fails_once() {
    for (proxy, words) in useless() {
        let end = check(&proxy, &["--socks-listen=127.0.0.1:0"]);
        let found = findings(&end);
        assert!(found[0].starts_with("Tor FAIL"), "{proxy}: {end:#?}");
        assert!(
            found[0].contains(words) && found[0].contains("start Tor"),
            "{end:#?}"
        );
        assert_eq!(end.code, Some(1), "{end:#?}");
    }
    // Electrum's source has tried the same port.
    let end = run::with(&[
        "check",
        "serve",
        "--backend=electrum",
        "--proxy=127.0.0.1:1",
    ]);
    let proxies = end.stdout.iter().filter(|line| line.starts_with("proxy"));
    assert_eq!(proxies.count(), 1, "{end:#?}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let tor = TOR.start();
    let (serving, address) = serve();
    let end = check(&tor, &["--socks-listen", &address]);
    let expected = format!("listener warn ncprop279 is already running at {address}");
    assert!(findings(&end)[1].starts_with(&expected), "{end:#?}");
    assert_eq!(end.code, Some(0), "{end:#?}");
    drop(serving);

    // Another program, and the first of two that would do.
    let other = TOR.start();
    let end = check(
        &tor,
        &["--socks-listen=127.0.0.1:0", "--socks-listen", &other],
    );
    let found = findings(&end);
    assert!(found[1].starts_with("listener ok"), "{end:#?}");
    let expected = format!("listener FAIL another program listens on {other} -> ");
    assert!(found[2].starts_with(&expected), "{end:#?}");
    assert_eq!(end.code, Some(1), "{end:#?}");
}

#[test]
fn unix_sockets_are_examined_and_left_alone() {
    let tor = TOR.start();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    drop(UnixListener::bind(at("dead")).unwrap());
    let _live = UnixListener::bind(at("live")).unwrap();
    fs::write(at("file"), "").unwrap();
    let listener = |path: &Path| {
        let address = format!("unix:{}", path.display());
        let end = check(&tor, &["--socks-listen", &address]);
        findings(&end)[1].replace(&address, "#")
    };
    for (name, found) in [
        ("new", "listener ok # is free"),
        ("dead", "listener ok # is free"),
        ("live", "listener FAIL another program listens on #"),
        ("file", "listener FAIL # cannot be listened on"),
        ("no/where", "listener FAIL # cannot be listened on"),
    ] {
        let line = listener(&at(name));
        assert!(line.starts_with(found), "{line}");
    }
    let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().flatten().collect();
    left.sort_by_key(fs::DirEntry::file_name);
    let left: Vec<_> = left.iter().map(fs::DirEntry::file_name).collect();
    assert_eq!(left, ["dead", "file", "live"]);
}

#[test]
fn only_the_word_serve_has_ports_tested() {
    let end = run::with(&["check", NAMES]);
    assert_eq!(end.code, Some(0), "{end:#?}");
    assert!(!end.says("listener") && !end.says("proxy"), "{end:#?}");
    let end = run::with(&["check", NAMES, "hunter2"]);
    assert_eq!(end.code, Some(1), "{end:#?}");
    assert!(end.says_on_stderr("takes no word but serve"), "{end:#?}");
    assert!(!end.says("hunter2"), "{end:#?}");
}

//------------ Tor's control port --------------------------------------------

/// The password that the control ports of these tests accept.
const PASSWORD: &str = "hunter2";

/// A control port that answers three commands: who may log in, a login, and one
/// question.
#[derive(Clone)]
struct Control {
    /// What `PROTOCOLINFO` says of authentication.
    methods: String,
    leaves_streams: bool,
}

impl Control {
    fn new(methods: &str) -> Self {
        Self {
            methods: methods.to_owned(),
            leaves_streams: false,
        }
    }

    fn start(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let control = self.clone();
                thread::spawn(move || control.serve(stream));
            }
        });
        address
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let lines = BufReader::new(stream.try_clone()?).lines();
        for line in lines {
            let line = line?;
            let reply = match line.split_once(' ').unwrap_or((&line, "")) {
                ("PROTOCOLINFO", "1") => format!(
                    "250-PROTOCOLINFO 1\r\n250-AUTH METHODS={}\r\n250-VERSION \
                     Tor=\"0.4.9.11\"\r\n250 OK",
                    self.methods
                ),
                ("AUTHENTICATE", "") => "250 OK".to_owned(),
                ("AUTHENTICATE", shown) if shown == format!("{PASSWORD:?}") => "250 OK".to_owned(),
                ("AUTHENTICATE", _) => "515 Authentication failed".to_owned(),
                ("GETCONF", "__LeaveStreamsUnattached") => {
                    let value = u8::from(self.leaves_streams);
                    format!("250 __LeaveStreamsUnattached={value}")
                }
                // Nothing that would change it.
                other => panic!("{other:?}"),
            };
            stream.write_all(format!("{reply}\r\n").as_bytes())?;
        }
        Ok(())
    }
}

/// What `check serve` finds at a control port, in which `#` stands for its
/// address; and whether it is satisfied.
fn control(address: &str, more: &[&str]) -> (String, bool) {
    let control = format!("--tor-control={address}");
    let words = ["check", "serve", NAMES, "--delegations=off", &control];
    let end = run::with(&[&words, more].concat());
    assert!(!end.says(PASSWORD), "{end:#?}");
    let found = findings(&end);
    // Without a listener and delegations nothing goes to the SOCKS port.
    let [only] = found.as_slice() else {
        panic!("{end:#?}")
    };
    (only.replace(address, "#"), end.code == Some(0))
}

#[test]
fn a_control_port_is_examined_and_not_changed() {
    let password = format!("--tor-password={PASSWORD}");
    let password = [password.as_str()];
    let is_ok = "control ok # is Tor's control port";
    for (methods, more, found) in [
        ("NULL", &[][..], is_ok),
        ("HASHEDPASSWORD", &password, is_ok),
        (
            "HASHEDPASSWORD",
            &[],
            "control FAIL Tor's control port # cannot be used: it wants a password -> set \
             --tor-password",
        ),
        (
            "HASHEDPASSWORD",
            &["--tor-password=wrong"],
            "control FAIL Tor's control port # cannot be used: it refuses the password -> set \
             --tor-password",
        ),
        (
            "COOKIE,SAFECOOKIE COOKIEFILE=\"/does/not/exist\"",
            &[],
            "control FAIL Tor's control port # cannot be used: its cookie \"/does/not/exist\" \
             cannot be read",
        ),
        (
            "SOMETHING",
            &[],
            "control FAIL Tor's control port # cannot be used: it offers no way to log in -> set \
             CookieAuthentication 1",
        ),
    ] {
        let (line, works) = control(&Control::new(methods).start(), more);
        assert!(line.starts_with(found), "{methods}: {line}");
        assert_eq!(works, found == is_ok, "{methods}: {line}");
    }
}

/// Without a listener only questions to name servers go to the SOCKS port.
#[test]
fn the_socks_port_beside_a_control_port_is_for_delegations() {
    let control = format!("--tor-control={}", Control::new("NULL").start());
    let nobody = nobody();
    let end = check(&nobody.to_string(), &[&control]);
    let found = findings(&end);
    let expected = format!(
        "delegations warn delegated names cannot be resolved: nothing listens at {nobody} -> \
         start Tor"
    );
    assert!(found[0].starts_with(&expected), "{end:#?}");
    assert!(found[1].starts_with("control ok"), "{end:#?}");
    assert_eq!((found.len(), end.code), (2, Some(0)), "{end:#?}");
    // With a listener it is examined as the port of all streams.
    let end = check(
        &nobody.to_string(),
        &[&control, "--socks-listen=127.0.0.1:0"],
    );
    assert!(!end.says("delegations"), "{end:#?}");
    assert_eq!(end.code, Some(1), "{end:#?}");
}

#[test]
fn another_naming_client_is_noticed() {
    let address = Control {
        leaves_streams: true,
        ..Control::new("NULL")
    };
    let (line, works) = control(&address.start(), &[]);
    let expected = "control warn # is Tor's control port, but connections wait for a naming client";
    assert!(line.starts_with(expected), "{line}");
    assert!(line.contains("StemNS") && works, "{line}");
}

#[test]
fn what_is_no_control_port_is_named() {
    // A SOCKS port of Tor, nobody, and somebody who says nothing.
    let (line, works) = control(&TOR.start(), &[]);
    let expected = "what listens there is not Tor's control port -> set --tor-control";
    assert!(line.contains(expected) && !works, "{line}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    let (line, works) = control(&address, &[]);
    assert!(
        line.contains("# does not answer in time -> set --tor-control"),
        "{line}"
    );
    assert!(!works, "{line}");
    drop(free);
    let (line, works) = control(&address, &[]);
    assert!(
        line.contains("nothing listens there -> start Tor"),
        "{line}"
    );
    assert!(!works, "{line}");
    let directory = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", directory.path().join("control").display());
    let (line, works) = control(&socket, &[]);
    assert!(
        line.contains("nothing listens there -> start Tor") && !works,
        "{line}"
    );
}

/// Each of several Tors is examined, and so are the ports beside them.
#[test]
fn control_ports_and_listeners_are_examined_together() {
    let good = format!("--tor-control={}", Control::new("NULL").start());
    let bad = format!("--tor-control={}", TOR.start());
    let end = check(&TOR.start(), &["--socks-listen=127.0.0.1:0", &good, &bad]);
    let labels: Vec<_> = findings(&end)
        .iter()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        labels,
        ["Tor ok", "listener ok", "control ok", "control FAIL"]
    );
}
