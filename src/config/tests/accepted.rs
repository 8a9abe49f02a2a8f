//! What settings mean, in every source, and which source goes first.

use super::*;

/// An absolute path.
const ABSOLUTE: &str = if cfg!(windows) { "C:/state" } else { "/state" };

const HASH: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const HIGH: &str = "830000:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

#[test]
fn defaults_are_complete() {
    let invocation = Case::default().run();
    assert_eq!(invocation.command, Command::Plugin);
    assert_eq!(invocation.settings, defaults());
    assert_eq!(
        read_settings(&|name| std::env::var_os(name)),
        Settings::default()
    );
    assert_eq!(invocation.warnings, [] as [String; 0]);
    assert_eq!(options("").run().settings, defaults());
    assert_eq!(file("# nothing\n").run().settings, defaults());
}

/// Settings that work alone or together, and what they make of the defaults.
fn samples() -> Vec<(Vec<(&'static str, &'static str)>, Settings)> {
    vec![
        (
            vec![("rpc-address", "[::1]:18336")],
            changed_rpc(|rpc| rpc.address = address("::1", 18336)),
        ),
        (
            vec![("rpc-user", "u"), ("rpc-password", "p:=;\\ q")],
            changed_rpc(|rpc| {
                rpc.credentials = Credentials::Password {
                    user: "u".into(),
                    password: "p:=;\\ q".into(),
                }
            }),
        ),
        (
            vec![("rpc-cookie", "/c/.cookie")],
            changed_rpc(|rpc| rpc.credentials = Credentials::Cookie("/c/.cookie".into())),
        ),
        (
            vec![("rpc-dialect", "electrum-nmc")],
            changed_rpc(|rpc| rpc.dialect = DialectSetting::ElectrumNmc),
        ),
        (
            vec![
                ("allow-unproxied-node", "true"),
                ("rpc-address", "10.0.0.9"),
            ],
            changed_rpc(|rpc| rpc.address = address("10.0.0.9", 8336)),
        ),
        (
            vec![("proxy", "127.0.0.1:9050"), ("rpc-address", "a.onion:1")],
            changed_rpc(|rpc| {
                rpc.address = address("a.onion", 1);
                rpc.proxy = Some(address("127.0.0.1", 9050));
            }),
        ),
        (
            vec![("names-file", "names.json")],
            changed(|all| all.source = SourceSettings::NamesFile("names.json".into())),
        ),
        (
            vec![("backend", "file"), ("names-file", "n")],
            changed(|all| all.source = SourceSettings::NamesFile("n".into())),
        ),
        (vec![("backend", "rpc")], defaults()),
        (
            vec![("backend", "electrum"), ("proxy", "127.0.0.1:9050")],
            changed_electrum(|_| {}),
        ),
        (
            vec![
                ("electrum-server", "a.onion:50001:t"),
                ("proxy", "localhost:9050"),
            ],
            changed_electrum(|electrum| {
                electrum.servers = vec![server("a.onion", 50001, false)];
                electrum.proxy = Some(address("localhost", 9050));
            }),
        ),
        (
            vec![("network", "regtest"), ("electrum-server", "[::1]:50002:s")],
            changed_electrum(|electrum| {
                electrum.network = Network::Regtest;
                electrum.checkpoint = Network::Regtest.checkpoint();
                electrum.servers = vec![server("::1", 50002, true)];
                electrum.proxy = None;
            }),
        ),
        (
            vec![("state-directory", ABSOLUTE), ("proxy", "127.0.0.1:9050")],
            changed_electrum(|electrum| electrum.state = Some(ABSOLUTE.into())),
        ),
        (
            vec![
                ("checkpoint", HIGH),
                ("confirmations", "6"),
                ("verify-all-headers", "true"),
                ("electrum-operators", "2"),
                ("proxy", "127.0.0.1:9050"),
            ],
            changed_electrum(|electrum| {
                electrum.checkpoint = Checkpoint {
                    height: 830_000,
                    hash: HASH.parse().unwrap(),
                };
                electrum.confirmations = 6;
                electrum.verifies_all = true;
                electrum.operators = ElectrumOperators::Two;
            }),
        ),
        (
            vec![("timeout", "2.5")],
            changed(|all| all.timeout = Duration::from_millis(2500)),
        ),
        (vec![("max-lookups", "7")], changed(|all| all.lookups = 7)),
        (
            vec![("only-onion", "true")],
            changed(|all| all.only_onion = true),
        ),
        (
            vec![("missing-isolation", "unique")],
            changed(|all| all.missing_isolation = MissingIsolation::Unique),
        ),
        (
            vec![("log-names", "true")],
            changed(|all| all.log_names = true),
        ),
        (
            vec![("cache-entries", "7")],
            changed(|all| all.cache.entries = 7),
        ),
        (
            vec![("cache-isolations", "8")],
            changed(|all| all.cache.isolations = 8),
        ),
        (
            vec![("cache-ttl", "9")],
            changed(|all| all.cache.ttl = Duration::from_secs(9)),
        ),
        (
            vec![("cache-negative-ttl", "0")],
            changed(|all| all.cache.negative_ttl = Duration::ZERO),
        ),
    ]
}

