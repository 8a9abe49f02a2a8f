//! What the Electrum source keeps on disk, and how it gets by without.
//! (`spec/electrum.md`, section 3.2.)

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::electrum::chain::Chain;
use crate::support::electrum::{Electrum, Options, Version};
use crate::support::plugin::{Plugin, Start};
use crate::support::run;
use crate::support::state::files;

const FOUND: &str = "0 192.0.2.1";
/// The file with the headers.
const HEADERS: &str = "headers-regtest";
/// Bytes of a record in it.
const RECORD: usize = 84;

/// A chain of 300 blocks with a name in it.
fn chain() -> Chain {
    let mut chain = Chain::new();
    chain.mine(280);
    chain.register("d/example", r#"{"ip":"192.0.2.1"}"#);
    chain.mine(300 - chain.tip());
    chain
}

fn servers() -> [Electrum; 2] {
    let chain = chain();
    [(); 2].map(|()| Electrum::start(chain.clone(), Options::new(Version::V1_15)))
}

fn start(servers: &[Electrum], more: &[&str]) -> Start {
    let mut arguments: Vec<String> = more.iter().map(|part| (*part).to_owned()).collect();
    arguments.push("--network=regtest".into());
    for server in servers {
        arguments.push(format!("--electrum-server={}:t", server.address()));
    }
    Start::new(&arguments)
}

fn in_state(start: Start, state: &Path) -> Start {
    start.env("TOR_NS_STATE_LOCATION", state.to_str().unwrap())
}

/// Finds the name, ends, and returns what was said on stderr.
fn works(mut plugin: Plugin) -> Vec<String> {
    assert_eq!(plugin.ask("example.bit", "a"), FOUND, "{}", plugin.story());
    let end = run::end(plugin);
    assert_eq!(end.code, Some(0), "{end:#?}");
    end.stderr
}

/// A state directory that a first run has filled.
fn filled(servers: &[Electrum]) -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    works(in_state(start(servers, &[]), state.path()).ready());
    state
}

/// The heights of headers that connections after the first `skip` asked for.
fn fetched(server: &Electrum, skip: usize) -> BTreeSet<u64> {
    let connections = server.connections();
    let requests = connections[skip..].iter().flat_map(|one| &one.requests);
    let mut heights = BTreeSet::new();
    for request in requests {
        let number = |index: usize| request.params[index].as_u64().unwrap();
        match request.method.as_str() {
            "blockchain.block.header" => drop(heights.insert(number(0))),
            "blockchain.block.headers" => heights.extend(number(0)..number(0) + number(1)),
            _ => {}
        }
    }
    heights
        .into_iter()
        .filter(|height| *height <= 300)
        .collect()
}

fn names(directory: &Path) -> BTreeSet<String> {
    let names = files(directory).into_iter().map(|(path, _)| {
        path.strip_prefix(directory)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    });
    names.collect()
}

#[test]
fn a_setting_the_naming_client_the_user_and_the_home_directory_say_where() {
    let servers = servers();
    let root = tempfile::tempdir().unwrap();
    let places = ["setting", "client", "user", "home"].map(|name| root.path().join(name));
    let [setting, client, user, home] = places;
    let option = format!("--state-directory={}", setting.display());
    let variables = [
        ("TOR_NS_STATE_LOCATION", &client, client.clone()),
        ("XDG_STATE_HOME", &user, user.join("ncprop279")),
        ("HOME", &home, home.join(".local/state/ncprop279")),
    ];
    let with = |more: &[&str], first: usize| {
        let mut start = start(&servers, more);
        for (variable, value, _) in &variables[first..] {
            start = start.env(variable, value.to_str().unwrap());
        }
        works(start.ready());
    };
    with(&[&option], 0);
    assert!(setting.join(HEADERS).exists());
    for (_, value, _) in &variables {
        assert!(!value.exists(), "{value:?}");
    }
    for first in 0..3 {
        with(&[], first);
        let here: &PathBuf = &variables[first].2;
        assert!(here.join(HEADERS).exists(), "{here:?}");
        for (_, value, _) in &variables[first + 1..] {
            assert!(!value.exists(), "{value:?}");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(here).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{here:?}");
        }
    }
}

