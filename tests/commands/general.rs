//! The subcommands for people, and the names file.

use std::time::Instant;

use crate::support::PATIENCE;
use crate::support::plugin::{Plugin, Start};

const EXAMPLES: [&str; 2] = ["--names-file", "examples/names.json"];

/// What a subcommand printed, and its exit status.
struct Output {
    stdout: Vec<String>,
    stderr: Vec<String>,
    status: Option<i32>,
}

fn run(arguments: &[&str]) -> Output {
    let mut plugin = Start::new(arguments).spawn();
    let status = plugin.wait().code();
    Output {
        stdout: plugin.rest(),
        stderr: plugin.all_complaints(),
        status,
    }
}

fn on_examples(arguments: &[&str]) -> Output {
    run(&[arguments, &EXAMPLES].concat())
}

fn on_names(names: &str, arguments: &[&str]) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), names).unwrap();
    let path = file.path().to_str().unwrap();
    run(&[arguments, &["--names-file", path]].concat())
}

#[test]
fn resolve_prints_the_answer_first_and_exits_with_the_status() {
    for (name, answer, status) in [
        ("example.bit", "192.0.2.1", 0),
        ("EXAMPLE.bit.", "192.0.2.1", 0),
        ("d/example", "192.0.2.1", 0),
        ("blog.example.bit", "example.github.io", 0),
        (
            "onion.bit",
            "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion",
            0,
        ),
        ("foo.com", "foo.com is not a Namecoin domain", 2),
        ("none.bit", "none.bit is not registered", 3),
        (
            "delegated.bit",
            "delegated.bit is delegated to name servers",
            3,
        ),
    ] {
        let output = on_examples(&["resolve", name]);
        // A script takes what is on stdout for an address.
        let (stdout, stderr) = match status {
            0 => (vec![answer.to_owned()], vec![]),
            _ => (vec![], vec![format!("ncprop279: {answer}")]),
        };
        assert_eq!(output.stdout, stdout, "{name}");
        assert_eq!(output.stderr, stderr, "{name}");
        assert_eq!(output.status, Some(status), "{name}");
    }
}

/// A client waits for a line, and gets the message in it.
#[test]
fn a_bad_command_line_of_a_plugin_says_what_to_write() {
    for (arguments, message) in [
        (
            &["-version"][..],
            "-version (command line) has one hyphen; write --version",
        ),
        (
            &["-verbose"],
            "-verbose (command line) has one hyphen; write --verbose",
        ),
        (
            &["--only-onion", "true"],
            "--only-onion (command line) takes its value after an equals sign; \
             write --only-onion=true",
        ),
        (
            &["onion.bit"],
            "no such command (command line); to look up a name, write ncprop279 resolve NAME; \
             the commands are resolve, records, check, serve, checkpoint, config, completions, \
             help",
        ),
    ] {
        let output = run(arguments);
        assert_eq!(output.status, Some(1), "{arguments:?}");
        assert_eq!(output.stderr, [format!("ncprop279: {message}")]);
        assert_eq!(output.stdout, [format!("INIT 1 1 \"{message}\"")]);
    }
    // The values of options are no options.
    let options = ["--config", "-version", "--rpc-password", "--other"];
    let output = run(&[&options[..], &["true"]].concat());
    assert!(
        output.stderr[0].contains("no such command"),
        "{:?}",
        output.stderr
    );
}

/// A value with a hyphen in front is one all the same.
#[test]
fn the_isolation_id_is_an_option() {
    for id in ["some-id", "AAAA", "a.bit", "-x", "--other", "yes"] {
        let output = on_examples(&["resolve", "example.bit", "--isolation", id, "--explain"]);
        assert_eq!(output.stdout[0], "192.0.2.1", "{:?}", output.stderr);
        let way = output.stdout.join(" ");
        assert!(
            way.contains(&format!("under the isolation id {id},")),
            "{way}"
        );
        let output = on_examples(&["records", &format!("--isolation={id}"), "example.bit"]);
        assert_eq!(output.status, Some(0), "{:?}", output.stderr);
    }
    // Status 3 would mean that the name has no answer.
    for id in ["", "two words", "\u{fc}", &"i".repeat(1025)] {
        for command in ["resolve", "records"] {
            let output = on_examples(&[command, "example.bit", "--isolation", id]);
            assert_eq!(output.status, Some(1), "{id:?} {:?}", output.stderr);
            assert!(output.stdout.is_empty(), "{:?}", output.stdout);
            let begin = "ncprop279: --isolation (command line) cannot be used: the isolation id";
            assert!(output.stderr[0].starts_with(begin), "{:?}", output.stderr);
        }
    }
}

