//! `resolve --explain`: the way that a name took, through the real binary.

use std::fs;

use crate::support::node::{Flavour, Node, Reply};
use crate::support::run::{self, Outcome};

const ONION: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion";
/// The same with another key, so that the checksum is wrong.
const SPOILT: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jie.onion";

/// Resolves on a names file, with the placeholders ONION and SPOILT.
fn on(names: &str, arguments: &[&str]) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("names.json");
    let names = names.replace("ONION", ONION).replace("SPOILT", SPOILT);
    fs::write(&path, names).unwrap();
    let source = ["--names-file", path.to_str().unwrap()];
    run::with(&[&["resolve"], arguments, &source[..]].concat())
}

fn explained(names: &str, name: &str) -> Outcome {
    on(names, &["--explain", name])
}

/// The lines from the first question on, times replaced, continuations joined.
fn way(outcome: &Outcome) -> Vec<String> {
    let mut way: Vec<String> = Vec::new();
    let lines = outcome.stdout.iter();
    for line in lines.skip_while(|line| !line.starts_with("1. ")) {
        match line.strip_prefix("      ") {
            Some(more) => {
                let last = way.last_mut().unwrap();
                last.push(' ');
                last.push_str(more);
            }
            None => way.push(without_time(line)),
        }
    }
    way
}

/// `in 0.3 ms` becomes `in TIME`.
fn without_time(line: &str) -> String {
    let Some((begin, rest)) = line.split_once(" in ") else {
        return line.to_owned();
    };
    let Some((time, end)) = rest.split_once(" ms") else {
        return line.to_owned();
    };
    assert!(time.parse::<f64>().is_ok(), "{line}");
    format!("{begin} in TIME{end}")
}

#[track_caller]
fn assert_way(outcome: &Outcome, expected: &[&str]) {
    let mut way = way(outcome);
    for line in &mut way {
        // The length of the value is nobody's business here.
        if let Some(at) = line.find(": a value of") {
            line.truncate(at);
        }
    }
    assert_eq!(way, expected, "{outcome:#?}");
}

#[test]
fn without_explain_the_answer_stands_alone() {
    let names = r#"{"d/a":{"ip":"192.0.2.1"}}"#;
    for (name, answer, message, code) in [
        ("a.bit", Some("192.0.2.1"), None, 0),
        (
            "none.bit",
            None,
            Some("ncprop279: none.bit is not registered"),
            3,
        ),
        (
            "a.com",
            None,
            Some("ncprop279: a.com is not a Namecoin domain"),
            2,
        ),
    ] {
        let end = on(names, &[name]);
        assert_eq!(end.stdout, Vec::from_iter(answer), "{end:#?}");
        assert_eq!(end.stderr, Vec::from_iter(message), "{end:#?}");
        assert_eq!(end.code, Some(code), "{end:#?}");
        // Answer, message and status are the same with the explanation.
        let end = explained(names, name);
        let way = end.stdout.iter().position(String::is_empty).unwrap();
        assert_eq!(end.stdout[..way], Vec::from_iter(answer), "{end:#?}");
        assert!(end.stdout.len() > way + 2, "{end:#?}");
        assert_eq!(end.stderr, Vec::from_iter(message), "{end:#?}");
        assert_eq!(end.code, Some(code), "{end:#?}");
    }
}

#[test]
fn a_direct_onion_service_takes_one_question() {
    let end = explained(r#"{"d/a":{"map":{"_tor":{"txt":"ONION"}}}}"#, "a.bit");
    assert_eq!(end.stdout[0], ONION);
    assert_way(
        &end,
        &[
            "1. TXT _tor.a.bit: 1 record",
            "   fetched d/a from the file in TIME",
            &format!("   taken: \"{ONION}\""),
        ],
    );
}

/// What precedes it is shown, and why it is passed over.
#[test]
fn spoilt_onion_services_are_passed_over() {
    let names = r#"{"d/a":{"tor":["SPOILT","ONION"],
        "map":{"_tor":{"txt":["hello","SPOILT","\u00fc"]}}}}"#;
    let end = explained(names, "a.bit");
    assert_eq!(end.stdout[0], ONION);
    let way = way(&end).join("\n");
    for part in [
        "passed over: \"hello\" (the name does not end in .onion)",
        &format!("passed over: \"{SPOILT}\" (the onion address"),
        "2. tor a.bit: 1 record",
        &format!("taken: {ONION}"),
        // The value's own reader left it out before the engine saw it.
        &format!("a.bit: tor: \"{SPOILT}\": the onion address"),
    ] {
        assert!(way.contains(part), "{part}: {end:#?}");
    }
}

