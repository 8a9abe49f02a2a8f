//! Settings from the command line, the environment and the file, as the
//! binary takes them.

use std::path::PathBuf;

use crate::support::plugin::{Plugin, Start};
use crate::support::run;
use crate::support::state::write_private;

const VERSIONS: &str = "TOR_NS_PROTO_VERSION";
const OPTIONS: &str = "TOR_NS_PLUGIN_OPTIONS";

/// A name with an address only, which a setting can forbid.
const NAMES: &str = r#"{"d/a":{"ip":"192.0.2.1"}}"#;

/// A directory for the files of one test.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        write_private(self.path(name), text);
        self.path(name).to_str().unwrap().to_owned()
    }

    fn names(&self) -> String {
        self.write("names.json", NAMES)
    }
}

/// The first line must say that it is ready; then one name is asked for.
#[track_caller]
fn ask(start: Start) -> (String, Plugin) {
    let mut plugin = start.spawn();
    assert_eq!(plugin.line(), "INIT 1 0", "{}", plugin.story());
    (plugin.resolve("1", "a.bit", "i"), plugin)
}

/// Refused: INIT with a reason on stdout, the reason on stderr, status 1. The
/// reason holds all of `parts`.
#[track_caller]
fn refused(row: &str, start: Start, parts: &[&str]) {
    let mut plugin = start.spawn();
    assert_eq!(plugin.wait().code(), Some(1), "{row}{}", plugin.story());
    let lines = plugin.rest();
    assert_eq!(lines.len(), 1, "{row}{}", plugin.story());
    let reason = lines[0]
        .strip_prefix("INIT 1 1 \"")
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or_else(|| panic!("{row}: {}", lines[0]));
    // Quoting only adds backslashes here.
    let reason = reason.replace("\\\"", "\"").replace("\\\\", "\\");
    assert!(!reason.is_empty(), "{row}");
    for part in parts {
        assert!(reason.contains(part), "{row}: {reason} lacks {part:?}");
    }
    let complaints = plugin.all_complaints();
    assert!(
        complaints.iter().any(|line| line.contains(&reason)),
        "{row}: {complaints:?} lacks {reason:?}"
    );
}

#[test]
fn a_common_version_is_needed() {
    for offer in ["1", "0, 1 ,banana"] {
        let mut plugin = Start::new(&[] as &[&str]).env(VERSIONS, offer).spawn();
        assert_eq!(plugin.line(), "INIT 1 0", "{offer}{}", plugin.story());
        plugin.finish();
    }
    for offer in ["", "2,3"] {
        refused(
            offer,
            Start::new(&[] as &[&str]).env(VERSIONS, offer),
            &[VERSIONS],
        );
    }
}

#[test]
fn a_bad_file_is_refused() {
    let files = Files::new();
    for (text, part) in [
        (&b"nope = 1"[..], "nope"),
        (b"timeout = ", "config"),
        (b"\xff", "config"),
    ] {
        let file = files.write("config.toml", text);
        let row = text.escape_ascii().to_string();
        // It says which file.
        refused(
            &row,
            Start::new(&["--config", &file]),
            &[part, "config.toml"],
        );
    }
    let missing = files.path("missing.toml").to_str().unwrap().to_owned();
    refused(
        "missing",
        Start::new(&["--config", &missing]),
        &["config", "missing.toml"],
    );
    let directory = files.0.path().to_str().unwrap();
    refused(
        "directory",
        Start::new(&["--config", directory]),
        &["config"],
    );
}

