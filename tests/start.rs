//! From the settings to INIT (spec/prop279-isolation.md, I1 to I6).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod support;

use std::fs;

use support::node::{Flavour, Node};
use support::plugin::{Plugin, Start};
use support::run;

const NAMES: &str = r#"{"d/a":{"ip":"192.0.2.1","map":{"_tor":{"txt":
    "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion"}}},
    "d/b":{"ip":"192.0.2.2"}}"#;

/// It says why on stdout and on stderr, and ends.
#[track_caller]
fn refuses(what: &str, start: Start, parts: &[&str]) {
    let end = run::run(start);
    assert_eq!(end.code, Some(1), "{what}: {end:#?}");
    assert_eq!(end.stdout.len(), 1, "{what}: {end:#?}");
    let line = &end.stdout[0];
    let message = line
        .strip_prefix("INIT 1 1 \"")
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or_else(|| panic!("{what}: {end:#?}"));
    assert!(line.bytes().all(|octet| (b' '..=b'~').contains(&octet)));
    for part in parts {
        assert!(message.contains(part), "{what}: {message:?} lacks {part:?}");
        assert!(end.says_on_stderr(part), "{what}: {end:#?}");
    }
    // The same, but for the escapes.
    let plain = message.replace("\\\"", "\"").replace("\\\\", "\\");
    assert!(end.says_on_stderr(&plain), "{what}: {end:#?}");
}

/// It is ready, says nothing else, and ends when stdin does.
#[track_caller]
fn accepts(what: &str, start: Start) {
    let end = run::run(start);
    assert_eq!(end.code, Some(0), "{what}: {end:#?}");
    assert_eq!(end.stdout, ["INIT 1 0"], "{what}: {end:#?}");
    assert!(end.stderr.is_empty(), "{what}: {end:#?}");
}

fn none() -> Start {
    Start::new::<&str>(&[])
}

#[test]
fn a_common_version_is_needed() {
    accepts("unset: a manual run", none());
    for versions in ["1", "1,2", "2,1", "3,next,1", "x,1,y", "1.1,1"] {
        accepts(versions, none().env("TOR_NS_PROTO_VERSION", versions));
    }
    for versions in ["2", "0", "11", "x", "2,3", "1.0", "-1", "one"] {
        let start = none().env("TOR_NS_PROTO_VERSION", versions);
        refuses(versions, start, &["version"]);
    }
}

#[test]
fn options_come_from_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a=b;c:d\\names.json");
    fs::write(&path, NAMES).unwrap();
    let mut escaped = String::new();
    for character in path.to_str().unwrap().chars() {
        if ":;=\\".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    let options = format!("names-file={escaped};only-onion=true");
    let mut plugin = none().env("TOR_NS_PLUGIN_OPTIONS", &options).spawn();
    assert_eq!(plugin.line(), "INIT 1 0");
    assert!(plugin.ask("a.bit", "i").ends_with(".onion"));
    assert!(plugin.ask("b.bit", "i").starts_with("3 \""));
    plugin.finish();
}

#[test]
fn options_may_be_empty_and_colons_bare() {
    for options in [
        "",
        "rpc-address=127.0.0.1:8336",
        "rpc-address=127.0.0.1\\:8336",
        "rpc-cookie=/no/where;timeout=2.5",
        "rpc-user=u;rpc-password=a/b c",
    ] {
        accepts(options, none().env("TOR_NS_PLUGIN_OPTIONS", options));
    }
    for (options, parts) in [
        ("nonsense=1", &["nonsense"][..]),
        ("timeout", &["timeout"]),
        ("timeout=", &["timeout"]),
        ("timeout=soon", &["timeout"]),
        ("timeout=-1", &["timeout"]),
        ("rpc-dialect=electrum", &["rpc-dialect"]),
        ("missing-isolation=some", &["missing-isolation"]),
        ("only-onion=maybe", &["only-onion"]),
        ("cache-entries=many", &["cache-entries"]),
        ("rpc-address=127.0.0.1:99999", &["rpc-address"]),
        ("names-file=x;rpc-cookie=y", &["names-file", "rpc-cookie"]),
        ("=1", &[]),
        ("timeout=1\\", &[]),
    ] {
        let start = none().env("TOR_NS_PLUGIN_OPTIONS", options);
        refuses(options, start, parts);
    }
}

