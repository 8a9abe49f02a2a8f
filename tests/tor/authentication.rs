//! How the door proves to Tor who it is, and what it says if Tor does not believe it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Door;
use crate::support::state::write_private;
use crate::support::tor_control::ModelTor;
use crate::support::tor_control::auth::{Auth, hex};
use crate::support::tor_control::stream::{Stream, attached};

const PASSWORD: &str = "a \"quoted\" \\ word";

/// Settings with a password.
fn with_password(directory: &Path, password: &str) -> Vec<String> {
    let file = directory.join("config.toml");
    let password = password.replace('\\', "\\\\").replace('"', "\\\"");
    write_private(&file, format!("tor-password = \"{password}\"\n"));
    vec!["--config".to_owned(), file.to_str().unwrap().to_owned()]
}

fn begin(tor: &ModelTor, more: &[String]) -> Door {
    let more: Vec<_> = more.iter().map(String::as_str).collect();
    Door::begin(&[tor], &more)
}

#[track_caller]
fn works(tor: &ModelTor, door: &Door) {
    door.is_in_charge_of(tor);
    let stream = tor.stream(Stream::connect("ip.bit", 80));
    assert_eq!(stream.end(), attached("192.0.2.1:80"));
}

/// What is said of a Tor that cannot be used.
#[track_caller]
fn refused(tor: &ModelTor, door: &Door) -> String {
    let said = format!("Tor's control port at {} cannot be used", tor.address());
    let line = door.process.complaint(&said);
    assert!(line.contains("trying again"), "{line}");
    assert!(!tor.leaves_streams());
    line
}

#[test]
fn nothing_is_proved_where_nothing_is_asked_for() {
    let tor = ModelTor::start();
    let door = Door::start(&tor);
    works(&tor, &door);
    assert_eq!(tor.count("AUTHENTICATE"), 1);
}

#[test]
fn a_cookie_is_proved_without_being_sent() {
    let directory = tempfile::tempdir().unwrap();
    // Tor quotes the path.
    let file = directory.path().join("a \"cookie\" \\ file");
    for methods in ["COOKIE,SAFECOOKIE", "SAFECOOKIE"] {
        let tor = ModelTor::with(Auth::cookie(&file).offering(methods));
        let door = begin(&tor, &[]);
        works(&tor, &door);
        let cookie = hex(&fs::read(&file).unwrap());
        let commands = tor.commands();
        let shown = commands
            .iter()
            .any(|one| one.to_lowercase().contains(&cookie));
        assert!(!shown, "{commands:#?}");
    }
}

#[test]
fn a_cookie_is_sent_to_a_tor_that_wants_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cookie");
    let tor = ModelTor::with(Auth::cookie(&file).offering("COOKIE"));
    let door = begin(&tor, &[]);
    works(&tor, &door);
}

#[test]
fn a_password_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let settings = with_password(directory.path(), PASSWORD);
    let file = directory.path().join("cookie");
    for auth in [
        Auth::password(PASSWORD),
        Auth::cookie_elsewhere(&file).or_password(PASSWORD),
    ] {
        let tor = ModelTor::with(auth);
        let door = begin(&tor, &settings);
        works(&tor, &door);
    }
    // Where a password is set and not wanted, it is not shown.
    let tor = ModelTor::start();
    let door = begin(&tor, &settings);
    works(&tor, &door);
    assert!(!tor.story().contains("quoted"), "{}", tor.story());
}

#[test]
fn a_wrong_password_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let settings = with_password(directory.path(), "another");
    let tor = ModelTor::with(Auth::password(PASSWORD));
    let door = begin(&tor, &settings);
    let line = refused(&tor, &door);
    assert!(line.contains("tor-password"), "{line}");
    assert!(!line.contains("another"), "{line}");

    // It goes on trying, and says no more.
    tor.wait_for_connections(3);
    assert_eq!(door.said("cannot be used"), 1);
    tor.set_auth(Auth::password("another"));
    works(&tor, &door);
}

#[test]
fn a_missing_password_is_reported() {
    let tor = ModelTor::with(Auth::password(PASSWORD));
    let door = begin(&tor, &[]);
    let line = refused(&tor, &door);
    assert!(line.contains("tor-password"), "{line}");
}

#[test]
fn a_wrong_cookie_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cookie");
    for methods in ["COOKIE,SAFECOOKIE", "COOKIE"] {
        fs::write(&file, [1; 32]).unwrap();
        let tor = ModelTor::with(Auth::cookie_elsewhere(&file).offering(methods));
        let door = begin(&tor, &[]);
        let line = refused(&tor, &door);
        assert!(line.contains("cookie"), "{line}");
        fs::write(&file, [0xa5; 32]).unwrap();
        works(&tor, &door);
    }
}

/// Whoever listens there does not get the cookie.
#[test]
fn a_tor_that_does_not_know_its_cookie_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cookie");
    let tor = ModelTor::with(Auth::cookie(&file).lying());
    let door = begin(&tor, &[]);
    let line = refused(&tor, &door);
    assert!(line.contains("cookie"), "{line}");
    tor.wait_for_connections(2);
    assert_eq!(tor.count("AUTHENTICATE"), 0, "{}", tor.story());
}

/// Nothing but a file with a cookie is read, and nothing is waited for.
#[test]
fn a_file_that_is_no_cookie_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let fifo = path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    fs::write(path("long"), [0xa5; 33]).unwrap();
    fs::write(path("short"), [0xa5; 31]).unwrap();
    fs::write(path("empty"), []).unwrap();
    let sparse = fs::File::create(path("huge")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    fs::create_dir(path("folder")).unwrap();
    let files = [
        "missing", "long", "short", "empty", "huge", "folder", "fifo",
    ];
    let mut files: Vec<_> = files.iter().map(|name| path(name)).collect();
    files.push("/dev/zero".into());
    for file in files {
        let tor = ModelTor::with(Auth::cookie_elsewhere(&file));
        let door = begin(&tor, &[]);
        let line = refused(&tor, &door);
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(line.contains(name) && line.contains("cookie"), "{line}");
        if name == "missing" {
            assert!(
                line.contains("debian-tor") || line.contains("group"),
                "{line}"
            );
            fs::write(&file, [0xa5; 32]).unwrap();
            works(&tor, &door);
        }
    }
}

/// A Tor that lets nobody in says what to set.
#[test]
fn a_tor_without_a_method_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cookie");
    let tor = ModelTor::with(Auth::cookie(&file).offering("MAGIC"));
    let door = begin(&tor, &[]);
    let line = refused(&tor, &door);
    assert!(line.contains("CookieAuthentication"), "{line}");
}
