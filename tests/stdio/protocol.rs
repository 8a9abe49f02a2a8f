//! Lines in, lines out: framing, ids, isolation ids, cancelling
//! (spec/prop279-isolation.md; the numbers in the comments are its).

use crate::support::plugin::{Plugin, Start};

const NAMES: &str = r#"{"d/a":{"ip":"192.0.2.1","map":{"www":{"ip":"192.0.2.2"}}}}"#;

/// Nothing listens there, so that a query stays unanswered until its deadline.
const NOWHERE: [&str; 2] = ["--rpc-address", "127.0.0.1:1"];

/// What a whole run said.
struct Said {
    /// Lines after INIT, sorted: answers may come in any order.
    stdout: Vec<String>,
    stderr: Vec<String>,
}

/// Writes all input, closes stdin, and checks that the end is a clean one.
fn run(mut plugin: Plugin, input: &[u8]) -> Said {
    plugin.send_bytes(input);
    plugin.close_stdin();
    let status = plugin.wait();
    assert_eq!(status.code(), Some(0), "{}", plugin.story());
    let mut stdout = plugin.rest();
    stdout.sort();
    Said {
        stdout,
        stderr: plugin.all_complaints(),
    }
}

fn with_names(input: impl AsRef<[u8]>) -> Said {
    run(Plugin::with_names(NAMES, &[]), input.as_ref())
}

#[track_caller]
fn assert_begin(row: &str, lines: &[String], begins: &[&str]) {
    assert_eq!(lines.len(), begins.len(), "{row}: {lines:#?}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{row}: {line:?} for {begin:?}");
    }
}

/// Reads a quoted message as a client does, by the grammar of the
/// specification.
fn unquote(quoted: &str) -> Option<Vec<u8>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = inner.bytes();
    let mut text = Vec::new();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'"' => return None,
            b'\\' => match bytes.next()? {
                plain @ (b'"' | b'\\') => plain,
                b'x' => {
                    let digits = [bytes.next()?, bytes.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                _ => return None,
            },
            b' '..=b'~' => byte,
            _ => return None,
        });
    }
    Some(text)
}

/// I1, I6: the client need not wait, and INIT is the first line all the same.
#[test]
fn init_is_the_first_line_even_if_the_client_writes_at_once() {
    let mut plugin = Start::new(&NOWHERE).spawn();
    plugin.send("CANCEL 1\nRESOLVE 2 foo.com a");
    assert_eq!(plugin.line(), "INIT 1 0");
    assert_eq!(plugin.line(), "CANCELED 1");
    assert_eq!(
        plugin.line(),
        "RESOLVED 2 2 \"foo.com is not a Namecoin domain\""
    );
    plugin.finish();
}

/// F2, F3: separators, and words beyond those that are needed.
#[test]
fn every_separator_is_taken_and_further_words_are_ignored() {
    for line in [
        "RESOLVE 1 a.bit i\n",
        "RESOLVE\t1\ta.bit\ti\n",
        "RESOLVE 1 a.bit i\r\n",
        "RESOLVE 1 a.bit\r\n",
        "  RESOLVE 1 a.bit i\n",
        "\t \r RESOLVE 1 a.bit i\n",
        "RESOLVE 1 a.bit i  \t \n",
        "RESOLVE \t 1 \r  a.bit\t\ti\n",
        "RESOLVE 1 a.bit i more words \"here\" = \\ RESOLVE 2 a.bit\n",
        "RESOLVE 1 a.bit i \u{fc} \x01 \0\n",
        "\n\n\r\n \t\nRESOLVE 1 a.bit i\n\n",
        // F1: a client that ends without ending its line.
        "RESOLVE 1 a.bit i",
        "RESOLVE 1 a.bit i\r",
    ] {
        let said = with_names(line);
        assert_eq!(said.stdout, ["RESOLVED 1 0 192.0.2.1"], "{line:?}");
    }
}