/// Flags over the environment over the file over the defaults.
#[test]
fn sources_override_each_other() {
    let files = Files::new();
    let names = files.names();
    let on = files.write(
        "on.toml",
        format!("names-file = {names:?}\nonly-onion = true"),
    );
    let off = files.write(
        "off.toml",
        format!("names-file = {names:?}\nonly-onion = false"),
    );
    let none = files.write("none.toml", format!("names-file = {names:?}"));
    let yes = "0 192.0.2.1";
    let no = "3 \"";
    for (file, options, flag, expected) in [
        (&none, "", None, yes),
        (&on, "", None, no),
        (&off, "only-onion=true", None, no),
        (&on, "only-onion=false", None, yes),
        (&on, "", Some("--only-onion=false"), yes),
        (&off, "", Some("--only-onion"), no),
        (&off, "only-onion=false", Some("--only-onion=true"), no),
        (&on, "only-onion=true", Some("--only-onion=false"), yes),
        (&none, "only-onion=true", Some("--only-onion=false"), yes),
    ] {
        let mut arguments = vec!["--config", file.as_str()];
        arguments.extend(flag);
        let (answer, _) = ask(Start::new(&arguments).env(OPTIONS, options));
        assert!(
            answer.starts_with(expected),
            "{file} {options:?} {flag:?}: {answer}"
        );
    }
    // The same for a setting with a value.
    let other = files.write("other.json", r#"{"d/a":{"ip":"192.0.2.2"}}"#);
    let third = files.write("third.json", r#"{"d/a":{"ip":"192.0.2.3"}}"#);
    let options = format!("names-file={other}");
    let (answer, _) = ask(Start::new(&["--config", &none]).env(OPTIONS, &options));
    assert_eq!(answer, "0 192.0.2.2");
    let arguments = ["--config", &none, "--names-file", &third];
    let (answer, _) = ask(Start::new(&arguments).env(OPTIONS, &options));
    assert_eq!(answer, "0 192.0.2.3");
}

#[test]
fn bad_flags_are_refused() {
    for (arguments, part) in [
        (&["--nope=1"][..], "nope"),
        (&["--timeout"], "timeout"),
        (&["--timeout", "nan"], "timeout"),
        (&["--rpc-address", "127.0.0.1:65536"], "rpc-address"),
        (&["--rpc-user", "u"], "rpc-password"),
        (&["--names-file", "n", "--rpc-cookie", "c"], "rpc-cookie"),
        (&["--tor-control", "127.0.0.1"], "tor-control"),
        (&["--naming-plugin", "onion=x"], "naming-plugin"),
        (&["a.bit"], "command"),
    ] {
        refused(&arguments.join(" "), Start::new(arguments), &[part]);
    }
}

/// Promise 3 of SECURITY.md: everybody on the way would see the names.
#[test]
fn a_node_elsewhere_is_refused_unless_that_is_wanted() {
    for address in [
        "192.0.2.1",
        "192.0.2.1:8336",
        "[2001:db8::1]:8336",
        "2001:db8::1",
        "node.example.com",
        "localhost.example.com",
        "0.0.0.0",
        "[::]:8336",
        "128.0.0.1",
    ] {
        let start = Start::new(&["--rpc-address", address]);
        refused(address, start, &["rpc-address", "allow-unproxied-node"]);
        let start = Start::new(&["--rpc-address", address, "--allow-unproxied-node=false"]);
        refused(address, start, &["rpc-address"]);
        for flag in ["--allow-unproxied-node", "--allow-unproxied-node=true"] {
            // Nothing is asked of it, so nothing is sent.
            Plugin::start(&["--rpc-address", address, flag]).finish();
        }
    }
    for address in [
        "127.0.0.1",
        "127.0.0.1:8337",
        "127.1.2.3",
        "localhost",
        "LOCALHOST:8336",
        "localhost.",
        "::1",
        "[::1]",
        "[::1]:8336",
    ] {
        Plugin::start(&["--rpc-address", address]).finish();
    }
}

/// Delegations are followed through the proxy; the node is reached without it.
#[test]
fn a_proxy_beside_a_node_on_this_machine_is_for_delegations() {
    let words = ["--proxy=127.0.0.1:1", "--rpc-address=127.0.0.1"];
    Plugin::start(&words).finish();
    let mut plugin = Start::new(&words).env(OPTIONS, "delegations=auto").spawn();
    assert_eq!(plugin.line(), "INIT 1 0", "{}", plugin.story());
    plugin.finish();
    let off = Start::new(&words).env(OPTIONS, "delegations=off");
    refused(
        "off",
        off,
        &[
            "proxy (command line)",
            "delegations (TOR_NS_PLUGIN_OPTIONS) is off",
        ],
    );
    // Whoever reads on the way to a proxy elsewhere would see the names.
    for source in ["--rpc-address=127.0.0.1", "--names-file=n"] {
        let start = Start::new(&["--proxy=192.0.2.1:9050", source]);
        refused(
            source,
            start,
            &["proxy (command line)", "allow-unproxied-node"],
        );
    }
}

/// What may appear later is not a matter of the configuration.
#[test]
fn a_missing_names_file_or_cookie_fails_lookups_only() {
    let files = Files::new();
    let missing = files.path("missing");
    let missing = missing.to_str().unwrap();
    for arguments in [
        &["--names-file", missing, "--timeout", "0.4"][..],
        &["--rpc-cookie", missing, "--timeout", "0.4"],
        &[
            "--rpc-cookie",
            missing,
            "--timeout",
            "0.4",
            "--rpc-address",
            "127.0.0.1:1",
        ],
        // HOME is an empty directory here, without Namecoin Core's cookie.
        &["--timeout", "0.4", "--rpc-address", "127.0.0.1:1"],
    ] {
        let (answer, plugin) = ask(Start::new(arguments));
        assert!(answer.starts_with("1 \""), "{arguments:?}: {answer}");
        plugin.finish();
    }
}

/// It is tried again, inside the query's time.
#[test]
fn a_names_file_that_appears_is_used() {
    let files = Files::new();
    let path = files.path("names.json");
    let mut plugin = Plugin::start(&["--names-file", path.to_str().unwrap(), "--timeout", "15"]);
    plugin.send("RESOLVE 1 a.bit i\nRESOLVE 2 foo.com i");
    assert!(plugin.answer("2").starts_with("2 "));
    // Moved into its place, so that it is never seen half written.
    let draft = files.names();
    let other = files.path("draft");
    std::fs::rename(&draft, &other).unwrap();
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(plugin.answer("1"), "0 192.0.2.1");
    plugin.finish();
}

/// A names file that is no names file may be repaired while we run.
#[test]
fn a_bad_names_file_fails_lookups_only() {
    let files = Files::new();
    for (text, part) in [
        ("", "names"),
        ("x", "names"),
        ("[]", "names"),
        ("{\"d/a\":5}", "names"),
        ("{\"d/a\":[]}", "names"),
        (
            "{\"d/a\":{\"value\":\"zz\",\"value_encoding\":\"hex\"}}",
            "names",
        ),
        (
            "{\"d/a\":{\"value\":\"{}\",\"value_encoding\":\"rot13\"}}",
            "names",
        ),
    ] {
        let file = files.write("names.json", text);
        let (answer, plugin) = ask(Start::new(&["--names-file", &file, "--timeout", "0.4"]));
        assert!(answer.starts_with("1 \""), "{text}: {answer}");
        assert!(answer.contains(part), "{text}: {answer}");
        plugin.finish();
    }
}

#[test]
fn help_and_version_are_printed() {
    let end = run::with(&["--help"]);
    assert_eq!((end.code, end.stderr.len()), (Some(0), 0), "{end:#?}");
    assert!(end.says("Usage: ncprop279"), "{end:#?}");
    let end = run::with(&["config", "--help"]);
    let why = "A default that depends on other settings or on this system is commented out";
    assert!(end.text().contains(why), "{end:#?}");
    let mut plugin = Start::new(&["--version"]).spawn();
    assert_eq!(plugin.wait().code(), Some(0));
    let lines = plugin.rest();
    let first = concat!("ncprop279 ", env!("CARGO_PKG_VERSION"));
    // A release build adds the commit.
    let is_plain = lines[0] == first || lines[0].starts_with(&format!("{first} ("));
    assert!(is_plain, "{lines:?}");
    assert!(lines[1].starts_with("checkpoint mainnet "), "{lines:?}");
    assert_eq!(lines[2..], ["protocol 1 (Tor proposal 279)"]);
}

/// What `config` prints can be written to a file, and says where each setting
/// came from.
#[test]
fn settings_in_effect_are_printed_as_a_file() {
    let files = Files::new();
    let names = files.names();
    let file = files.write(
        "config.toml",
        format!("# a comment\nnames-file = {names:?}\ntimeout = 3\n[ncprop279]\ncachemaxentries = \"7\"\n"),
    );
    let print = |arguments: &[&str]| {
        let start = Start::new(arguments).env(OPTIONS, "only-onion;cache-ttl=5");
        let end = run::run(start);
        assert_eq!(end.code, Some(0), "{end:#?}");
        end.stdout
    };
    let lines = print(&["config", "--config", &file, "--max-lookups=2"]);
    for line in [
        format!("names-file = {names:?}  # {file}, line 2"),
        format!("timeout = 3  # {file}, line 3"),
        format!("cache-entries = 7  # {file}, line 5, as cachemaxentries of ncprop279 (Go)"),
        "only-onion = true  # environment TOR_NS_PLUGIN_OPTIONS".to_owned(),
        "max-lookups = 2  # command line".to_owned(),
        "cache-isolations = 1000  # default".to_owned(),
        "#backend = \"file\"  # implied by names-file".to_owned(),
    ] {
        assert!(lines.contains(&line), "{line}: {lines:#?}");
    }
}

/// Promise 3 of SECURITY.md: whoever reads on the way to a control port learns
/// every name, and can take Tor over.
#[test]
fn a_control_port_elsewhere_is_refused() {
    for address in ["192.0.2.1:9051", "tor.example:9051", "[::]:9051"] {
        for words in [["serve"].as_slice(), &["serve", "--allow-unproxied-node"]] {
            let arguments = [words, &["--tor-control", address]].concat();
            let end = run::with(&arguments);
            assert_eq!((end.code, end.stdout.len()), (Some(1), 0), "{end:#?}");
            assert!(end.says_on_stderr("must be on this machine"), "{end:#?}");
            assert!(end.says_on_stderr("unix:/PATH"), "{end:#?}");
        }
    }
}

#[test]
fn secrets_are_not_printed_with_the_settings() {
    let options = "rpc-user=hush-hush;rpc-password=hush-hush;tor-password=hush-hush";
    let arguments = [
        "config",
        "--rpc-user=hush-hush",
        "--rpc-password=hush-hush",
        "--tor-password=hush-hush",
    ];
    for start in [
        Start::new(&arguments),
        Start::new(&["config"]).env(OPTIONS, options),
    ] {
        let end = run::run(start);
        assert_eq!(end.code, Some(0), "{end:#?}");
        assert!(end.says("#rpc-password = (set)  # "), "{end:#?}");
        assert!(end.says("#tor-password = (set)  # "), "{end:#?}");
        assert!(!end.says("hush"), "{end:#?}");
    }
    let end = run::with(&["config", "--timeout=x"]);
    assert_eq!((end.code, end.stdout.len()), (Some(1), 0), "{end:#?}");
}

/// A letter that is missing, too many, wrong or in the wrong place.
#[test]
fn what_a_misspelt_setting_is_meant_to_be_is_said() {
    let files = Files::new();
    let file = files.write("config.toml", "cache-entires = 1");
    for (arguments, options, meant) in [
        (&["--rpc-adress=x"][..], "", "did you mean --rpc-address?"),
        (&["check", "--jsno"], "", "did you mean --json?"),
        (&["--verbos"], "", "did you mean --verbose?"),
        (&["chekpoint"], "", "did you mean checkpoint?"),
        (
            &["--timeout", "3", "reslove", "a.bit"],
            "",
            "did you mean resolve?",
        ),
        (&[], "timout=1", "did you mean timeout?"),
        (&["--config", &file], "", "did you mean cache-entries?"),
    ] {
        let end = run::run(Start::new(arguments).env(OPTIONS, options));
        assert_eq!(end.code, Some(1), "{end:#?}");
        assert!(end.says_on_stderr(meant), "{meant} {end:#?}");
    }
    let end = run::with(&["--nonsense"]);
    assert!(!end.says("meant"), "{end:#?}");
}

/// Other users see the command line, not the environment or the file.
#[test]
fn a_password_on_the_command_line_earns_a_warning() {
    let files = Files::new();
    let file = files.write(
        "config.toml",
        "rpc-user = \"alice\"\nrpc-password = \"hush-hush\"",
    );
    let start = |warned: bool| {
        if warned {
            Start::new(&["--rpc-user", "alice", "--rpc-password", "hush-hush"])
        } else {
            Start::new(&["--config", &file])
        }
    };
    for warned in [true, false] {
        let mut plugin = start(warned).spawn();
        assert_eq!(plugin.line(), "INIT 1 0");
        plugin.close_stdin();
        assert_eq!(plugin.wait().code(), Some(0));
        let complaints = plugin.all_complaints();
        assert_eq!(complaints.len(), usize::from(warned), "{complaints:?}");
        for line in complaints {
            assert!(line.contains("rpc-password"), "{line}");
            assert!(
                !line.contains("hush-hush") && !line.contains("alice"),
                "{line}"
            );
        }
    }
}

/// A message about a mistake is no place for a secret.
#[test]
fn a_mistake_beside_a_password_does_not_show_it() {
    let files = Files::new();
    let broken = files.write("broken.toml", "rpc-password = \"hush-hush\" x");
    let listed = files.write("listed.toml", "rpc-password = [\"hush-hush\"]");
    let unknown = files.write("unknown.toml", "rpc-pasword = \"hush-hush\"");
    for (arguments, options) in [
        (&["--rpc-user", "hush-hush"][..], ""),
        (&["--rpc-password", "hush-hush"], ""),
        (&["--rpc-user", "u", "--rpc-password", "hush\n-hush"], ""),
        (&["--rpc-user", "hush:hush-hush", "--rpc-password", "p"], ""),
        (&["--rpc-password", "x", "hush-hush"], ""),
        (&["--rpc-pasword=hush-hush"], ""),
        (&["--rpc-password", "hush-hush", "--rpc-cookie", "c"], ""),
        (&["--tor-password", "hush\n-hush"], ""),
        (&["--tor-password", "x", "hush-hush"], ""),
        (&["serve", "--tor-password", "hush-hush"], ""),
        (&[], "tor-password=x\\hush-hush"),
        (&[], "tor-password=x;hush-hush"),
        (&["--config", &broken], ""),
        (&["--config", &listed], ""),
        (&["--config", &unknown], ""),
        (&[], "rpc-password=hush-hush"),
        (&[], "rpc-user=u;rpc-password=x\\hush-hush"),
        (&[], "rpc-user=u;rpc-password=hush-hush\\"),
    ] {
        let mut plugin = Start::new(arguments).env(OPTIONS, options).spawn();
        assert_eq!(
            plugin.wait().code(),
            Some(1),
            "{arguments:?} {options}{}",
            plugin.story()
        );
        for line in plugin.rest().iter().chain(&plugin.all_complaints()) {
            assert!(
                !line.contains("hush-hush"),
                "{arguments:?} {options}: {line}"
            );
        }
    }
}

/// A password with a semicolon that was not escaped: what follows it is no
/// name of a setting, and is not shown.
#[test]
fn the_rest_of_an_unescaped_password_is_not_shown() {
    for options in [
        "rpc-user=u;rpc-password=x;hush-hush",
        "rpc-user=u;rpc-password=x;hush-hush=",
        "rpc-user=u;rpc-password=x;hush-hush=y",
    ] {
        let mut plugin = Start::new(&[] as &[&str]).env(OPTIONS, options).spawn();
        assert_eq!(plugin.wait().code(), Some(1), "{options}{}", plugin.story());
        for line in plugin.rest().iter().chain(&plugin.all_complaints()) {
            assert!(!line.contains("hush-hush"), "{options}: {line}");
        }
    }
}

/// A password that looks like an option is not shown either.
#[test]
fn a_password_with_a_hyphen_in_front_is_not_shown() {
    for password in ["-hush-hush", "--hush-hush"] {
        let arguments = ["--rpc-user", "u", "--rpc-password", password];
        let mut plugin = Start::new(&arguments).spawn();
        plugin.close_stdin();
        plugin.wait();
        for line in plugin.rest().iter().chain(&plugin.all_complaints()) {
            assert!(!line.contains("hush-hush"), "{password}: {line}");
        }
    }
}

/// A negative number is a bad value of its key, not an unknown option.
#[test]
fn a_negative_number_is_a_bad_value() {
    for key in ["timeout", "cache-entries", "cache-isolations", "cache-ttl"] {
        let flag = format!("--{key}");
        refused(&flag, Start::new(&[&flag, "-1"]), &[key]);
        refused(&flag, Start::new(&[format!("{flag}=-1")]), &[key]);
    }
}