#[test]
fn internal_addresses_are_passed_over() {
    let names = r#"{"d/a":{"ip":["10.0.0.1","192.0.2.1","192.0.2.2"],"ip6":"::1"}}"#;
    let end = explained(names, "a.bit");
    assert_eq!(end.stdout[0], "192.0.2.1");
    assert_way(
        &end,
        &[
            "1. TXT _tor.a.bit: no such name",
            "   fetched d/a from the file in TIME",
            "2. tor a.bit: no record",
            "3. A a.bit: 3 records",
            "   passed over: 10.0.0.1 (an internal address, to which Tor does not connect)",
            "   taken: 192.0.2.1",
            "   passed over: 192.0.2.2 (another one comes before it)",
        ],
    );
}

#[test]
fn imports_are_fetched_where_they_are_needed() {
    let names = r#"{"d/a":{"import":"dd/x"},"dd/x":{"ip":"192.0.2.4"}}"#;
    assert_way(
        &explained(names, "a.bit"),
        &[
            "1. TXT _tor.a.bit: no such name",
            "   fetched d/a from the file in TIME",
            "   fetched dd/x from the file in TIME",
            "2. tor a.bit: no record",
            "3. A a.bit: 1 record",
            "   taken: 192.0.2.4",
        ],
    );
}

#[test]
fn aliases_are_followed_to_their_ends() {
    let names = r#"{"d/a":{"alias":"b.bit."},"d/b":{"alias":"example.com."},
        "d/l":{"alias":"m.bit."},"d/m":{"alias":"l.bit."},
        "d/i":{"alias":"x.local."},"d/o":{"alias":"SPOILT."}}"#;
    assert_way(
        &explained(names, "a.bit"),
        &[
            "1. TXT _tor.a.bit: no such name",
            "   fetched d/a from the file in TIME",
            "2. tor a.bit: an alias of b.bit",
            "   passed over: b.bit (the item is not looked for behind an alias)",
            "3. A a.bit: an alias of b.bit",
            "   followed: b.bit",
            "4. TXT _tor.b.bit: no such name",
            "   fetched d/b from the file in TIME",
            "5. tor b.bit: an alias of example.com",
            "   passed over: example.com (the item is not looked for behind an alias)",
            "6. A b.bit: an alias of example.com",
            "   taken: example.com",
        ],
    );
    for (name, last) in [
        ("l.bit", "   passed over: l.bit (it leads in a circle)"),
        (
            "i.bit",
            "   passed over: x.local (the host name is in a zone that is not part of the public DNS)",
        ),
    ] {
        let end = explained(names, name);
        assert_eq!(end.code, Some(3), "{end:#?}");
        assert_eq!(way(&end).last().unwrap(), last, "{end:#?}");
    }
    // An onion service is judged as one, not as a host name.
    let way = way(&explained(names, "o.bit"));
    assert!(way.last().unwrap().contains("the onion address"), "{way:?}");
}

#[test]
fn an_alias_below_tor_is_followed_inside_the_zone_only() {
    let names = r#"{"d/a":{"ip":"192.0.2.1","map":{"_tor":{"alias":"t.bit."}}},
        "d/t":{"txt":"ONION"},
        "d/b":{"ip":"192.0.2.1","map":{"_tor":{"alias":"example.com."}}}}"#;
    let way_a = way(&explained(names, "a.bit"));
    assert_eq!(way_a[2], "   followed: t.bit", "{way_a:?}");
    assert_eq!(way_a[3], "2. TXT t.bit: 1 record", "{way_a:?}");
    let way_b = way(&explained(names, "b.bit"));
    assert_eq!(
        way_b[2],
        "   passed over: example.com (it leaves .bit, where no onion service is looked for)"
    );
}