/// F3: what is no message of ours changes nothing and makes no noise.
#[test]
fn unknown_keywords_and_empty_lines_are_ignored() {
    for line in [
        "",
        " ",
        "\r",
        "\t",
        "HELLO 1 a.bit i",
        "resolve 1 a.bit i",
        "RESOLVED 1 0 192.0.2.9",
        "RESOLVEX 1 a.bit i",
        "INIT 1 0",
        "1 RESOLVE a.bit i",
        "\u{fc} 1",
        "\0",
        "\"RESOLVE\" 1 a.bit",
        "RESOLVE\u{b}1 a.bit",
    ] {
        let said = with_names(format!("{line}\nRESOLVE 2 a.bit i\n"));
        assert_eq!(said.stdout, ["RESOLVED 2 0 192.0.2.1"], "{line:?}");
        assert!(said.stderr.is_empty(), "{line:?}: {:?}", said.stderr);
    }
}

/// Q2: an id is given back as it was written.
#[test]
fn ids_are_kept_as_written() {
    for id in [
        "0",
        "-0",
        "7",
        "007",
        "+5",
        "-3",
        "00000000000000000000",
        "12345678901234567890",
        "99999999999999999999",
        "+99999999999999999999",
        "-99999999999999999999",
    ] {
        let said = with_names(format!("RESOLVE {id} a.bit i\nCANCEL {id}1x\n"));
        assert_eq!(said.stdout, [format!("RESOLVED {id} 0 192.0.2.1")], "{id}");
        let said = with_names(format!("CANCEL {id}\n"));
        assert_eq!(said.stdout, [format!("CANCELED {id}")], "{id}");
    }
}

/// Q4: without an id there is nobody to answer.
#[test]
fn without_a_usable_id_there_is_one_line_on_stderr_only() {
    for words in [
        "RESOLVE",
        "RESOLVE ",
        "RESOLVE x a.bit i",
        "RESOLVE a.bit",
        "RESOLVE 1x a.bit i",
        "RESOLVE 1.0 a.bit i",
        "RESOLVE 0x1 a.bit i",
        "RESOLVE + a.bit i",
        "RESOLVE - a.bit i",
        "RESOLVE +-1 a.bit i",
        "RESOLVE 123456789012345678901 a.bit i",
        "RESOLVE 000000000000000000001 a.bit i",
        "RESOLVE -123456789012345678901 a.bit i",
        "RESOLVE \u{661} a.bit i",
        "RESOLVE \"1\" a.bit i",
        "RESOLVE 1\0 a.bit i",
        "CANCEL",
        "CANCEL x",
        "CANCEL 123456789012345678901",
    ] {
        let said = with_names(format!("{words}\nRESOLVE 2 a.bit i\n"));
        assert_eq!(said.stdout, ["RESOLVED 2 0 192.0.2.1"], "{words:?}");
        assert_eq!(said.stderr.len(), 1, "{words:?}: {:?}", said.stderr);
    }
}

/// Q4: the client waits, so it must be told.
#[test]
fn without_a_name_the_answer_is_3() {
    for words in ["RESOLVE 5", "RESOLVE 5 ", "RESOLVE 5\r", "\tRESOLVE\t5\t"] {
        let said = with_names(format!("{words}\n"));
        assert_begin(words, &said.stdout, &["RESOLVED 5 3 \""]);
    }
}

/// Q3: the first query keeps the id, whatever it is written like.
#[test]
fn an_id_in_use_is_ignored_and_free_after_its_answer() {
    for (first, second) in [
        ("7", "7"),
        ("7", "007"),
        ("+7", "7"),
        ("0", "-0"),
        ("-3", "-03"),
    ] {
        let mut plugin = Plugin::start(&[&NOWHERE[..], &["--timeout", "0.7"]].concat());
        plugin.send(&format!(
            "RESOLVE {first} a.bit i\nRESOLVE {second} foo.com i"
        ));
        let answer = plugin.line();
        assert!(
            answer.starts_with(&format!("RESOLVED {first} 1 \"")),
            "{answer}"
        );
        // Free again.
        plugin.send(&format!("RESOLVE {second} foo.com i"));
        let answer = plugin.line();
        assert!(
            answer.starts_with(&format!("RESOLVED {second} 2 \"")),
            "{answer}"
        );
        let said = run(plugin, b"");
        assert!(said.stdout.is_empty(), "{:?}", said.stdout);
        let ignored = said
            .stderr
            .iter()
            .filter(|line| line.contains("was ignored"));
        assert_eq!(ignored.count(), 1, "{:?}", said.stderr);
    }
}

