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
fn samples() -> Vec<(&'static str, Settings)> {
    vec![
        (
            "rpc-address=[::1]:18336",
            changed_rpc(|rpc| rpc.address = address("::1", 18336)),
        ),
        (
            "rpc-user=u, rpc-password=p:=;\\ q",
            changed_rpc(|rpc| {
                rpc.credentials = Credentials::Password {
                    user: "u".into(),
                    password: "p:=;\\ q".into(),
                }
            }),
        ),
        (
            "rpc-cookie=/c/.cookie",
            changed_rpc(|rpc| rpc.credentials = Credentials::Cookie("/c/.cookie".into())),
        ),
        (
            "rpc-dialect=electrum-nmc",
            changed_rpc(|rpc| rpc.dialect = DialectSetting::ElectrumNmc),
        ),
        (
            "allow-unproxied-node=true, rpc-address=10.0.0.9",
            changed_rpc(|rpc| rpc.address = address("10.0.0.9", 8336)),
        ),
        (
            "proxy=127.0.0.1:9050, rpc-address=a.onion:1",
            changed_rpc(|rpc| {
                rpc.address = address("a.onion", 1);
                rpc.proxy = Some(ProxyAddress::tor());
            }),
        ),
        (
            "delegations=off, proxy=127.0.0.1:9050, backend=electrum",
            Settings {
                delegations: None,
                ..changed_electrum(|_| {})
            },
        ),
        (
            "delegations=auto, proxy=127.0.0.1:9050",
            changed(|all| all.delegations = Some(ProxyAddress::tor())),
        ),
        (
            "names-file=names.json",
            changed(|all| all.source = SourceSettings::NamesFile("names.json".into())),
        ),
        (
            "backend=file, names-file=n",
            changed(|all| all.source = SourceSettings::NamesFile("n".into())),
        ),
        ("backend=rpc", defaults()),
        (
            "backend=electrum, proxy=127.0.0.1:9050",
            changed_electrum(|_| {}),
        ),
        (
            "electrum-server=a.onion:50001:t, proxy=localhost:9050",
            changed_electrum(|electrum| {
                electrum.servers = vec![server("a.onion", 50001, false)];
                electrum.proxy = Some(ProxyAddress::Tcp(address("localhost", 9050)));
            }),
        ),
        (
            "network=regtest, electrum-server=[::1]:50002:s",
            changed_electrum(|electrum| {
                electrum.network = Network::Regtest;
                electrum.checkpoint = Network::Regtest.checkpoint();
                electrum.servers = vec![server("::1", 50002, true)];
                electrum.proxy = None;
            }),
        ),
        (
            "state-directory={ABSOLUTE}, proxy=127.0.0.1:9050",
            changed_electrum(|electrum| electrum.state = Some(ABSOLUTE.into())),
        ),
        (
            "checkpoint={HIGH}, confirmations=6, verify-all-headers=true, electrum-operators=2, proxy=127.0.0.1:9050",
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
            "timeout=2.5",
            changed(|all| all.timeout = Duration::from_millis(2500)),
        ),
        ("max-lookups=7", changed(|all| all.lookups = 7)),
        ("only-onion=true", changed(|all| all.only_onion = true)),
        (
            "missing-isolation=unique",
            changed(|all| all.missing_isolation = MissingIsolation::Unique),
        ),
        ("log-names=true", changed(|all| all.log_names = true)),
        ("cache-entries=7", changed(|all| all.cache.entries = 7)),
        (
            "cache-isolations=8",
            changed(|all| all.cache.isolations = 8),
        ),
        (
            "cache-ttl=9",
            changed(|all| all.cache.ttl = Duration::from_secs(9)),
        ),
        (
            "cache-negative-ttl=0",
            changed(|all| all.cache.negative_ttl = Duration::ZERO),
        ),
        // The command serve alone heeds them.
        (
            "socks-listen=[::1]:9250, allow-remote-clients=true",
            defaults(),
        ),
        (
            "tor-control=auto, tor-password=p:=;\\ q, naming-plugin=.a=b --c=d",
            defaults(),
        ),
    ]
}

#[test]
fn every_setting_works_in_every_source() {
    let mut seen = vec!["config".to_owned()];
    for (text, expected) in samples() {
        let text = text.replace("{ABSOLUTE}", ABSOLUTE).replace("{HIGH}", HIGH);
        let pairs = text.split(", ").map(|pair| pair.split_once('=').unwrap());
        let pairs: Vec<(&str, &str)> = pairs.collect();
        seen.extend(pairs.iter().map(|(name, _)| (*name).to_owned()));
        let equals: Vec<_> = pairs.iter().map(|(n, v)| format!("--{n}={v}")).collect();
        let equals: Vec<_> = equals.iter().map(String::as_str).collect();
        assert_eq!(arguments(&equals).run().settings, expected);

        let is_switch = |name| KEYS.iter().any(|key| key.name == name && key.is_switch());
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
        assert!(
            seen.iter().any(|name| name == key.name),
            "{} has no sample",
            key.name
        );
    }
}

