//! Every error and every warning.

use super::*;

#[test]
fn checks_the_protocol_version_of_a_plugin() {
    for versions in ["1", "2,1", " 1 , next", "x,,1", "1,1"] {
        let case = Case {
            versions: Some(versions),
            ..Case::default()
        };
        assert_eq!(case.run().command, Command::Plugin);
    }
    for versions in ["", "2", "11", "one", "1.0", "01", "1;2"] {
        let mut case = Case {
            versions: Some(versions),
            ..Case::default()
        };
        case.fails(&["TOR_NS_PROTO_VERSION", "version 1"]);
        assert!(case.read().unwrap_err().is_plugin);
        case.arguments = vec!["resolve", "a.bit"];
        case.run();
    }
}

#[test]
fn reads_the_options_variable() {
    let password = |text: &str| {
        let text = format!("rpc-user=u;rpc-password={text}");
        let Settings {
            source: SourceSettings::Rpc(rpc),
            ..
        } = options(&text).run().settings
        else {
            panic!()
        };
        match rpc.credentials {
            Credentials::Password { password, .. } => password,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(password(""), "");
    assert_eq!(password("a:b/c=d e"), "a:b/c=d e");
    assert_eq!(password(r"\:\;\=\\"), r":;=\");
    assert_eq!(password("é;only-onion"), "é");
    assert!(options("only-onion").run().settings.only_onion);
    assert!(options("only-onion;").run().settings.only_onion);
    assert!(!options("only_onion=false").run().settings.only_onion);
    let variable = OPTIONS_VARIABLE;
    for (text, part) in [
        (";", "without a key"),
        ("=1", "without a key"),
        ("timeout=1;;only-onion", "without a key"),
        ("timeout=1; ", "without a key"),
        ("timeout", "timeout without a value"),
        ("timeout=1\\", "single backslash"),
        ("names-file=C:\\names", "escapes nothing"),
        ("timeout=1;timeout=1", "timeout more than once"),
        ("rpc_user=a;rpc-user=b", "rpc-user more than once"),
        ("nonsense=1", "unknown setting \"nonsense\""),
        ("non\nsense=1", "unknown setting \"non\\nsense\""),
        ("Timeout=1", "unknown setting"),
    ] {
        options(text).fails(&[variable, part]);
    }
}

#[test]
fn reads_the_file() {
    assert_eq!(
        file("timeout = 3").run().settings.timeout,
        Duration::from_secs(3)
    );
    for (text, part) in [
        ("nonsense = 1", "unknown setting \"nonsense\""),
        ("timeout = [1]", "timeout with a list or date"),
        ("timeout = 2020-01-01", "timeout with a list or date"),
        ("[ncprop279]\ntimeout = 1", "has timeout in its section"),
        ("[other]\ntimeout = 1", "the section \"other\""),
        ("rpc-user = 'a'\nrpc_user = 'b'", "rpc-user more than once"),
        ("config = 'x'", "cannot name another"),
        ("\nrpc-password = 'hunter2", "line 2"),
        ("timeout = 1\ntimeout = 2", "second time in its line 2"),
        ("only-onion = True", "line 1; put text in quotes"),
        ("electrum-server = []", "electrum-server with an empty list"),
        ("timeout = nan", "timeout"),
        ("timeout = -1", "timeout"),
        ("only-onion = 1", "only-onion"),
    ] {
        let message = file(text).fails(&[part]);
        assert!(!message.contains("hunter2"));
    }
    arguments(&["--config", "/does/not/exist"]).fails(&[
        "config",
        "/does/not/exist",
        "cannot be read",
    ]);
    let large = "#".repeat((1 << 20) + 1);
    file(&large).fails(&["more than 1048576 bytes"]);
}

#[test]
fn bad_values_name_the_key_its_source_and_what_is_right() {
    let long = "9".repeat(200);
    for (name, value, part) in [
        ("rpc-address", "", "host name"),
        ("rpc-address", "http://127.0.0.1:8336", "not a URL"),
        ("rpc-address", "localhost:0", "1 to 65535"),
        ("rpc-user", "a:b", "colon"),
        ("rpc-password", "a\u{7}", "control character"),
        ("rpc-cookie", "", "empty"),
        (
            "rpc-dialect",
            "Core",
            "auto or core or electrum-nmc or consensusj",
        ),
        ("names-file", "", "empty"),
        ("timeout", "0", "above 0, at most 86400"),
        ("timeout", "0.0000000001", "above 0"),
        ("timeout", "86400.1", "at most 86400"),
        ("timeout", "1e3", "seconds"),
        ("timeout", "inf", "seconds"),
        ("timeout", "", "seconds"),
        ("timeout", ".", "seconds"),
        ("only-onion", "yes", "true or false"),
        ("allow-unproxied-node", "1", "true or false"),
        ("missing-isolation", "none", "shared or unique or refuse"),
        ("cache-entries", "0", "from 1 to 1000000"),
        ("cache-entries", "1000001", "from 1 to 1000000"),
        ("cache-isolations", "+1", "from 1 to 1000000"),
        ("cache-isolations", &long, "from 1 to 1000000"),
        ("cache-ttl", "86401", "from 0 to 86400"),
        ("cache-ttl", "1.5", "from 0 to 86400"),
        ("cache-negative-ttl", "-1", "from 0 to 86400"),
        ("config", "", "empty"),
        ("backend", "node", "rpc or electrum or file"),
        ("network", "testnet", "mainnet or regtest"),
        ("electrum-server", "a.onion", "HOST:PORT:s"),
        ("electrum-operators", "3", "auto or 1 or 2"),
        ("electrum-server", "a.onion:50002", "HOST:PORT:s"),
        ("electrum-server", "a.onion:s", "HOST:PORT"),
        ("proxy", "socks5://127.0.0.1:9050", "not a URL"),
        ("delegations", "on", "auto or off"),
        ("delegations", "", "auto or off"),
        ("tor-control", "", "write auto"),
        ("tor-control", "Auto", "write auto"),
        ("tor-control", "9051", "write auto"),
        ("tor-control", "127.0.0.1", "write auto"),
        ("tor-control", "127.0.0.1:0", "1 to 65535"),
        ("tor-control", "unix:control", "absolute path"),
        ("tor-control", "192.0.2.1:9051", "on this machine"),
        ("tor-control", "0.0.0.0:9051", "on this machine"),
        ("tor-control", "[::]:9051", "on this machine"),
        ("tor-control", "tor.example:9051", "127.0.0.1:PORT"),
        ("tor-control", "localhost.example:9051", "on this machine"),
        ("tor-password", "a\u{7}", "control character"),
        ("naming-plugin", "", "SUFFIX=COMMAND"),
        ("naming-plugin", "gns", "SUFFIX=COMMAND"),
        ("naming-plugin", "gns=", "no command for \"gns\""),
        ("naming-plugin", "gns= ", "no command for \"gns\""),
        ("naming-plugin", "gns=a\nb", "control character"),
        ("naming-plugin", "=a", "suffix \"\""),
        ("naming-plugin", ".=a", "suffix \".\""),
        ("naming-plugin", "..gns=a", "labels of letters"),
        ("naming-plugin", "gns.=a", "labels of letters"),
        ("naming-plugin", "a..b=a", "labels of letters"),
        ("naming-plugin", "g_s=a", "labels of letters"),
        ("naming-plugin", "é=a", "labels of letters"),
        ("naming-plugin", "onion=a", "Tor itself resolves"),
        ("naming-plugin", ".Onion=a", "Tor itself resolves"),
        ("naming-plugin", "EXIT=a", "Tor itself resolves"),
        ("naming-plugin", "a.1=a", "IP addresses"),
        ("naming-plugin", "bit.onion=a", "this program itself"),
        ("naming-plugin", "a.Bit.onion=a", "this program itself"),
        ("electrum-server", "a.onion:0:s", "1 to 65535"),
        ("electrum-server", "a.onion:1:x", "HOST:PORT:s"),
        ("checkpoint", "1", "height, a colon and its hash"),
        ("checkpoint", "1:00", "height, a colon and its hash"),
        (
            "checkpoint",
            "+1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "height, a colon",
        ),
        (
            "checkpoint",
            "4294967295:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "height, a colon",
        ),
        ("confirmations", "0", "from 1 to 10000"),
        ("confirmations", "10001", "from 1 to 10000"),
        ("state-directory", "", "is empty"),
        ("state-directory", "~/state", "absolute path"),
    ] {
        let argument = format!("--{name}={value}");
        let message = arguments(&[&argument]).fails(&[name, "(command line)", part]);
        assert!(message.len() < 200, "{message}");
        let option = format!("{name}={}", escape(value));
        options(&option).fails(&[name, "(TOR_NS_PLUGIN_OPTIONS)", part]);
        // Wrong below is wrong, even if overridden.
        if name == "timeout" {
            let mut overridden = arguments(&["--timeout=1"]);
            overridden.options = Some(&option);
            overridden.fails(&["timeout (TOR_NS_PLUGIN_OPTIONS)"]);
        }
        if name != "config" {
            let text = format!("{name} = {}", serde_json::Value::from(value));
            file(&text).fails(&[name, "(\"", part]);
        }
    }
    for (least, most) in [
        ("timeout=0.001", "timeout=86400"),
        ("cache-ttl=0", "cache-ttl=86400"),
        ("cache-entries=1", "cache-entries=1000000"),
    ] {
        options(least).run();
        options(most).run();
    }
}

#[test]
fn sources_exclude_each_other_across_layers() {
    for other in [
        "rpc-address=127.0.0.1",
        "rpc-cookie=c",
        "rpc-dialect=core",
        "rpc-user=u",
    ] {
        let (name, value) = other.split_once('=').unwrap();
        let both = format!("names-file=n;{other}");
        options(&both).fails(&["names-file (TOR", &format!("{name} (TOR")]);
        let text = format!("{name} = \"{value}\"");
        let mut case = file(&text);
        case.arguments = vec!["--names-file=n"];
        case.fails(&["names-file (command line)", &format!("{name} (\"")]);
        let argument = format!("--{other}");
        let mut case = arguments(&[&argument]);
        case.options = Some("names-file=n");
        case.fails(&["names-file (TOR", &format!("{name} (command line)")]);
    }
    options("names-file=n;allow-unproxied-node").run();
}

#[test]
fn credentials_must_be_complete_and_of_one_kind() {
    options("rpc-user=u").fails(&["rpc-user (TOR", "needs rpc-password"]);
    options("rpc-password=hunter2").fails(&["rpc-password (TOR", "needs rpc-user"]);
    options("rpc-cookie=c;rpc-user=u;rpc-password=p").fails(&["rpc-cookie (TOR", "rpc-user (TOR"]);
    let mut case = file("rpc-password = 'hunter2'");
    case.arguments = vec!["--rpc-cookie=c"];
    let message = case.fails(&["rpc-cookie (command line)", "rpc-password (\""]);
    assert!(!message.contains("hunter2"));
    // The two may come from different sources.
    case.arguments = vec!["--rpc-user=u"];
    let invocation = case.run();
    assert!(invocation.warnings.is_empty());
    assert!(!format!("{invocation:?}").contains("hunter2"));
}

/// The file of a group, such as one for the services that may look names up,
/// is as good as one's own.
#[cfg(unix)]
#[test]
fn a_password_in_a_file_that_everybody_can_read_earns_a_warning() {
    use std::os::unix::fs::PermissionsExt;

    let section = "[ncprop279]\nnamecoinrpcusername='u'\nnamecoinrpcpassword='hunter2'";
    for text in ["rpc-user = 'u'\nrpc-password = 'hunter2'", section] {
        for (mode, warned) in [(0o600, false), (0o640, false), (0o604, true), (0o644, true)] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let permissions = std::fs::Permissions::from_mode(mode);
            file.as_file().set_permissions(permissions).unwrap();
            let path = file.path().to_str().unwrap();
            let warnings = arguments(&["--config", path]).run().warnings;
            assert_eq!(
                warnings.len(),
                usize::from(warned),
                "{mode:o}: {warnings:?}"
            );
            assert!(warnings.iter().all(|warning| {
                warning.contains("rpc-password")
                    && warning.contains(path)
                    && !warning.contains("hunter2")
            }));
        }
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"timeout = 5").unwrap();
    let permissions = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(permissions).unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(arguments(&["--config", path]).run().warnings, [""; 0]);
}

#[test]
fn command_line_errors_are_one_line_without_words_of_the_user() {
    for (words, part, is_plugin) in [
        (vec!["--nonsense"], "--nonsense", true),
        (vec!["--rpc-pasword=hunter2"], "--rpc-pasword", true),
        (vec!["-x"], "-x", true),
        (
            vec!["--timeout"],
            "--timeout (command line) needs a value",
            true,
        ),
        (
            vec!["--timeout", "1", "--timeout", "2"],
            "--timeout (command line) is given more",
            true,
        ),
        (vec!["--only-onion", "--only-onion"], "more than once", true),
        (vec!["hunter2"], "no such command", true),
        (
            vec!["--timeout", "resolve", "hunter2"],
            "no such command",
            true,
        ),
        (vec!["resolve"], "needs a name", false),
        (vec!["--timeout", "1", "resolve"], "needs a name", false),
        (vec!["completions"], "needs a shell: bash", false),
        (
            vec!["resolve", "a.bit", "x", "hunter2"],
            "unexpected argument",
            false,
        ),
        (
            vec!["records", "a.bit", "hunter2"],
            "unexpected argument",
            false,
        ),
        (
            vec!["records", "a.bit", "hunter2", "-vv"],
            "unexpected argument",
            false,
        ),
        (vec!["-vv", "hunter2"], "no such command", true),
        (vec!["records", "-qhunter2"], "command line", false),
        (vec!["records", "a.bit", "--nonsense"], "--nonsense", false),
        (
            vec!["records", "a.bit", "--timeout=x"],
            "timeout (command line)",
            false,
        ),
        (vec!["help", "hunter2"], "no such command", false),
    ] {
        let message = arguments(&words).fails(&[part]);
        assert!(!message.contains("hunter2"), "{message}");
        let error = arguments(&words).read().unwrap_err();
        assert_eq!(error.is_plugin, is_plugin, "{words:?}");
    }
}

#[test]
fn a_source_has_its_own_settings_only() {
    for (words, parts) in [
        (
            vec!["--backend=file"],
            &["backend (command line) needs names-file"][..],
        ),
        (
            vec!["--backend=rpc", "--names-file=n"],
            &["backend", "names-file", "together"],
        ),
        (
            vec!["--backend=electrum", "--rpc-user=u"],
            &["backend", "rpc-user", "together"],
        ),
        (
            vec!["--network=mainnet", "--names-file=n"],
            &["network", "names-file", "together"],
        ),
        (
            vec!["--electrum-server=a.onion:1:t", "--rpc-address=[::1]"],
            &["electrum-server", "rpc-address", "together"],
        ),
    ] {
        arguments(&words).fails(parts);
    }
}

#[test]
fn servers_that_see_or_decide_too_much_are_warned_of() {
    let warnings = |servers: &[&str]| {
        let mut words = vec!["--proxy=127.0.0.1:9050"];
        words.extend(servers);
        arguments(&words).run().warnings
    };
    let plain = "--electrum-server=electrum.example:1:t";
    let tls = "--electrum-server=other.example:1:s";
    let onion = "--electrum-server=a.onion:1:t";
    assert_eq!(warnings(&[tls, onion]), [] as [String; 0]);
    let [text] = warnings(&[plain, onion]).try_into().unwrap();
    assert!(
        text.contains("the server electrum.example:1 without TLS"),
        "{text}"
    );
    // Every one of them is named.
    let second = "--electrum-server=second.example:2:t";
    let [text] = warnings(&[plain, tls, onion, second]).try_into().unwrap();
    let both = "the servers electrum.example:1, second.example:2 without TLS";
    assert!(text.contains(both), "{text}");
    let [text] = warnings(&[onion]).try_into().unwrap();
    assert!(text.contains("names a.onion:1 only"), "{text}");
}

/// A second operator can be waited for in vain for ever.
#[test]
fn two_operators_need_two_servers() {
    let one = "--electrum-server=127.0.0.1:50001:t";
    let other = "--electrum-server=127.0.0.1:50002:t";
    let both = ["--network=regtest", "--electrum-operators=2", one];
    arguments(&both).fails(&["electrum-operators (command line) is 2", "electrum-server"]);
    arguments(&[&both[..], &[other]].concat()).read().unwrap();
    arguments(&["--network=regtest", "--electrum-operators=1", one])
        .read()
        .unwrap();
}

/// Of two commands for one suffix, one would be ignored.
#[test]
fn a_suffix_has_one_plugin() {
    let twice = ["--naming-plugin=a.B=x", "--naming-plugin=.A.b=y"];
    arguments(&twice).fails(&["naming-plugin (command line)", "two commands for .a.b"]);
    options("naming-plugin=a=x;naming-plugin=a=x").fails(&["two commands for .a"]);
    file("naming-plugin = ['a=x', 'a=y']").fails(&["naming-plugin (\"", "two commands for .a"]);
}

/// It is for the control port and for nothing else.
#[test]
fn the_password_of_tor_needs_its_control_port() {
    let password = "--tor-password=hunter2";
    let message = arguments(&["serve", password]).fails(&["tor-password (command line)", "auto"]);
    assert!(!message.contains("hunter2"));
    // Other commands have no use for it, and may share their file with serve.
    arguments(&["resolve", "a.bit", password]).run();

    let warnings = arguments(&["serve", "--tor-control=auto", password])
        .run()
        .warnings;
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:?}")
    };
    assert!(warning.contains("CookieAuthentication 1"), "{warning}");
    assert!(!warning.contains("hunter2"), "{warning}");
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

#[test]
fn a_door_for_other_machines_must_be_meant() {
    for address in ["0.0.0.0:9250", "[::]:9250", "192.0.2.1:9250"] {
        let listen = format!("--socks-listen={address}");
        arguments(&["serve", &listen]).fails(&["socks-listen", address, "allow-remote-clients"]);
        arguments(&["serve", &listen, "--allow-remote-clients"]).run();
    }
    for proxy in ["127.0.0.1:9250", "localhost:9250"] {
        arguments(&["serve", "--proxy", proxy]).fails(&["proxy", "itself listens"]);
    }
    let own = ["serve", "--proxy=unix:/run/s", "--socks-listen=unix:/run/s"];
    arguments(&own).fails(&["proxy", "itself listens"]);
    for address in [
        "127.0.0.1:9250",
        "127.0.0.2:0",
        "[::1]:1",
        "unix:/run/socks",
    ] {
        arguments(&["serve", &format!("--socks-listen={address}")]).run();
    }
    for address in [
        "",
        "9250",
        "localhost",
        "127.0.0.1",
        "::1:9250",
        "unix:",
        "a.example:1",
    ] {
        arguments(&["serve", &format!("--socks-listen={address}")]).fails(&["socks-listen"]);
    }
}