/// Not even as a value of the one before it.
#[test]
fn no_option_is_swallowed() {
    for (option, next) in [
        ("--isolation", "--only-onion"),
        ("--isolation", "--explain"),
        ("--timeout", "--explain"),
        ("--rpc-password", "--rpc-user=me"),
        ("--config", "--names-file"),
    ] {
        let output = on_examples(&["resolve", "example.bit", option, next]);
        assert_eq!(
            output.status,
            Some(1),
            "{option} {next}: {:?}",
            output.stdout
        );
        let expected = format!("{option} (command line) needs a value; write {option}=value");
        assert!(output.stderr[0].ends_with(&expected), "{:?}", output.stderr);
        assert!(output.stdout.is_empty(), "{:?}", output.stdout);
    }
    let output = on_examples(&["resolve", "example.bit", "--isolation=--json"]);
    assert_eq!(output.status, Some(0), "{:?}", output.stderr);
}

#[test]
fn options_may_precede_or_follow_the_command() {
    let [flag, file] = EXAMPLES;
    for arguments in [
        &[flag, file, "resolve", "example.bit"][..],
        &["resolve", flag, file, "example.bit"],
        &["resolve", "example.bit", flag, file],
        &[
            "--timeout=5",
            "resolve",
            flag,
            file,
            "example.bit",
            "--only-onion=false",
        ],
    ] {
        let output = run(arguments);
        assert_eq!(output.stdout[0], "192.0.2.1", "{arguments:?}");
        assert_eq!(output.status, Some(0), "{arguments:?}");
    }
    for arguments in [
        &["--only-onion", "resolve", "example.bit", flag, file][..],
        &[flag, file, "resolve", "example.bit", "--only-onion"],
        &[flag, file, "resolve", "--only-onion", "example.bit"],
    ] {
        assert_eq!(run(arguments).status, Some(3), "{arguments:?}");
    }
    let output = run(&[flag, file, "records", "raw.bit"]);
    assert_eq!(output.stdout, ["raw.bit. 600 IN A 192.0.2.5"]);
}

/// A person's mistake is for stderr: no client waits for INIT.
#[test]
fn a_bad_command_line_of_a_subcommand_is_reported_on_stderr_only() {
    for (arguments, part) in [
        (&["resolve"][..], "name"),
        (&["records"], "name"),
        (
            &["resolve", "a.bit", "i"],
            "unexpected argument (command line); resolve takes one name; \
             write an isolation id as --isolation=ID",
        ),
        (
            &["resolve", "a.bit", "i", "more", "-v"],
            "unexpected argument (command line); resolve takes one name;",
        ),
        (
            &["records", "a.bit", "more"],
            "unexpected argument (command line); records takes one name;",
        ),
        (
            &["check", "a.bit"],
            "unexpected argument (command line); check takes no word but serve",
        ),
        (&["resolve", "a.bit", "--nope"], "nope"),
        (
            &["resolve", "-explain", "a.bit"],
            "-explain (command line) has one hyphen; write --explain",
        ),
        (
            &["resolve", "a.bit", "-timeout", "5"],
            "-timeout (command line) has one hyphen; write --timeout",
        ),
        (&["resolve", "-nope", "a.bit"], "two hyphens"),
        (
            &["--explain", "resolve", "a.bit"],
            "--explain (command line) is an option of resolve; write it after the command",
        ),
        (
            &["records", "--explain", "a.bit"],
            "--explain (command line) is an option of resolve;",
        ),
        (
            &["--json", "records", "a.bit"],
            "--json (command line) is an option of resolve, records and check; write it after",
        ),
        (
            &["resolve", "a.bit", "--json", "--explain"],
            "--explain and --json (command line) cannot be used together",
        ),
        (
            &["--isolation", "i", "resolve", "a.bit"],
            "--isolation (command line) is an option of resolve and records;",
        ),
        (&["check", "--isolation=i"], "of resolve and records;"),
        // A word of its own would be taken for the name.
        (
            &["resolve", "--only-onion", "yes", "onion.bit"],
            "--only-onion (command line) takes its value after an equals sign; \
             write --only-onion=true",
        ),
        (
            &["resolve", "onion.bit", "--only-onion", "0"],
            "write --only-onion=false",
        ),
        (
            &["resolve", "--log-names", "on", "onion.bit"],
            "write --log-names=true",
        ),
        (&["resolve", "a.bit", "AAAA"], "no type of record"),
        (&["resolve", "a.bit", "txt"], "see records NAME"),
        (&["resolve", "a.bit", "b.bit"], "--isolation=ID"),
        (&["resolve", "a.bit", "d/b"], "takes one name"),
        (
            &["resolve", "a.bit", "--isolation=i", "--isolation=i"],
            "more than once",
        ),
        (&["resolve", "a.bit", "--isolation"], "needs a value"),
        (&["records", "a.bit", "AAAA"], "unexpected argument"),
        (&["resolve", "-vx", "a.bit"], "\"-x\""),
        (
            &["resolve", "-x", "a.bit"],
            "\"-x\" (command line) is an unknown option; see",
        ),
        (&["resolve", "a.bit", "--timeout", "x"], "timeout"),
        (&["--timeout", "x", "records", "a.bit"], "timeout"),
        (
            &["--names-file", "n", "--rpc-cookie", "c", "resolve", "a.bit"],
            "names-file",
        ),
    ] {
        let output = run(arguments);
        assert_eq!(output.status, Some(1), "{arguments:?}");
        assert!(
            output.stdout.is_empty(),
            "{arguments:?}: {:?}",
            output.stdout
        );
        assert!(
            output.stderr[0].contains(part),
            "{arguments:?}: {:?}",
            output.stderr
        );
    }
}