#[test]
fn bad_command_lines_are_refused() {
    for (arguments, parts) in [
        (&["--nonsense"][..], &["nonsense"][..]),
        (&["--timeout", "soon"], &["timeout"]),
        (&["--timeout", "NaN"], &["timeout"]),
        (&["--rpc-dialect", "bitcoin"], &["rpc-dialect"]),
        (&["--missing-isolation", "x"], &["missing-isolation"]),
        (&["--cache-isolations=-5"], &["cache-isolations"]),
        (&["--cache-ttl", "1e9"], &["cache-ttl"]),
        (&["--cache-negative-ttl", "x"], &["cache-negative-ttl"]),
        (&["--rpc-address", ""], &["rpc-address"]),
        (&["--rpc-address", "127.0.0.1:x"], &["rpc-address"]),
        (&["--rpc-address", "[::1"], &["rpc-address"]),
        (
            &["--names-file", "a", "--rpc-address", "127.0.0.1:1"],
            &["names-file", "rpc-address"],
        ),
        (&["--config", "/no/such/file.toml"], &["/no/such/file.toml"]),
        // What somebody wrote does not make a second line.
        (&["--timeout", "x\nINIT 1 0\n\"\\"], &["timeout"]),
    ] {
        refuses(&format!("{arguments:?}"), Start::new(arguments), parts);
    }
}

#[test]
fn bad_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    for (content, parts) in [
        ("nonsense = 1", &["nonsense"][..]),
        ("timeout = \"soon\"", &["timeout"]),
        ("rpc-dialect = \"x\"", &["rpc-dialect"]),
        ("only-onion = \"maybe\"", &["only-onion"]),
        ("this is no TOML", &[]),
        (
            "names-file = \"a\"\nrpc-cookie = \"b\"",
            &["names-file", "rpc-cookie"],
        ),
    ] {
        fs::write(&path, content).unwrap();
        refuses(
            content,
            Start::new(&["--config", path.to_str().unwrap()]),
            parts,
        );
    }
    fs::write(&path, b"timeout = \"\xff\"").unwrap();
    refuses(
        "no UTF-8",
        Start::new(&["--config", path.to_str().unwrap()]),
        &[],
    );
}

