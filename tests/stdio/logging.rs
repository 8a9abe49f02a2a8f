//! What the plugin tells on stderr with `-v` and `-vv`, and what it does not.

use crate::support::electrum::chain::Chain;
use crate::support::electrum::{Electrum, Options, Version};
use crate::support::node::{Flavour, Node, Reply};
use crate::support::plugin::{Plugin, Start};
use crate::support::run;

const IP: &str = r#"{"ip":"192.0.2.77"}"#;

/// What must not stand in a log by itself: labels of names, an isolation id,
/// an answer, and the parts of the credentials.
const PRIVATE: [&str; 6] = [
    "hush",
    "quiet",
    "secret-activity",
    "192.0.2.77",
    "nmc-password",
    "nmc-user",
];

/// A node with names whose labels are private, some of which fail.
fn node() -> Node {
    let node = Node::start(Flavour::Core);
    node.set("d/hush", IP);
    node.set("d/quiet", r#"{"import":"dd/hush"}"#);
    node.set("dd/hush", IP);
    node.script("d/hush-refused", [Reply::Error(-1, "d/hush-refused: no")]);
    node
}

/// Asks for answers of every kind and gives all of stderr.
fn stderr(node: &Node, arguments: &[&str]) -> Vec<String> {
    let mut plugin = node.plugin(&[&["--timeout", "2"], arguments].concat());
    for (name, isolation, answer) in [
        ("hush.bit", "secret-activity", "0 192.0.2.77"),
        ("hush.bit", "secret-activity", "0 192.0.2.77"),
        ("hush.bit", "other-id", "0 192.0.2.77"),
        ("www.quiet.bit", "other-id", "3 "),
        ("quiet.bit", "other-id", "0 192.0.2.77"),
        ("hush-none.bit", "secret-activity", "3 "),
        ("hush-refused.bit", "secret-activity", "1 "),
    ] {
        let told = plugin.ask(name, isolation);
        assert!(told.starts_with(answer), "{name}: {told}");
    }
    node.hold("d/hush-held");
    plugin.send("RESOLVE 7 hush-held.bit secret-activity");
    node.wait_for("d/hush-held", 1);
    plugin.send("CANCEL 7");
    // Until it is confirmed, an answer could come first.
    assert!(plugin.wait_until(crate::support::PATIENCE, |lines| {
        lines.iter().any(|line| line == "CANCELED 7")
    }));
    node.release("d/hush-held");
    let end = run::end(plugin);
    assert_eq!(end.code, Some(0), "{end:#?}");
    end.stderr
}

#[track_caller]
fn assert_has(lines: &[String], part: &str) {
    let found = lines.iter().any(|line| line.contains(part));
    assert!(found, "{part:?} is not in {lines:#?}");
}

#[track_caller]
fn assert_quiet(lines: &[String], private: &[&str]) {
    for line in lines {
        for part in private {
            assert!(!line.contains(part), "{part:?} in {line}");
        }
    }
}

/// The first word behind the program's name, and what follows it.
fn time(line: &str) -> (&str, &str) {
    let text = line.strip_prefix("ncprop279: ").unwrap_or_default();
    text.split_once(' ').unwrap_or_default()
}

/// Whether a text is a time in UTC as RFC 3339 writes it, to the second.
fn is_time(text: &str) -> bool {
    let shape = text.replace(|c: char| c.is_ascii_digit(), "9");
    shape == "9999-99-99T99:99:99Z" && text.starts_with("20")
}

/// Warnings of the settings are the first lines, and no exception.
#[test]
fn only_with_v_lines_carry_a_time() {
    for (more, is_timed) in [(&[][..], false), (&["-v"], true), (&["-vv"], true)] {
        for command in [&[][..], &["resolve", "a.bit"]] {
            let arguments = [
                command,
                &["--names-file", "examples/names.json", "--log-names"],
                more,
            ];
            let end = run::run(Start::new(&arguments.concat()));
            let warned = end.stderr.iter().find(|line| line.contains("warning: "));
            let warned = warned.unwrap_or_else(|| panic!("{arguments:?}: {end:#?}"));
            let (first, told) = time(warned);
            assert_eq!(is_time(first), is_timed, "{warned}");
            assert!(!is_timed || told.starts_with("warning: "), "{warned}");
        }
    }
}

#[test]
fn nothing_is_told_unasked() {
    let lines = stderr(&node(), &[]);
    assert!(lines.is_empty(), "{lines:#?}");
}

#[test]
fn v_tells_the_source_failures_and_counts() {
    let node = node();
    let lines = stderr(&node, &["-v"]);
    assert_has(
        &lines,
        &format!(
            "info: names are looked up in the node at {}",
            node.address()
        ),
    );
    assert_has(&lines, "failed after");
    assert_has(&lines, ": bad reply");
    assert_has(
        &lines,
        "info: 8 queries so far, 4 answered, 2 without an answer, 1 withdrawn, \
         1 failed (bad reply); 1 from the cache",
    );
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for line in &lines {
        let (time, told) = time(line);
        assert!(is_time(time), "{line}");
        assert!(told.starts_with("info: "), "{line}");
    }
    assert_quiet(&lines, &PRIVATE);
}

#[test]
fn vv_tells_each_step_without_names_and_ids() {
    let lines = stderr(&node(), &["-vv"]);
    for part in [
        "debug: ticket 1 asks for name#1 under id#1",
        "debug: ticket 1 ended with status 0 after ",
        " ms, looked up",
        "debug: ticket 2 asks for name#1 under id#1",
        " ms, from the cache",
        // The same name under another id is not shown to be the same.
        "debug: ticket 3 asks for name#1 under id#2",
        "debug: ticket 4 asks for name#2 under id#2",
        " asks for key#1 under id#1",
        " asks for key#3 under id#2",
        ": a value of 19 bytes",
        ": the name is not registered",
        ": bad reply (the node at ",
        "debug: ticket 7 asks for name#3 under id#1",
        "info: ticket 7 failed after ",
        "debug: ticket 8 was withdrawn after ",
        "info: 8 queries so far",
    ] {
        assert_has(&lines, part);
    }
    assert_quiet(&lines, &PRIVATE);
    assert_quiet(&lines, &["other-id"]);
}

#[test]
fn log_names_shows_names_and_ids_after_a_warning_and_never_credentials() {
    let lines = stderr(&node(), &["-vv", "--log-names"]);
    let (_, warned) = time(&lines[0]);
    assert!(
        warned.starts_with("warning: log-names (command line)"),
        "{lines:#?}"
    );
    for part in [
        "ticket 1 asks for hush.bit under id secret-activity",
        "asks for d/hush under id secret-activity",
        "looked up: 192.0.2.77",
        "ticket 4 asks for www.quiet.bit under id other-id",
        "asks for dd/hush under id other-id",
    ] {
        assert_has(&lines, part);
    }
    assert_quiet(&lines, &["nmc-password", "nmc-user", "#"]);
}

/// The warning does not hang on `-v`: somebody may add that later.
#[test]
fn log_names_warns_by_itself_and_tells_nothing_more() {
    let lines = stderr(&node(), &["--log-names"]);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_has(&lines, "warning: log-names");
    assert_quiet(&lines, &PRIVATE);
    let lines = stderr(&node(), &["--log-names=false", "-vv"]);
    assert_quiet(&lines, &PRIVATE);
}

/// Credentials that are refused, the user's own typing errors, hostile ones.
#[test]
fn credentials_are_in_no_log() {
    let node = node();
    node.set_credentials(Some("nmc-user:another"));
    let mut plugin = node.plugin(&["-vv", "--log-names"]);
    assert!(plugin.ask("hush.bit", "a").starts_with("1 "));
    let lines = run::end(plugin).stderr;
    assert_has(&lines, "failed after ");
    assert_has(&lines, "credentials refused");
    assert_quiet(&lines, &["nmc-password", "nmc-user", "bm1jLXVzZXI"]);
}

#[test]
fn servers_are_asked_without_names_in_the_log() {
    let mut chain = Chain::new();
    chain.mine(3);
    chain.register("d/hush", IP);
    chain.mine(14);
    let servers = [Version::V1_15, Version::V2_0b1]
        .map(|version| Electrum::start(chain.clone(), Options::new(version)));
    let [one, other] = servers.each_ref().map(Electrum::address);
    let mut plugin = Plugin::start(&[
        "--network=regtest",
        &format!("--electrum-server={one}:t"),
        &format!("--electrum-server={other}:t"),
        "-vv",
    ]);
    assert_eq!(plugin.ask("hush.bit", "secret-activity"), "0 192.0.2.77");
    assert!(
        plugin
            .ask("hush-none.bit", "secret-activity")
            .starts_with("3 ")
    );
    let lines = run::end(plugin).stderr;
    assert_has(&lines, "info: names are looked up in 2 Electrum servers");
    assert_has(&lines, "block headers");
    assert_has(&lines, "ticket 2 asks for name#2 under id#1");
    assert_quiet(&lines, &PRIVATE);
}

/// A reader of stderr that has stopped costs no answer.
#[test]
fn a_flood_of_lines_is_bounded_and_blocks_nobody() {
    let (unread, stderr) = std::io::pipe().unwrap();
    let node = node();
    let mut plugin = node.prepare(&["-vv", "--log-names"]).stderr(stderr).spawn();
    assert_eq!(plugin.line(), "INIT 1 0");
    let name = format!("{0}.{0}.{0}.hush.bit", "x".repeat(60));
    for id in 0..3000 {
        plugin.send(&format!("RESOLVE {id} {name} id-{id}"));
    }
    for id in 0..3000 {
        assert!(plugin.answer(&id.to_string()).starts_with("3 "));
    }
    drop(unread);
    plugin.finish();
}

#[test]
fn a_flood_of_lines_is_cut_and_counted() {
    let mut plugin = Plugin::with_names(r#"{"d/a":{"ip":"192.0.2.1"}}"#, &["-vv"]);
    for id in 0..1000 {
        plugin.send(&format!("RESOLVE {id} a.bit x"));
    }
    for id in 0..1000 {
        assert_eq!(plugin.answer(&id.to_string()), "0 192.0.2.1");
    }
    let lines = run::end(plugin).stderr;
    // More only where the machine takes seconds for it.
    assert!((100..1500).contains(&lines.len()), "{}", lines.len());
}

/// A subcommand's log goes to stderr and leaves stdout to the answer.
#[test]
fn subcommands_log_too() {
    let node = node();
    let end = run::run(node.prepare(&["resolve", "hush.bit", "-v"]));
    assert_eq!(end.stdout, ["192.0.2.77"], "{end:#?}");
    assert_has(&end.stderr, "info: names are looked up in the node at ");
    for command in ["resolve", "records"] {
        let end = run::run(node.prepare(&[command, "hush.bit", "-vv"]));
        assert_has(&end.stderr, "debug: request 1 asks for ");
        assert_has(&end.stderr, "debug: request 1 ended after ");
        assert!(!end.says_on_stderr("hush"), "{end:#?}");
    }
    let end = run::run(Start::new(&[
        "check",
        "--names-file",
        "examples/names.json",
        "-v",
    ]));
    assert_has(&end.stderr, "the file \"examples/names.json\"");
}