#[test]
fn only_onion_leaves_addresses_and_hosts_out() {
    let names = r#"{"d/a":{"ip":"192.0.2.1"},"d/h":{"alias":"example.com."}}"#;
    for arguments in [
        &["--explain", "--only-onion", "h.bit"][..],
        &["--explain", "h.bit.onion"],
    ] {
        let end = on(names, arguments);
        let way = way(&end);
        let tail = &way[way.len() - 3..];
        assert_eq!(
            tail,
            [
                "3. A and AAAA h.bit: not asked, as only onion services are answered",
                "4. CNAME h.bit: an alias of example.com",
                "   passed over: example.com (only onion services are answered)",
            ]
        );
    }
}

/// `records` lists a wildcard under its own name and so is silent here; it
/// says where to look.
#[test]
fn wildcards_are_shown() {
    let names = r#"{"d/a":{"map":{"*":{"ip":"192.0.2.7"},"www":{}}}}"#;
    let end = explained(names, "x.a.bit");
    assert_way(
        &end,
        &[
            "1. TXT _tor.x.a.bit: no such name",
            "   fetched d/a from the file in TIME",
            "2. tor x.a.bit: no record",
            "   written as the wildcard *.a.bit",
            "3. A x.a.bit: 1 record",
            "   taken: 192.0.2.7",
        ],
    );
    assert!(!explained(names, "www.a.bit").says("wildcard"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("names.json");
    fs::write(&path, names).unwrap();
    let records = |name| run::with(&["records", name, "--names-file", path.to_str().unwrap()]);
    let end = records("x.a.bit");
    assert_eq!(end.code, Some(0), "{end:#?}");
    assert!(end.stdout.is_empty(), "{end:#?}");
    assert!(
        end.says_on_stderr("note: x.a.bit has what *.a.bit has"),
        "{end:#?}"
    );
    for name in ["www.a.bit", "a.bit", "x.y.a.bit"] {
        assert!(!records(name).says("wildcard") && !records(name).says(" has what "));
    }
}

/// Likely misspellings are shown, and none of them counts.
#[test]
fn misspelt_items_are_shown() {
    let names = r#"{"d/a":{"ipp":"192.0.2.1","IP":"192.0.2.2","email":"a@b","i2p":"x",
                           "ipv4":"192.0.2.3","ipv6":"2001:db8::1","_tor":{"txt":"x"}}}"#;
    let end = explained(names, "a.bit");
    assert_eq!(end.code, Some(3), "{end:#?}");
    for words in [
        "a.bit: ipp: no item; did you mean \"ip\"?",
        "a.bit: IP: no item; did you mean \"ip\"?",
        "a.bit: ipv4: no item; did you mean \"ip\"?",
        "a.bit: ipv6: no item; did you mean \"ip6\"?",
        "a.bit: _tor: no item; subdomains belong in \"map\"",
    ] {
        assert!(end.says(words), "{words}: {end:#?}");
    }
    assert!(!end.says("email") && !end.says("i2p"), "{end:#?}");
}

#[test]
fn absent_names_and_delegations_are_shown() {
    let names = r#"{"d/n":{"ns":["ns.example.com."]},"d/e":""}"#;
    for (name, words) in [
        ("none.bit", "the name is not registered"),
        ("n.bit", "the name is delegated to name servers"),
        ("e.bit", "the name has a value that is no domain object"),
    ] {
        let end = explained(names, name);
        let way = way(&end);
        assert!(way.contains(&format!("3. A {name}: {words}")), "{end:#?}");
        assert!(way.last().unwrap().starts_with("4. AAAA "), "{end:#?}");
    }
    let end = explained(names, "a.com");
    assert!(end.says("Nothing was looked up"), "{end:#?}");
}