/// The same name everywhere; the command line goes before the environment, and
/// that before the file.
#[test]
fn the_nearer_setting_counts() {
    let directory = tempfile::tempdir().unwrap();
    let names = |file: &str, address: &str| {
        let path = directory.path().join(file);
        fs::write(&path, format!(r#"{{"d/a":{{"ip":"{address}"}}}}"#)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let line = names("line.json", "192.0.2.1");
    let environment = names("environment.json", "192.0.2.2");
    let file = names("file.json", "192.0.2.3");
    let config = directory.path().join("config.toml");
    fs::write(&config, format!("names-file = {file:?}\ntimeout = 9.5\n")).unwrap();
    let config = config.to_str().unwrap();
    for (arguments, options, expected) in [
        (&["--config", config][..], "", "0 192.0.2.3"),
        (&["--config", config], environment.as_str(), "0 192.0.2.2"),
        (
            &["--config", config, "--names-file", &line],
            "",
            "0 192.0.2.1",
        ),
        (
            &["--config", config, "--names-file", &line],
            &environment,
            "0 192.0.2.1",
        ),
        (&["--names-file", &line], &environment, "0 192.0.2.1"),
    ] {
        let mut start = Start::new(arguments);
        if !options.is_empty() {
            let options = format!("names-file={options}");
            start = start.env("TOR_NS_PLUGIN_OPTIONS", &options);
        }
        let mut plugin = start.spawn();
        assert_eq!(plugin.line(), "INIT 1 0", "{}", plugin.story());
        assert_eq!(
            plugin.ask("a.bit", "i"),
            expected,
            "{arguments:?} {options}"
        );
        plugin.finish();
    }
}

/// Names would leave the machine in clear text.
#[test]
fn a_node_elsewhere_is_refused_unless_permitted() {
    let credentials = ["--rpc-cookie", "/no/where"];
    for address in [
        "192.0.2.1:8336",
        "node.example.com:8336",
        "[2001:db8::1]:8336",
        "10.0.0.1",
        "localhost.example.com:8336",
    ] {
        let arguments = [&["--rpc-address", address][..], &credentials].concat();
        refuses(address, Start::new(&arguments), &["allow-unproxied-node"]);
        let arguments = [&arguments[..], &["--allow-unproxied-node"]].concat();
        accepts(address, Start::new(&arguments));
    }
    for address in [
        "127.0.0.1:8336",
        "127.9.9.9:8336",
        "[::1]:8336",
        "localhost:8336",
        "LOCALHOST",
    ] {
        let arguments = [&["--rpc-address", address][..], &credentials].concat();
        accepts(address, Start::new(&arguments));
    }
}

/// They may come later.
#[test]
fn missing_files_are_errors_of_lookups_only() {
    for arguments in [
        ["--names-file", "/no/such/names.json"],
        ["--rpc-cookie", "/no/such/cookie"],
    ] {
        accepts(arguments[0], Start::new(&arguments));
        let mut plugin = Plugin::start(&[&arguments[..], &["--timeout", "0.4"]].concat());
        let answer = plugin.ask("a.bit", "i");
        assert!(answer.starts_with("1 \""), "{arguments:?}: {answer}");
        plugin.finish();
    }
}

#[test]
fn a_names_file_may_come_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("names.json");
    let mut plugin = Plugin::start(&["--names-file", path.to_str().unwrap()]);
    plugin.send("RESOLVE 1 b.bit i");
    assert!(plugin.ask("foo.com", "i").starts_with("2 "));
    fs::write(&path, NAMES).unwrap();
    assert_eq!(plugin.answer("1"), "0 192.0.2.2");
    plugin.finish();
}

/// A change empties the caches, also of absences.
#[test]
fn a_names_file_may_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("names.json");
    fs::write(&path, NAMES).unwrap();
    let mut plugin = Plugin::start(&["--names-file", path.to_str().unwrap()]);
    assert_eq!(plugin.ask("b.bit", "i"), "0 192.0.2.2");
    assert!(plugin.ask("new.bit", "i").starts_with("3 "));
    // Written beside and renamed, as careful programs do.
    let beside = directory.path().join("new");
    fs::write(
        &beside,
        r#"{"d/b":{"ip":"192.0.2.33"},"d/new":{"ip":"192.0.2.4"}}"#,
    )
    .unwrap();
    fs::rename(&beside, &path).unwrap();
    // It looks once a second at most; how soon is not promised.
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while plugin.ask("b.bit", "i") != "0 192.0.2.33" {
        assert!(std::time::Instant::now() < deadline, "{}", plugin.story());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(plugin.ask("new.bit", "i"), "0 192.0.2.4");
    plugin.finish();
}

/// A value is the raw string, the domain object, or a saved answer.
#[test]
fn a_names_file_has_values_in_three_forms() {
    let names = r#"{
        "d/raw": "{\"ip\":\"192.0.2.1\"}",
        "d/object": {"ip":"192.0.2.2"},
        "d/saved": {"name":"d/saved","name_encoding":"ascii","value":"{\"ip\":\"192.0.2.3\"}",
            "value_encoding":"ascii","txid":"00","vout":1,"height":236,"expires_in":16,
            "expired":false},
        "d/hex": {"name":"642f686578","name_encoding":"hex",
            "value":"7b226970223a223139322e302e322e34227d","value_encoding":"hex",
            "expired":false},
        "d/utf8": {"name":"d/utf8","value":"{\"ip\":\"192.0.2.5\",\"info\":\"grüße\"}",
            "value_encoding":"utf8"},
        "d/empty": ""}"#;
    let mut plugin = Plugin::with_names(names, &[]);
    for (name, expected) in [
        ("raw", "0 192.0.2.1"),
        ("object", "0 192.0.2.2"),
        ("saved", "0 192.0.2.3"),
        ("hex", "0 192.0.2.4"),
        ("utf8", "0 192.0.2.5"),
        ("empty", "3 \""),
    ] {
        let answer = plugin.ask(&format!("{name}.bit"), "i");
        assert!(answer.starts_with(expected), "{name}: {answer}");
    }
    plugin.finish();
}

/// A file that is being written, say. It is not "no such name".
#[test]
fn a_names_file_that_cannot_be_read_is_a_failure_that_passes() {
    let directory = tempfile::tempdir().unwrap();
    for content in [&b""[..], b"{", b"[]", b"null", b"\xff", br#"{"d/a":{"#] {
        let path = directory.path().join("names.json");
        fs::write(&path, content).unwrap();
        let path = path.to_str().unwrap();
        let mut plugin = Plugin::start(&["--names-file", path, "--timeout", "0.4"]);
        let answer = plugin.ask("a.bit", "i");
        assert!(answer.starts_with("1 \""), "{content:?}: {answer}");
        plugin.finish();
    }
    let path = directory.path().to_str().unwrap();
    let mut plugin = Plugin::start(&["--names-file", path, "--timeout", "0.4"]);
    assert!(plugin.ask("a.bit", "i").starts_with("1 \""));
    plugin.finish();
}

#[test]
fn a_bad_configuration_reaches_no_node() {
    let node = Node::start(Flavour::Core);
    let end = run::run(node.prepare(&["--nonsense"]));
    assert_eq!(end.code, Some(1), "{end:#?}");
    assert!(node.requests().is_empty());
}