/// The default that the documents name is what holds without the setting.
#[test]
fn defaults_are_those_that_the_table_names() {
    let mut count = 0;
    for key in KEYS {
        let DefaultValue::Fixed(default) = key.default else {
            continue;
        };
        let owner = match key.owner {
            Some(owner) => format!("backend={};proxy=127.0.0.1:9050;", owner.word()),
            None => String::new(),
        };
        let without = options(&owner).run().settings;
        let with = format!("{owner}{}={}", key.name, escape(default));
        assert_eq!(options(&with).run().settings, without, "{}", key.name);
        count += 1;
    }
    assert!(count > 15, "{count}");
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
        ("delegations", ["off", "auto", "off"]),
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
fn config_may_come_from_the_environment() {
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
    let id = |id: &str| match id {
        "" => IsolationId::shared(),
        id => IsolationId::parse(id.as_bytes()).unwrap(),
    };
    let resolve = |isolation, form| Command::Resolve {
        name: "a.bit".into(),
        isolation: id(isolation),
        form,
    };
    let records = |isolation, json| Command::Records {
        name: "a.bit".into(),
        isolation: id(isolation),
        json,
    };
    for (line, command, timeout) in [
        ("resolve a.bit", resolve("", Form::Plain), 20),
        (
            "--timeout 3 resolve a.bit --isolation x",
            resolve("x", Form::Plain),
            3,
        ),
        (
            "resolve --isolation resolve a.bit --timeout=3",
            resolve("resolve", Form::Plain),
            3,
        ),
        // Given on both sides, the one nearer to the end counts.
        (
            "--timeout=1 resolve a.bit --timeout=3",
            resolve("", Form::Plain),
            3,
        ),
        ("resolve --explain a.bit", resolve("", Form::Explained), 20),
        ("resolve a.bit --explain", resolve("", Form::Explained), 20),
        ("resolve a.bit --json", resolve("", Form::Json), 20),
        (
            "check --json",
            Command::Check {
                serve: false,
                json: true,
            },
            20,
        ),
        (
            "check serve",
            Command::Check {
                serve: true,
                json: false,
            },
            20,
        ),
        ("records a.bit", records("", false), 20),
        ("records a.bit --isolation=-x", records("-x", false), 20),
        ("records --json a.bit", records("", true), 20),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let invocation = arguments(&words).run();
        assert_eq!(invocation.command, command, "{line}");
        assert_eq!(invocation.settings.timeout, Duration::from_secs(timeout));
    }
}

pub(super) fn effective(case: &Case<'_>) -> String {
    let mut case = case.clone();
    case.arguments.push("config");
    match case.run().command {
        Command::Config(text) => text,
        other => panic!("{other:?}"),
    }
}

/// The settings in effect are printed as a file that leads to the same
/// settings.
#[test]
fn effective_settings_are_a_file() {
    let odd = "/a \\\"#'\u{7f}é";
    let with_odd = format!("--names-file={odd}");
    for words in [
        vec![],
        vec![
            "--rpc-address=[::1]:18336",
            "--timeout=2.50",
            "--only-onion",
        ],
        vec![
            "--backend=electrum",
            "--proxy=127.0.0.1:9050",
            "--confirmations=007",
        ],
        vec![
            "--network=regtest",
            "--electrum-server=[::1]:1:t",
            "--electrum-server=localhost:2:s",
            "--verify-all-headers",
            "--cache-ttl=0",
        ],
        vec![&with_odd, "--log-names", "--missing-isolation=unique"],
        vec!["-ncprop279.namecoinrpctimeout=1500", "-ncprop279.onlyonion"],
    ] {
        let text = effective(&arguments(&words));
        let again = file(&text).run().settings;
        assert_eq!(again, arguments(&words).run().settings, "{text}");
        assert!(text.lines().all(|line| line.contains("  # ")), "{text}");
        let is_electrum = words.iter().any(|word| word.contains("electrum"));
        assert_eq!(text.contains("electrum-server"), is_electrum, "{text}");
    }
}

#[test]
#[cfg(unix)]
fn paths_may_be_other_than_utf_8() {
    use std::os::unix::ffi::OsStringExt;
    let odd = |prefix: &str| {
        let mut bytes = prefix.as_bytes().to_vec();
        bytes.push(0xff);
        OsString::from_vec(bytes)
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
