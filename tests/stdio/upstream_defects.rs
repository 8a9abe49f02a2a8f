//! The defects of the program that this one replaces, those that show without
//! a node. Each test fails on its behaviour.

use crate::support::plugin::{Plugin, Start};

const ONION: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion";

/// It printed a value's text as it was, so that a name's owner could answer
/// other queries.
#[test]
fn defect_1_a_value_cannot_forge_answers() {
    for value in [
        r#"{"map":{"_tor":{"txt":"x\nRESOLVED 99 0 6.6.6.6\n.onion"}}}"#,
        r#"{"alias":"x\nRESOLVED 99 0 6.6.6.6\n.example.com."}"#,
        r#"{"alias":"x RESOLVED 99 0 6.6.6.6.example.com."}"#,
        r#"{"map":{"_tor":{"txt":"x\u0000 \"6.6.6.6\".onion"}}}"#,
        r#"{"ip":"6.6.6.6\nRESOLVED 99 0 6.6.6.6"}"#,
    ] {
        let mut plugin = Plugin::with_names(&format!(r#"{{"d/a":{value}}}"#), &[]);
        plugin.send("RESOLVE 1 a.bit i");
        plugin.close_stdin();
        assert_eq!(plugin.wait().code(), Some(0), "{}", plugin.story());
        let lines = plugin.rest();
        assert_eq!(lines.len(), 1, "{value}: {lines:?}");
        assert!(
            lines[0].starts_with("RESOLVED 1 3 \""),
            "{value}: {lines:?}"
        );
        assert!(!lines[0].contains("6.6.6.6"), "{value}: {lines:?}");
    }
}

/// It answered expired names as if they were live, and anything that ended in
/// `.onion` as an onion service.
#[test]
fn defect_8_expired_names_and_bad_onions_are_no_success() {
    let mut plugin = Plugin::with_names(
        r#"{"d/old":{"name":"d/old","value":"{\"ip\":\"192.0.2.1\"}","value_encoding":"ascii","expired":true},
            "d/x":{"map":{"_tor":{"txt":"x.onion"}}},
            "d/v2":{"map":{"_tor":{"txt":"expyuzz4wqqyqhjn.onion"}}}}"#,
        &[],
    );
    for (id, name) in ["old.bit", "x.bit", "v2.bit"].into_iter().enumerate() {
        let answer = plugin.resolve(&id.to_string(), name, "i");
        assert!(answer.starts_with("3 \""), "{name}: {answer}");
    }
    plugin.finish();
}

/// It saw `.onion` in lower case only, and had clients retry names that cannot
/// be.
#[test]
fn defect_9_case_and_impossible_names() {
    let mut plugin = Plugin::with_names(
        r#"{"d/iponly":{"ip":"192.0.2.1"},"d/a_b":{"ip":"192.0.2.1"}}"#,
        &[],
    );
    for (id, name) in [
        "iponly.bit.ONION",
        "iponly.BIT.Onion",
        ".bit",
        "a..bit",
        "a_b.bit",
    ]
    .into_iter()
    .enumerate()
    {
        let answer = plugin.resolve(&id.to_string(), name, "i");
        assert!(answer.starts_with("3 \""), "{name}: {answer}");
    }
    plugin.finish();
}

/// It left malformed lines without an answer, ended with status 3 when stdin
/// was closed, and read lines of any length whole.
#[test]
fn defect_10_malformed_lines_and_the_end_of_stdin() {
    let mut plugin = Plugin::with_names(r#"{"d/a":{"ip":"192.0.2.1"}}"#, &[]);
    plugin.send("RESOLVE 1");
    assert!(plugin.answer("1").starts_with("3 \""));
    plugin.send("RESOLVE 2 a.bit i and much more");
    assert_eq!(plugin.answer("2"), "0 192.0.2.1");
    // 64 MiB in one line.
    let portion = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        plugin.send_bytes(&portion);
    }
    #[cfg(target_os = "linux")]
    {
        let kib = plugin.peak_memory();
        assert!(kib < 48 * 1024, "{kib} KiB are resident");
    }
    plugin.send("");
    assert_eq!(plugin.resolve("3", "a.bit", "i"), "0 192.0.2.1");
    plugin.finish();
}

/// It took `.bit` anywhere in the name, and answered internal addresses, which
/// end Tor's naming client.
#[test]
fn defect_11_other_suffixes_and_internal_addresses() {
    let mut plugin = Plugin::with_names(
        r#"{"d/example":{"ip":"192.0.2.1"},"d/home":{"ip":["127.0.0.1","192.0.2.2"]},
            "d/host":{"alias":"localhost."}}"#,
        &[],
    );
    assert_eq!(
        plugin.resolve("1", "example.bit.suffix.com", "i"),
        "2 \"example.bit.suffix.com is not a Namecoin domain\""
    );
    assert_eq!(plugin.resolve("2", "home.bit", "i"), "0 192.0.2.2");
    let answer = plugin.resolve("3", "host.bit", "i");
    assert!(answer.starts_with("3 \""), "{answer}");
    plugin.finish();
}

/// It answered aliases inside `.bit` as they were, which an exit relay then
/// saw, and did not know `translate`.
#[test]
fn defect_12_aliases_inside_bit_are_followed() {
    let mut plugin = Plugin::with_names(
        &format!(
            r#"{{"d/a":{{"alias":"b.bit."}},"d/t":{{"translate":"b.bit."}},
                "d/b":{{"ip":"192.0.2.1","map":{{"www":{{"map":{{"_tor":{{"txt":"{ONION}"}}}}}}}}}}}}"#
        ),
        &[],
    );
    assert_eq!(plugin.resolve("1", "a.bit", "i"), "0 192.0.2.1");
    assert_eq!(plugin.resolve("2", "www.t.bit", "i"), format!("0 {ONION}"));
    plugin.finish();
}

/// One slow name made the healthy ones behind it fail, and CANCEL did nothing
/// (4, as far as it shows without a node that answers).
#[test]
fn defect_4_a_slow_name_holds_up_nobody() {
    let mut plugin = Start::new(&["--rpc-address", "127.0.0.1:1", "--timeout", "3600"]).spawn();
    assert_eq!(plugin.line(), "INIT 1 0");
    plugin.send("RESOLVE 1 a.bit i\nRESOLVE 2 foo.com i\nCANCEL 1");
    assert!(plugin.answer("2").starts_with("2 \""));
    plugin.close_stdin();
    // Nothing is left to wait for.
    assert_eq!(plugin.wait().code(), Some(0), "{}", plugin.story());
    let lines = plugin.rest();
    assert!(lines.iter().any(|line| line == "CANCELED 1"), "{lines:?}");
}