/// C1, C2, Q3: cancelled queries are silent, and their ids free at once.
#[test]
fn an_id_is_free_after_canceled_and_no_answer_follows() {
    let plugin = Plugin::start(&[&NOWHERE[..], &["--timeout", "0.7"]].concat());
    let said = run(
        plugin,
        b"RESOLVE 1 a.bit i\nRESOLVE 2 a.bit i\nCANCEL 1\nCANCEL 002\nRESOLVE 2 foo.com i\n",
    );
    assert_begin(
        "two cancelled, one used again",
        &said.stdout,
        &["CANCELED 002", "CANCELED 1", "RESOLVED 2 2 \""],
    );
    let mut others = said.stderr.iter();
    assert!(
        others.all(|line| line.contains("lookups fail for now")),
        "{:?}",
        said.stderr
    );
}

/// C2 for a query asked again under the id of a cancelled one: only the
/// second is answered, once.
#[test]
fn a_reused_id_gets_one_answer() {
    let plugin = Plugin::start(&[&NOWHERE[..], &["--timeout", "0.7"]].concat());
    let said = run(
        plugin,
        b"RESOLVE 1 a.bit i\nCANCEL 1\nRESOLVE 1 b.bit i\nCANCEL 1\nRESOLVE 1 c.bit i\n",
    );
    assert_begin(
        "cancelled twice",
        &said.stdout,
        &["CANCELED 1", "CANCELED 1", "RESOLVED 1 1 \""],
    );
}

/// C1: it does not matter whether the id is known.
#[test]
fn cancel_of_any_id_is_confirmed() {
    let mut plugin = Plugin::with_names(NAMES, &[]);
    plugin.send("CANCEL 99 further words\r");
    assert_eq!(plugin.line(), "CANCELED 99");
    assert_eq!(plugin.resolve("5", "a.bit", "i"), "0 192.0.2.1");
    plugin.line();
    plugin.send("CANCEL 5");
    assert_eq!(plugin.line(), "CANCELED 5");
    plugin.send("CANCEL 5");
    assert_eq!(plugin.line(), "CANCELED 5");
    plugin.finish();
}

/// S1: 1 to 1,024 printable bytes.
#[test]
fn isolation_ids_have_limits() {
    let many = |length| "i".repeat(length).into_bytes();
    for (what, isolation, accepted) in [
        ("1 byte", many(1), true),
        ("1024 bytes", many(1024), true),
        ("1025 bytes", many(1025), false),
        ("60,000 bytes", many(60_000), false),
        ("every printable byte", (b'!'..=b'~').collect(), true),
        ("UTF-8", "\u{fc}".into(), false),
        ("Latin-1", vec![b'a', 0xfc], false),
        ("NUL", b"a\0".to_vec(), false),
        ("a control byte", b"\x1b[31m".to_vec(), false),
        ("DEL", b"\x7f".to_vec(), false),
        ("a vertical tab", b"a\x0bb".to_vec(), false),
    ] {
        let line = [b"RESOLVE 1 a.bit ", &isolation[..], b"\n"].concat();
        let said = with_names(line);
        let begin = if accepted {
            "RESOLVED 1 0 192.0.2.1"
        } else {
            "RESOLVED 1 3 \""
        };
        assert_begin(what, &said.stdout, &[begin]);
    }
}

/// F4: at the limit, past it, and far past it.
#[test]
fn a_line_that_is_too_long_is_skipped() {
    for (length, accepted) in [
        (65_535, true),
        (65_536, true),
        (65_537, false),
        (131_072, false),
        (131_073, false),
        (5_000_000, false),
    ] {
        let mut line = b"RESOLVE 1 a.bit i".to_vec();
        line.resize(length, b' ');
        line.extend(b"\nRESOLVE 2 a.bit i\n");
        let said = with_names(line);
        if accepted {
            assert_eq!(
                said.stdout,
                ["RESOLVED 1 0 192.0.2.1", "RESOLVED 2 0 192.0.2.1"],
                "{length}"
            );
            assert!(said.stderr.is_empty(), "{length}: {:?}", said.stderr);
        } else {
            assert_eq!(said.stdout, ["RESOLVED 2 0 192.0.2.1"], "{length}");
            assert_eq!(said.stderr.len(), 1, "{length}: {:?}", said.stderr);
        }
    }
}