#[test]
fn every_setting_works_in_every_source() {
    let mut seen: Vec<&str> = vec!["config"];
    for (pairs, expected) in samples() {
        seen.extend(pairs.iter().map(|(name, _)| name));
        let equals: Vec<_> = pairs.iter().map(|(n, v)| format!("--{n}={v}")).collect();
        let equals: Vec<_> = equals.iter().map(String::as_str).collect();
        assert_eq!(arguments(&equals).run().settings, expected);

        let is_switch = |name| {
            KEYS.iter()
                .any(|key| key.name == name && key.value_name.is_none())
        };
        let mut spaced = Vec::new();
        for (name, value) in &pairs {
            spaced.push(format!("--{name}"));
            if !is_switch(*name) {
                spaced.push((*value).to_owned());
            }
        }
        let spaced: Vec<_> = spaced.iter().map(String::as_str).collect();
        assert_eq!(arguments(&spaced).run().settings, expected);

        let entries: Vec<_> = pairs
            .iter()
            .map(|(n, v)| format!("{n}={}", escape(v)))
            .collect();
        assert_eq!(options(&entries.join(";")).run().settings, expected);
        assert_eq!(options(&(entries.join(";") + ";")).run().settings, expected);

        for name_form in ["-", "_"] {
            let strings: String = pairs
                .iter()
                .map(|(n, v)| format!("{} = {v:?}\n", n.replace('-', name_form)))
                .collect();
            assert_eq!(file(&strings).run().settings, expected);
        }
        let is_bare = |value: &str| value == "true" || value.parse::<f64>().is_ok();
        if pairs.iter().all(|(_, value)| is_bare(value)) {
            let bare: String = pairs.iter().map(|(n, v)| format!("{n} = {v}\n")).collect();
            assert_eq!(file(&bare).run().settings, expected);
        }
    }
    for key in KEYS {
        assert!(seen.contains(&key.name), "{} has no sample", key.name);
    }
}

/// What shells offer for a setting is what it may be.
#[test]
fn values_for_completion_are_those_that_are_taken() {
    for key in KEYS {
        let error = (key.set)(&mut Draft::default(), "?".as_ref()).err();
        let (_, told) = error
            .as_deref()
            .and_then(|error| error.split_once("must be "))
            .unwrap_or_default();
        // What has a form is no choice between words.
        let words = told.contains(" or ") && !told.contains(':');
        let told = if words { told } else { "" };
        assert_eq!(values(key).join(" or "), told, "{}", key.name);
    }
}