/// The failure's words appear once, on stderr.
#[test]
fn a_failing_node_is_shown_with_its_time() {
    let node = Node::start(Flavour::Core);
    node.script("d/a", [Reply::Recorded("loading")]);
    let end = run::run(node.prepare(&["resolve", "--explain", "a.bit", "--isolation=my-id"]));
    assert_eq!(end.code, Some(1), "{end:#?}");
    assert_eq!(end.stderr.len(), 1, "{end:#?}");
    assert!(end.says_on_stderr(&node.address()), "{end:#?}");
    assert!(end.says_on_stderr("not ready:"), "{end:#?}");
    let mut lines = end.stdout.iter();
    assert!(!lines.any(|line| line.contains("not ready:")), "{end:#?}");
    assert!(
        end.says("How a.bit was resolved under the isolation id my-id,"),
        "{end:#?}"
    );
    let place = format!("   {}:", node.address());
    assert!(end.stdout.contains(&place), "{end:#?}");
    assert_way(
        &end,
        &[
            "1. TXT _tor.a.bit: not known for now",
            "   fetched d/a from the node in TIME: not ready; see the message on stderr",
        ],
    );
    for line in &end.stdout {
        assert!(!line.contains("nmc-password"), "{line}");
    }
}

/// Whatever an owner wrote stays in its columns and does not drive the
/// terminal.
#[test]
fn everything_is_printable_and_fits() {
    let long = "x".repeat(63);
    let names = format!(
        r#"{{"d/a":{{"txt":"t","map":{{"_tor":{{"txt":["\u001b[31m{long}{long}{long}","a \n b"]}},
            "{long}":{{"map":{{"{long}":{{"ip":"127.0.0.1","ip6":"\u001b[0m{long}{long}"}}}}}}}},
            "ip":"\u0007","import":"dd/\u001b[31m\n"}}}}"#
    );
    for name in ["a.bit", &format!("{long}.{long}.a.bit")] {
        let end = explained(&names, name);
        assert!(end.stdout.len() > 8, "{end:#?}");
        for line in &end.stdout {
            assert!(line.len() <= 80, "{line}");
            assert!(
                line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{line:?}"
            );
        }
    }
}

/// Each reason has words of its own.
#[test]
fn the_message_says_why_there_is_no_answer() {
    let names = r#"{
        "d/circle": {"alias":"ring.bit."},
        "d/ring": {"alias":"circle.bit."},
        "d/plain": {"ip":"192.0.2.1"}
    }"#;
    for (name, why) in [
        ("circle.bit", "circle.bit follows aliases in a circle"),
        ("www.plain.bit", "www.plain.bit has no such subdomain"),
        ("none.bit", "none.bit is not registered"),
    ] {
        assert_eq!(on(names, &[name]).stderr, [format!("ncprop279: {why}")]);
    }
}

/// The DNAME record itself is none of the candidates.
#[test]
fn a_translated_name_has_its_alias_as_the_only_candidate() {
    let names =
        r#"{"d/moved": {"translate":"plain.bit."}, "d/plain": {"map":{"www":{"ip":"192.0.2.1"}}}}"#;
    let way = way(&explained(names, "www.moved.bit"));
    let of_moved = way.iter().filter(|line| line.starts_with("   passed over"));
    for line in of_moved {
        assert!(line.contains("www.plain.bit"), "{way:#?}");
    }
    assert!(
        way.iter().any(|line| line == "   followed: www.plain.bit"),
        "{way:#?}"
    );
}

/// An error is shown with its place, whatever was read before.
#[test]
fn each_error_names_its_item() {
    let names = r#"{"d/bad": {"ds":7,"ip":"x","tls":7}}"#;
    let way = way(&explained(names, "bad.bit"));
    for item in ["ds", "ip", "tls"] {
        let begin = format!("   bad.bit: {item}: ");
        assert!(way.iter().any(|line| line.starts_with(&begin)), "{way:#?}");
    }
}