/// F4: what follows the limit inside a long line is no line of its own.
#[test]
fn the_end_of_a_long_line_is_no_request() {
    let mut line = vec![b'x'; 65_537];
    line.extend(b"RESOLVE 1 a.bit i\n");
    line.extend(vec![b'x'; 65_536]);
    line.extend(b"\rRESOLVE 3 a.bit i\nRESOLVE 2 a.bit i\n");
    let said = with_names(line);
    assert_eq!(said.stdout, ["RESOLVED 2 0 192.0.2.1"]);
    assert_eq!(said.stderr.len(), 2, "{:?}", said.stderr);
}

#[test]
fn a_long_line_without_an_end_is_skipped_too() {
    let mut line = b"RESOLVE 2 a.bit i\nRESOLVE 1 a.bit i ".to_vec();
    line.resize(100_000, b'x');
    let said = with_names(line);
    assert_eq!(said.stdout, ["RESOLVED 2 0 192.0.2.1"]);
    assert_eq!(said.stderr.len(), 1, "{:?}", said.stderr);
}

/// Q6: names that are no printable US-ASCII, before anything else is asked
/// about them.
#[test]
fn names_with_other_bytes_are_refused() {
    for (what, name, is_foreign) in [
        ("NUL", &b"a\0.bit"[..], false),
        ("NUL at the end", b"a.bit\0", false),
        ("control", b"a\x01.bit", false),
        ("escape", b"\x1b[31ma.bit", false),
        ("vertical tab", b"a\x0b.bit", false),
        ("DEL", b"a\x7f.bit", false),
        ("UTF-8", "b\u{fc}cher.bit".as_bytes(), true),
        ("Latin-1", b"b\xfccher.bit", true),
        ("UTF-8 outside .bit", "b\u{fc}cher.com".as_bytes(), true),
        ("ideographic full stop", "a\u{3002}bit".as_bytes(), true),
        ("control outside .bit", b"a\x01.com", false),
    ] {
        let line = [b"RESOLVE 1 ", name, b" i\n"].concat();
        let said = with_names(line);
        assert_begin(what, &said.stdout, &["RESOLVED 1 3 \""]);
        let message = &said.stdout[0];
        assert_eq!(message.contains("xn--"), is_foreign, "{what}: {message}");
        let quoted = message.strip_prefix("RESOLVED 1 3 ").unwrap();
        assert!(unquote(quoted).is_some(), "{what}: {message}");
    }
}

/// Q6: 253 bytes without the final dot.
#[test]
fn names_have_a_longest_length() {
    let label = "a".repeat(63);
    let names = format!(
        r#"{{"d/{0}":{{"map":{{"{1}":{{"map":{{"{1}":{{"map":{{"{1}":{{"ip":"192.0.2.3"}}}}}}}}}}}}}}}}"#,
        "a".repeat(57),
        label
    );
    let longest = format!("{label}.{label}.{label}.{}.bit", "a".repeat(57));
    assert_eq!(longest.len(), 253);
    let longer = format!("{label}.{label}.{label}.{}.bit", "a".repeat(58));
    let foreign = format!("{}com", "a.".repeat(126));
    assert_eq!(foreign.len(), 255);
    for (name, begin) in [
        (longest.clone(), "0 192.0.2.3"),
        (format!("{longest}."), "0 192.0.2.3"),
        (longer.clone(), "3 \""),
        (format!("{longer}."), "3 \""),
        (foreign, "3 \""),
        ("a".repeat(60_000), "3 \""),
        (format!("{}.bit", "a".repeat(60_000)), "3 \""),
    ] {
        let said = run(
            Plugin::with_names(&names, &[]),
            format!("RESOLVE 1 {name} i\n").as_bytes(),
        );
        let begin = format!("RESOLVED 1 {begin}");
        assert_begin(&name, &said.stdout, &[&begin]);
        // T2: a message has at most 400 bytes, even of the longest name.
        let message = said.stdout[0].splitn(4, ' ').nth(3).unwrap();
        if let Some(text) = unquote(message) {
            assert!(text.len() <= 400, "{}", text.len());
        }
    }
}