#[test]
fn the_second_run_fetches_the_last_hundred_headers() {
    let servers = servers();
    let state = filled(&servers);
    let all: BTreeSet<u64> = (0..=300).collect();
    let first: BTreeSet<u64> = servers.iter().flat_map(|one| fetched(one, 0)).collect();
    assert_eq!(first, all);
    let before = servers.each_ref().map(|one| one.connections().len());
    let file = fs::read(state.path().join(HEADERS)).unwrap();
    works(in_state(start(&servers, &[]), state.path()).ready());
    let again = servers.iter().zip(before);
    let again: BTreeSet<u64> = again.flat_map(|(one, skip)| fetched(one, skip)).collect();
    assert_eq!(again, (201..=300).collect());
    assert_eq!(fs::read(state.path().join(HEADERS)).unwrap(), file);
    let expected = ["lock", HEADERS, "servers"].map(str::to_owned);
    assert_eq!(names(state.path()), expected.into());
}

/// Of four servers, the two that a first run has met give the headers again.
#[test]
fn servers_that_answered_before_are_tried_first() {
    let [one, other] = servers();
    let [third, fourth] = servers();
    let known = [one, other];
    let state = filled(&known);
    let all = [&third, &fourth, &known[0], &known[1]];
    let mut arguments = vec!["--network=regtest".to_owned()];
    arguments.extend(all.map(|server| format!("--electrum-server={}:t", server.address())));
    works(in_state(Start::new(&arguments), state.path()).ready());
    for server in [&third, &fourth] {
        let connections = server.connections();
        let requests = connections.iter().flat_map(|one| &one.requests);
        let headers = requests.filter(|one| one.method == "blockchain.headers.subscribe");
        assert_eq!(headers.count(), 0);
    }
    let text = fs::read_to_string(state.path().join("servers")).unwrap();
    let words: Vec<_> = text.split_whitespace().collect();
    assert_eq!(words.len(), 3 + 2 * 4, "{text}");
    for server in &known {
        assert!(
            words.contains(&server.address().to_string().as_str()),
            "{text}"
        );
    }
}

/// Wherever it ends, what is left is used and the rest comes back.
#[test]
fn a_file_that_ends_anywhere_does_no_harm() {
    let servers = servers();
    let state = filled(&servers);
    let path = state.path().join(HEADERS);
    let whole = fs::read(&path).unwrap();
    let preamble = whole.len() % RECORD;
    for length in [
        0,
        1,
        preamble,
        preamble + RECORD,
        preamble + 250 * RECORD + 41,
    ] {
        fs::write(&path, &whole[..length]).unwrap();
        works(in_state(start(&servers, &[]), state.path()).ready());
        assert_eq!(fs::read(&path).unwrap(), whole, "cut off at {length}");
    }
}

#[test]
fn a_damaged_file_is_reported_and_mended() {
    let servers = servers();
    let state = filled(&servers);
    let path = state.path().join(HEADERS);
    let whole = fs::read(&path).unwrap();
    let preamble = whole.len() % RECORD;
    for place in [
        3,
        preamble + 2,
        preamble + 150 * RECORD + 50,
        whole.len() - RECORD - 1,
    ] {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        let said = works(in_state(start(&servers, &[]), state.path()).ready());
        assert!(
            said.iter().any(|line| line.contains("damaged")),
            "{said:#?}"
        );
        assert_eq!(fs::read(&path).unwrap(), whole, "damaged at {place}");
    }
}