#[test]
fn command_line_before_environment_before_file() {
    for (name, [in_file, in_options, in_arguments]) in [
        ("timeout", ["1", "2", "3"]),
        ("only-onion", ["true", "false", "true"]),
        ("only-onion", ["false", "true", "false"]),
        ("cache-entries", ["1", "2", "3"]),
        ("rpc-address", ["[::1]", "localhost", "127.0.0.2"]),
        ("rpc-dialect", ["core", "auto", "consensusj"]),
        ("names-file", ["a", "b", "c"]),
        ("missing-isolation", ["unique", "refuse", "shared"]),
    ] {
        let only = |value| arguments(&[&format!("--{name}={value}")]).run().settings;
        let in_file_text = format!("{name} = \"{in_file}\"");
        let in_options_text = format!("{name}={in_options}");
        let in_arguments_text = format!("--{name}={in_arguments}");
        let mut case = file(&in_file_text);
        assert_eq!(case.run().settings, only(in_file));
        case.options = Some(&in_options_text);
        assert_eq!(case.run().settings, only(in_options));
        case.arguments = vec![&in_arguments_text];
        assert_eq!(case.run().settings, only(in_arguments));
        case.options = None;
        assert_eq!(case.run().settings, only(in_arguments));
    }
    // One name is overridden, another stays.
    let mut case = file("timeout = 1\ncache-ttl = 5");
    case.options = Some("timeout=2");
    let settings = case.run().settings;
    assert_eq!(settings.timeout, Duration::from_secs(2));
    assert_eq!(settings.cache.ttl, Duration::from_secs(5));
}

#[test]
fn config_may_stand_in_the_environment() {
    let path = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    };
    let file = path("timeout = 3");
    let named = format!("config={}", escape(file.path().to_str().unwrap()));
    assert_eq!(
        options(&named).run().settings.timeout,
        Duration::from_secs(3)
    );
    // The command line names another file, the first is not read.
    let mut case = options("config=/does/not/exist;cache-ttl=1");
    case.file = Some("timeout = 4\ncache-ttl = 2");
    let settings = case.run().settings;
    assert_eq!(settings.timeout, Duration::from_secs(4));
    assert_eq!(settings.cache.ttl, Duration::from_secs(1));
}

#[test]
fn reads_commands_with_options_on_either_side() {
    let resolve = |isolation: Option<&str>| Command::Resolve {
        name: "a.bit".into(),
        isolation: isolation.map(Into::into),
        explain: false,
    };
    let explained = Command::Resolve {
        name: "a.bit".into(),
        isolation: None,
        explain: true,
    };
    for (words, command, timeout) in [
        (vec!["resolve", "a.bit"], resolve(None), 20),
        (
            vec!["--timeout", "3", "resolve", "a.bit", "x"],
            resolve(Some("x")),
            3,
        ),
        (
            vec!["resolve", "a.bit", "x", "--timeout=3"],
            resolve(Some("x")),
            3,
        ),
        // Given on both sides, the one nearer to the end counts.
        (
            vec!["--timeout=1", "resolve", "a.bit", "--timeout=3"],
            resolve(None),
            3,
        ),
        (vec!["resolve", "--timeout", "3", "a.bit"], resolve(None), 3),
        (vec!["resolve", "--explain", "a.bit"], explained.clone(), 20),
        (vec!["resolve", "a.bit", "--explain"], explained, 20),
        (
            vec!["records", "a.bit"],
            Command::Records {
                name: "a.bit".into(),
                isolation: None,
                json: false,
            },
            20,
        ),
        (
            vec!["resolve", "--isolation", "resolve", "a.bit"],
            resolve(Some("resolve")),
            20,
        ),
        (
            vec!["records", "a.bit", "--isolation=-x"],
            Command::Records {
                name: "a.bit".into(),
                isolation: Some("-x".into()),
                json: false,
            },
            20,
        ),
        (
            vec!["records", "--json", "a.bit"],
            Command::Records {
                name: "a.bit".into(),
                isolation: None,
                json: true,
            },
            20,
        ),
    ] {
        let invocation = arguments(&words).run();
        assert_eq!(invocation.command, command);
        assert_eq!(invocation.settings.timeout, Duration::from_secs(timeout));
    }
}