/// T2: a client reads back what was meant.
#[test]
fn quoted_messages_parse_back() {
    for name in [
        r#"a"b.com"#,
        r"a\b.com",
        r#"\"\\"\.com"#,
        r#""RESOLVED"#,
        "%s%n.com",
        "'.com",
        "\\x41.com",
        "\"",
        "\\",
    ] {
        let said = with_names(format!("RESOLVE 1 {name} i\n"));
        assert_begin(name, &said.stdout, &["RESOLVED 1 2 \""]);
        let quoted = said.stdout[0].strip_prefix("RESOLVED 1 2 ").unwrap();
        let text = unquote(quoted).unwrap_or_else(|| panic!("{name}: {quoted}"));
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text, format!("{name} is not a Namecoin domain"));
    }
}

/// S3: the default is one id for all of them, and one warning.
#[test]
fn a_missing_isolation_id_is_shared_with_one_warning() {
    for arguments in [&[][..], &["--missing-isolation", "shared"]] {
        let said = run(
            Plugin::with_names(NAMES, arguments),
            b"RESOLVE 1 a.bit\nRESOLVE 2 www.a.bit\r\nRESOLVE 3 a.bit \nRESOLVE 4 a.bit i\n",
        );
        assert_eq!(
            said.stdout,
            [
                "RESOLVED 1 0 192.0.2.1",
                "RESOLVED 2 0 192.0.2.2",
                "RESOLVED 3 0 192.0.2.1",
                "RESOLVED 4 0 192.0.2.1"
            ]
        );
        assert_eq!(said.stderr.len(), 1, "{:?}", said.stderr);
        assert!(said.stderr[0].contains("isolation"), "{:?}", said.stderr);
    }
}

#[test]
fn a_given_isolation_id_earns_no_warning() {
    let said = with_names("RESOLVE 1 a.bit i\n");
    assert!(said.stderr.is_empty(), "{:?}", said.stderr);
}

#[test]
fn a_missing_isolation_id_may_be_made_up() {
    let said = run(
        Plugin::with_names(NAMES, &["--missing-isolation", "unique"]),
        b"RESOLVE 1 a.bit\nRESOLVE 2 a.bit\n",
    );
    assert_eq!(
        said.stdout,
        ["RESOLVED 1 0 192.0.2.1", "RESOLVED 2 0 192.0.2.1"]
    );
    assert!(said.stderr.is_empty(), "{:?}", said.stderr);
}

#[test]
fn a_missing_isolation_id_may_be_refused() {
    let said = run(
        Plugin::with_names(NAMES, &["--missing-isolation=refuse"]),
        b"RESOLVE 1 a.bit\nRESOLVE 2 a.bit i\n",
    );
    assert_begin(
        "refuse",
        &said.stdout,
        &["RESOLVED 1 3 \"", "RESOLVED 2 0 192.0.2.1"],
    );
    assert!(said.stdout[0].contains("isolation"), "{:?}", said.stdout);
}