/// The change is counted from the chain that the user relied on before, not
/// from what is left of it until the newest blocks have been fetched again.
#[test]
fn a_deep_change_while_nothing_ran_is_reported() {
    for (depth, is_reported) in [(100, false), (101, true), (150, true)] {
        let servers = servers();
        let state = filled(&servers);
        let mut other = servers[0].chain().fork_at(300 - depth);
        other.mine(280 - other.tip());
        other.register("d/example", r#"{"ip":"192.0.2.1"}"#);
        other.mine(301 - other.tip());
        servers.iter().for_each(|one| one.set_chain(other.clone()));
        let said = works(in_state(start(&servers, &[]), state.path()).ready());
        let line = format!("{depth} blocks of the chain were replaced");
        let count = said.iter().filter(|entry| entry.contains(&line)).count();
        assert_eq!(count, usize::from(is_reported), "{depth}: {said:#?}");
    }
}

/// Nothing in the file shows that its newest header is another; it is fetched
/// again all the same.
#[test]
fn a_newest_header_that_is_wrong_gives_way() {
    let servers = servers();
    let state = filled(&servers);
    let path = state.path().join(HEADERS);
    let mut damaged = fs::read(&path).unwrap();
    *damaged.last_mut().unwrap() ^= 0x10;
    fs::write(&path, &damaged).unwrap();
    for _ in 0..2 {
        let said = works(in_state(start(&servers, &[]), state.path()).ready());
        assert!(said.is_empty(), "{said:#?}");
    }
}

/// Not even the superuser can write there, whom permissions would not stop.
#[test]
fn a_state_directory_that_cannot_be_used_is_reported_and_done_without() {
    let servers = servers();
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let obstructed = |name: &str| {
        let state = root.path().join(format!("no-{name}"));
        fs::create_dir_all(state.join(name).join("in")).unwrap();
        state
    };
    for (state, words) in [
        (file.clone(), "cannot be used"),
        (obstructed("lock"), "is only read"),
        (obstructed(HEADERS), "cannot be kept"),
    ] {
        let said = works(in_state(start(&servers, &[]), &state).ready());
        let is_warning = |line: &&String| {
            line.contains("warning: ")
                && line.contains(words)
                && line.contains(state.to_str().unwrap())
                && line.contains("set state-directory to")
        };
        assert_eq!(said.iter().filter(is_warning).count(), 1, "{said:#?}");
    }
}

/// The second of two reads what the first has written, and writes nothing.
#[test]
fn two_plugins_on_one_directory() {
    let servers = servers();
    let state = filled(&servers);
    let mut first = in_state(start(&servers, &[]), state.path()).ready();
    assert_eq!(first.ask("example.bit", "a"), FOUND);
    first.signal("STOP");
    let before = files(state.path());
    servers.iter().for_each(|server| server.mine(1));
    let second = in_state(start(&servers, &["-v"]), state.path()).ready();
    let said = works(second);
    let is_reported = |line: &String| line.contains("another process uses it");
    assert!(said.iter().any(is_reported), "{said:#?}");
    assert!(
        said.iter()
            .any(|line| line.contains("block headers were loaded: 201")),
        "{said:#?}"
    );
    let after = files(state.path());
    first.signal("CONT");
    assert_eq!(before, after);
    first.finish();
    // Once the first is gone the directory is free again.
    let said = works(in_state(start(&servers, &["-v"]), state.path()).ready());
    assert!(!said.iter().any(is_reported), "{said:#?}");
}

/// Whatever stands in the place of a file, nothing waits for it.
#[cfg(unix)]
#[test]
fn pipes_in_the_state_directory_hold_up_nothing() {
    let servers = servers();
    for name in ["lock", "pins", "servers", HEADERS, "headers-regtest.new"] {
        let state = tempfile::tempdir().unwrap();
        let mut make = std::process::Command::new("mkfifo");
        assert!(
            make.arg(state.path().join(name))
                .status()
                .unwrap()
                .success()
        );
        works(in_state(start(&servers, &[]), state.path()).ready());
    }
}