#[test]
fn help_and_version_are_printed() {
    for words in [
        vec!["--help"],
        vec!["-h"],
        vec!["help"],
        vec!["--version"],
        vec!["-V"],
        vec!["resolve", "--help"],
        vec!["help", "records"],
    ] {
        let Outcome::Print(text) = arguments(&words).read().unwrap() else {
            panic!("{words:?}");
        };
        assert!(text.lines().count() <= 62, "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        if text.lines().count() == 1 {
            assert_eq!(
                text.trim_end(),
                concat!("ncprop279 ", env!("CARGO_PKG_VERSION"))
            );
        } else {
            assert!(
                KEYS.iter()
                    .all(|key| text.contains(&format!("--{}", key.name)))
            );
            assert!(text.contains("Cache:") && text.contains("Usage: ncprop279"));
        }
    }
}

#[test]
#[cfg(unix)]
fn paths_may_be_other_than_utf_8() {
    use std::os::unix::ffi::OsStringExt;
    let odd = |prefix: &str| {
        let mut octets = prefix.as_bytes().to_vec();
        octets.push(0xff);
        OsString::from_vec(octets)
    };
    let Outcome::Run(invocation) = read([odd("--names-file=")], &|_| None).unwrap() else {
        panic!()
    };
    let expected = SourceSettings::NamesFile(PathBuf::from(odd("")));
    assert_eq!(invocation.settings.source, expected);

    for (words, part) in [
        (
            vec![odd("--rpc-user=")],
            "rpc-user (command line) is not UTF-8",
        ),
        (vec![odd("--timeout=")], "timeout (command line)"),
        (vec![odd("--config=/does/not/exist")], "config"),
        (vec![odd("--nonsense")], "command line"),
        (
            vec!["resolve".into(), odd("")],
            "NAME (command line) is not UTF-8",
        ),
    ] {
        let error = read(words, &|_| None).unwrap_err();
        assert!(error.message.contains(part), "{error}");
    }
    for name in [VERSIONS_VARIABLE, OPTIONS_VARIABLE] {
        let error = read([], &|asked| (asked == name).then(|| odd("1"))).unwrap_err();
        assert!(error.is_plugin && error.message.contains(name), "{error}");
    }
}

#[test]
fn electrum_servers_may_be_several() {
    let expected = vec![server("a.onion", 1, false), server("b.onion", 2, true)];
    let servers = |case: Case<'_>| match case.run().settings.source {
        SourceSettings::Electrum(electrum) => electrum.servers,
        other => panic!("{other:?}"),
    };
    let words = [
        "--proxy=127.0.0.1:9050",
        "--electrum-server=a.onion:1:t",
        "--electrum-server",
        "b.onion:2:s",
        "--electrum-server=a.onion:1:t",
    ];
    assert_eq!(servers(arguments(&words)), expected);
    let text = "proxy=127.0.0.1:9050;electrum-server=a.onion:1:t;electrum-server=b.onion:2:s";
    assert_eq!(servers(options(text)), expected);
    let text = "proxy = '127.0.0.1:9050'\nelectrum-server = ['a.onion:1:t', 'b.onion:2:s']";
    assert_eq!(servers(file(text)), expected);
    // A list in a source of higher rank takes the place of the other one.
    let mut case =
        file("proxy = '127.0.0.1:9050'\nelectrum-server = ['c.onion:1:t', 'd.onion:1:t']");
    case.arguments = words[1..].to_vec();
    assert_eq!(servers(case), expected);
}

/// Whoever reads the log learns what was visited.
#[test]
fn showing_names_in_the_log_earns_a_warning() {
    for (case, origin) in [
        (arguments(&["--log-names"]), "command line"),
        (options("log-names"), OPTIONS_VARIABLE),
        (file("log-names = true"), "config"),
    ] {
        let warnings = case.run().warnings;
        let [warning] = warnings.as_slice() else {
            panic!("{warnings:?}")
        };
        let begin = warning.starts_with("log-names (");
        assert!(begin && warning.contains("visited"), "{warning}");
        assert!(origin == "config" || warning.contains(origin), "{warning}");
    }
    assert!(options("log-names=false").run().warnings.is_empty());
}