/// Promise 9 of SECURITY.md: stderr ends up in a log that others read.
#[test]
fn names_isolation_ids_and_passwords_are_not_on_stderr() {
    let mut plugin = Start::new(
        &[
            &NOWHERE[..],
            &[
                "--timeout",
                "0.7",
                "--rpc-user",
                "alice-hush",
                "--rpc-password",
                "hush-password",
            ],
        ]
        .concat(),
    )
    .spawn();
    assert_eq!(plugin.line(), "INIT 1 0");
    let mut input = b"RESOLVE hush hush.bit hush\n\
        RESOLVE 1 hush.bit hush\n\
        RESOLVE 1 hush.bit hush\n\
        RESOLVE 2 hush.bit\n\
        RESOLVE 3 hush\x01.bit hush\n\
        RESOLVE 4 hush.bit hush\x01\n\
        RESOLVE 5 hush.com hush\n\
        RESOLVE 123456789012345678901 hush.bit hush\n\
        CANCEL hush\n\
        HUSH hush hush\n\
        RESOLVE 6 hush.bit "
        .to_vec();
    input.extend(b"hush".repeat(20_000));
    input.push(b'\n');
    let said = run(plugin, &input);
    assert_begin(
        "all that has an id is answered",
        &said.stdout,
        &[
            "RESOLVED 1 1 \"",
            "RESOLVED 2 1 \"",
            "RESOLVED 3 3 \"",
            "RESOLVED 4 3 \"",
            "RESOLVED 5 2 \"",
        ],
    );
    assert!(said.stderr.len() >= 5, "{:?}", said.stderr);
    for line in &said.stderr {
        assert!(!line.to_lowercase().contains("hush"), "{line}");
    }
    for line in &said.stdout {
        assert!(!line.contains("password"), "{line}");
    }
}

/// stderr is rate-limited: a hostile page cannot fill the disk through a log.
#[test]
fn a_flood_of_bad_lines_does_not_flood_stderr() {
    let said = with_names("RESOLVE x\n".repeat(5_000) + "RESOLVE 1 a.bit i\n");
    assert_eq!(said.stdout, ["RESOLVED 1 0 192.0.2.1"]);
    assert!(
        (1..200).contains(&said.stderr.len()),
        "{}",
        said.stderr.len()
    );
}

/// Q1: exactly one answer for each of many queries, sent without waiting.
#[test]
fn each_of_many_queries_is_answered_once() {
    let input: String = (0..3_000)
        .map(|id| format!("RESOLVE {id} a.bit isolation-{}\n", id % 50))
        .collect();
    let said = with_names(input);
    let mut expected: Vec<_> = (0..3_000)
        .map(|id| format!("RESOLVED {id} 0 192.0.2.1"))
        .collect();
    expected.sort();
    assert_eq!(said.stdout, expected);
}

/// Q8 and the shared bounds of spec/isolation.md: the newest is turned away at
/// once, and the other ids do not notice.
#[test]
fn too_many_unanswered_queries_of_one_id_are_turned_away() {
    let mut plugin = Plugin::start(&[&NOWHERE[..], &["--timeout", "3600"]].concat());
    let many: String = (0..1_000)
        .map(|id| format!("RESOLVE {id} n{id}.bit greedy\n"))
        .collect();
    plugin.send_bytes(many.as_bytes());
    plugin.send("RESOLVE 5000 a.bit greedy\nRESOLVE 5001 a.bit modest\nCANCEL 5001");
    assert!(plugin.answer("5000").starts_with("1 \""));
    // One goes, so that there is room for one.
    plugin.send("CANCEL 7\nRESOLVE 5002 a.bit greedy\nRESOLVE 5003 a.bit greedy");
    assert!(plugin.answer("5003").starts_with("1 \""));
    let mut lines = plugin.lines();
    lines.sort();
    assert_begin(
        "the thousand are still waiting",
        &lines,
        &[
            "CANCELED 5001",
            "CANCELED 7",
            "INIT 1 0",
            "RESOLVED 5000 1 \"",
            "RESOLVED 5003 1 \"",
        ],
    );
}

/// The same over all ids.
#[test]
fn too_many_unanswered_queries_are_turned_away() {
    let mut plugin = Plugin::start(&[&NOWHERE[..], &["--timeout", "3600"]].concat());
    let many: String = (0..10_000)
        .map(|id| format!("RESOLVE {id} n.bit isolation-{}\n", id % 100))
        .collect();
    plugin.send_bytes(many.as_bytes());
    plugin.send("RESOLVE 20000 a.bit another");
    assert!(plugin.answer("20000").starts_with("1 \""));
    plugin.send("CANCEL 7\nRESOLVE 20001 a.bit another\nRESOLVE 20002 a.bit another");
    assert!(plugin.answer("20002").starts_with("1 \""));
    assert_eq!(plugin.lines().len(), 4, "INIT, CANCELED and two answers");
}