#[test]
fn records_are_listed_in_zone_file_form() {
    let expected = [
        "example.bit. 600 IN A 192.0.2.1",
        "example.bit. 600 IN AAAA 2001:db8::1",
        "*.example.bit. 600 IN A 192.0.2.2",
        "blog.example.bit. 600 IN CNAME example.github.io.",
        "www.example.bit. 600 IN CNAME example.bit.",
    ];
    for name in ["example.bit", "example.bit.", "EXAMPLE.bit", "d/example"] {
        let output = on_examples(&["records", name]);
        assert_eq!(output.stdout, expected, "{name}");
        assert!(output.stderr.is_empty(), "{name}: {:?}", output.stderr);
        assert_eq!(output.status, Some(0), "{name}");
    }
    let output = on_examples(&["records", "d/imported"]);
    assert_eq!(
        output.stdout,
        [
            "imported.bit. 600 IN A 192.0.2.4",
            "imported.bit. 600 IN TXT \"shared by several names\"",
            "www.imported.bit. 600 IN CNAME imported.bit.",
        ]
    );
    assert_eq!(
        on_examples(&["records", "delegated.bit"]).stdout,
        ["delegated.bit. 600 IN NS ns1.example.com."]
    );
}

/// Whatever the value holds, a record is one line of printable characters.
#[test]
fn records_are_one_line_each() {
    let output = on_names(
        r#"{"d/a":{"txt":["a\nb.bit. 600 IN A 6.6.6.6","q\"uote\\","\u001b[31m\u00fc",["two","parts"],""]}}"#,
        &["records", "a.bit"],
    );
    assert_eq!(output.status, Some(0));
    assert_eq!(output.stdout.len(), 5, "{:?}", output.stdout);
    for line in &output.stdout {
        assert!(line.starts_with("a.bit. 600 IN TXT \""), "{line}");
        assert!(
            line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{line}"
        );
    }
    assert!(
        output
            .stdout
            .contains(&"a.bit. 600 IN TXT \"two\" \"parts\"".to_owned()),
        "{:?}",
        output.stdout
    );
    assert!(
        output
            .stdout
            .contains(&"a.bit. 600 IN TXT \"q\\\"uote\\\\\"".to_owned()),
        "{:?}",
        output.stdout
    );
}

#[test]
fn a_value_without_records_is_read_all_the_same() {
    let output = on_names(r#"{"d/a":{}}"#, &["records", "a.bit"]);
    assert_eq!(output.status, Some(0));
    assert!(output.stdout.is_empty());
    assert_eq!(
        output.stderr,
        ["note: a.bit has no records; see resolve --explain"]
    );
    let output = on_names(r#"{"d/a":{}}"#, &["records", "--json", "a.bit"]);
    assert_eq!(output.stdout, [r#"{"errors":[],"records":[]}"#]);
    assert!(output.stderr.is_empty());
}

#[test]
fn a_subdomain_that_does_not_exist_has_no_records() {
    let names = r#"{"d/a":{"ip":"192.0.2.1","map":{"www":{"map":{"x":{"ip":"192.0.2.2"}}}}}}"#;
    for more in [&[][..], &["--json"]] {
        let output = on_names(names, &[&["records", "foo.a.bit"], more].concat());
        assert_eq!(output.status, Some(3));
        assert!(output.stdout.is_empty());
        assert_eq!(
            output.stderr,
            ["ncprop279: foo.a.bit has no such subdomain"]
        );
    }
    let output = on_names(names, &["records", "www.a.bit"]);
    assert_eq!(output.status, Some(0));
    assert_eq!(output.stdout, ["x.www.a.bit. 600 IN A 192.0.2.2"]);
}

#[test]
fn records_of_what_is_no_name_fail() {
    for (name, status) in [
        ("foo.com", 2),
        ("bit", 3),
        ("a_b.bit", 3),
        ("123.bit", 3),
        ("d/a_b", 3),
        ("d/", 3),
        ("", 2),
        ("none.bit", 3),
        ("d/none", 3),
        ("reserved.bit", 3),
    ] {
        let output = on_examples(&["records", name]);
        assert_eq!(output.status, Some(status), "{name}: {:?}", output.stderr);
        assert!(output.stdout.is_empty(), "{name}: {:?}", output.stdout);
        assert_eq!(output.stderr.len(), 1, "{name}: {:?}", output.stderr);
    }
    let output = run(&["records", "a.bit", "--rpc-address", "127.0.0.1:1"]);
    assert_eq!(output.status, Some(1), "{:?}", output.stderr);
}

#[test]
fn a_bad_name_to_resolve_fails() {
    for (name, status) in [
        ("bit", 3),
        ("a..bit", 3),
        ("a b.bit", 3),
        ("\u{fc}.bit", 3),
        ("", 2),
    ] {
        let output = on_examples(&["resolve", name]);
        assert_eq!(output.status, Some(status), "{name:?}: {:?}", output.stdout);
        assert!(output.stdout.is_empty(), "{name:?}: {:?}", output.stdout);
        assert_eq!(output.stderr.len(), 1, "{name:?}: {:?}", output.stderr);
    }
}

/// The status is the plugin's; what to write instead is for a person.
#[test]
fn a_name_that_was_pasted_leads_to_what_to_write() {
    for (name, message, status) in [
        ("", "the name is empty; write one such as example.bit", 2),
        (
            "https://example.bit/x",
            "https://example.bit/x is a URL; write example.bit",
            2,
        ),
        (
            "example.bit:80",
            "example.bit:80 has a port; write example.bit",
            2,
        ),
        (
            "m\u{fc}nchen.bit",
            "m\\u{fc}nchen.bit is not ASCII; write xn--mnchen-3ya.bit",
            3,
        ),
        (
            "d/m\u{fc}nchen",
            "d/m\\u{fc}nchen is not ASCII; write xn--mnchen-3ya.bit",
            3,
        ),
        ("example", "example lacks an ending; write example.bit", 2),
        ("example.com", "example.com is not a Namecoin domain", 2),
    ] {
        for command in ["resolve", "records"] {
            let output = on_examples(&[command, name]);
            assert_eq!(output.status, Some(status), "{command} {name}");
            assert!(output.stdout.is_empty(), "{:?}", output.stdout);
            assert_eq!(output.stderr, [format!("ncprop279: {message}")]);
        }
    }
    // A naming client gets the protocol's words.
    let mut plugin = Plugin::start(&EXAMPLES);
    assert_eq!(
        plugin.resolve("1", "https://example.bit/x", "i"),
        "2 \"https://example.bit/x is not a Namecoin domain\""
    );
    plugin.finish();
}

/// A person at a terminal, typed for by Python: a line is written when the last
/// words of what came before are there.
#[cfg(target_os = "linux")]
const TERMINAL: &str = r#"
import os, pty, select, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b""
def until(words):
    global said
    while words not in said:
        if not select.select([terminal], [], [], 60)[0]:
            sys.exit("not said: %r in %r" % (words, said))
        said += os.read(terminal, 4096)
    said = said[said.index(words) + len(words):]
until(b"ncprop279 resolve NAME")
for word in [b"help", b"onion.bit"]:
    os.write(terminal, word + b"\n")
    until(b"that line is no request and was ignored; write RESOLVE 1 NAME")
    until(b"ncprop279 --help")
os.write(terminal, b"\nRESOLVE 1 example.bit i\n")
until(b"RESOLVED 1 0 192.0.2.1")
if b"ignored" in said:
    sys.exit(1)
os.write(terminal, b"\x04")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

#[test]
#[cfg(target_os = "linux")]
fn the_plugin_on_a_terminal_says_what_to_write() {
    let output = std::process::Command::new("python3")
        .args(["-c", TERMINAL, env!("CARGO_BIN_EXE_ncprop279")])
        .args(EXAMPLES)
        .env_remove("TOR_NS_PROTO_VERSION")
        .output()
        .expect("python3 is needed for this test");
    assert!(output.status.success(), "{output:?}");
    // Through a pipe nobody is at a terminal.
    let mut plugin = Plugin::start(&EXAMPLES);
    plugin.send("help\nonion.bit");
    assert_eq!(plugin.resolve("1", "example.bit", "i"), "0 192.0.2.1");
    plugin.close_stdin();
    plugin.wait();
    assert!(plugin.all_complaints().is_empty());
}

// The names file.

/// Asks again and again, until the answer is there.
#[track_caller]
fn until(plugin: &mut Plugin, expected: &str, isolation: impl Fn(usize) -> String) {
    let deadline = Instant::now() + PATIENCE;
    let mut id = 1_000;
    loop {
        let answer = plugin.resolve(&id.to_string(), "a.bit", &isolation(id));
        if answer == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{answer} for {expected}");
        id += 1;
    }
}

/// One name with this address.
fn address(address: &str) -> String {
    format!(r#"{{"d/a":{{"ip":"{address}"}}}}"#)
}

/// Whether the value was in the id's cache or not.
#[test]
fn a_changed_names_file_is_noticed() {
    for is_cached in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("names.json");
        let path = path.to_str().unwrap();
        std::fs::write(path, address("192.0.2.1")).unwrap();
        let mut plugin = Plugin::start(&["--names-file", path]);
        assert_eq!(plugin.resolve("1", "a.bit", "same"), "0 192.0.2.1");
        let isolation = |id| match is_cached {
            true => "same".to_owned(),
            false => format!("fresh-{id}"),
        };
        // Moved into its place: another file.
        let draft = directory.path().join("draft");
        std::fs::write(&draft, address("192.0.2.22")).unwrap();
        std::fs::rename(&draft, path).unwrap();
        until(&mut plugin, "0 192.0.2.22", isolation);
        // Written in its place. The file has another length, so that a coarse
        // clock cannot hide the change.
        std::fs::write(path, address("192.0.2.133")).unwrap();
        until(&mut plugin, "0 192.0.2.133", isolation);
        // The name goes, which is a permanent failure.
        std::fs::write(path, "{}").unwrap();
        until(&mut plugin, "3 \"a.bit is not registered\"", isolation);
        // And comes back, although its absence is cached.
        std::fs::write(path, address("192.0.2.4")).unwrap();
        until(&mut plugin, "0 192.0.2.4", isolation);
        plugin.finish();
    }
}

/// Imports are of the same file, and as fresh.
#[test]
fn a_changed_import_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("names.json");
    let names =
        |address: &str| format!(r#"{{"d/a":{{"import":"dd/x"}},"dd/x":{{"ip":"{address}"}}}}"#);
    std::fs::write(&path, names("192.0.2.1")).unwrap();
    let mut plugin = Plugin::start(&["--names-file", path.to_str().unwrap()]);
    assert_eq!(plugin.resolve("1", "a.bit", "i"), "0 192.0.2.1");
    std::fs::write(&path, names("192.0.2.22")).unwrap();
    until(&mut plugin, "0 192.0.2.22", |_| "i".to_owned());
    plugin.finish();
}
