//! From a name and a value to an answer: the table of spec/resolution.md, row
//! by row, from a names file.

use crate::support::plugin::Plugin;
use ncprop279::onion::{OnionAddress, OnionError};

const ONION: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion";
const OTHER_ONION: &str = "dhflg7a7etr77hwt4eerwoovhg7b5bivt2jem4366dt4psgnl5diyiyd.onion";

/// Onions that nobody can connect to. Tor refuses all but the last of the keys,
/// and with a refusal its naming client dies.
const BAD_ONIONS: [(&str, &str); 11] = [
    (
        "wrong checksum",
        "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm63qjid.onion",
    ),
    (
        "wrong version",
        "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jie.onion",
    ),
    (
        "no point",
        "aiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab3did.onion",
    ),
    (
        "low order",
        "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaahmjqd.onion",
    ),
    (
        "a good point with torsion added",
        "2y6acirri5kb35hbob3d5hrhrcul6wlr6uvjhrmctw7g6x7wxou6uwqd.onion",
    ),
    (
        "not canonical",
        "537777777777777777777777777777777777777777777777757vndid.onion",
    ),
    ("version 2", "expyuzz4wqqyqhjn.onion"),
    (
        "no base32",
        "11a6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion",
    ),
    (
        "short",
        "fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion",
    ),
    ("nothing in front", ".onion"),
    ("a word", "x.onion"),
];

/// What is expected of an answer.
enum Expect {
    /// Exactly this.
    Is(String),
    /// Status 3, with a message that begins with the name and holds this.
    NotFound(&'static str),
}

fn is(answer: impl Into<String>) -> Expect {
    Expect::Is(answer.into())
}

use Expect::NotFound;

/// Asks one plugin for all names, each under an isolation id of its own.
#[track_caller]
fn check(names: &str, arguments: &[&str], rows: &[(&str, Expect)]) {
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(names);
    assert!(parsed.is_ok(), "the test's names are no JSON: {names}");
    let mut plugin = Plugin::with_names(names, arguments);
    for (id, (name, expected)) in rows.iter().enumerate() {
        let answer = plugin.resolve(&id.to_string(), name, &format!("i{id}"));
        match expected {
            Expect::Is(expected) => assert_eq!(&answer, expected, "{name}"),
            NotFound(part) => {
                assert!(answer.starts_with("3 \""), "{name}: {answer}");
                assert!(answer.contains(part), "{name}: {answer} lacks {part:?}");
            }
        }
    }
    plugin.finish();
}

/// A names file with one name, `d/a`.
fn one(value: &str) -> String {
    format!(r#"{{"d/a":{value}}}"#)
}

/// What `a.bit` yields for a value.
#[track_caller]
fn check_value(value: &str, expected: Expect) {
    check(&one(value), &[], &[("a.bit", expected)]);
}

#[test]
fn the_bundled_example_answers() {
    let names = std::fs::read_to_string("examples/names.json").unwrap();
    check(
        &names,
        &[],
        &[
            ("example.bit", is("0 192.0.2.1")),
            ("www.example.bit", is("0 192.0.2.1")),
            ("blog.example.bit", is("0 example.github.io")),
            ("other.example.bit", is("0 192.0.2.2")),
            ("onion.bit", is(format!("0 {ONION}"))),
            ("onion.bit.onion", is(format!("0 {ONION}"))),
            ("imported.bit", is("0 192.0.2.4")),
            ("www.imported.bit", is("0 192.0.2.4")),
            ("delegated.bit", NotFound("delegated to name servers")),
            ("raw.bit", is("0 192.0.2.5")),
            ("reserved.bit", NotFound("no domain object")),
            ("none.bit", NotFound("not registered")),
        ],
    );
}

// Onion services.

#[test]
fn onions_in_every_form_are_answered() {
    for (txt, expected) in [
        (format!(r#""{ONION}""#), ONION.to_owned()),
        (format!(r#""{OTHER_ONION}""#), OTHER_ONION.to_owned()),
        (format!(r#""{}""#, ONION.to_uppercase()), ONION.to_owned()),
        (format!(r#""{ONION}.""#), ONION.to_owned()),
        (format!(r#""www.{ONION}""#), format!("www.{ONION}")),
        (format!(r#""WwW.a-1.{ONION}.""#), format!("www.a-1.{ONION}")),
        (format!(r#"["{ONION}"]"#), ONION.to_owned()),
        // One record of several strings.
        (
            format!(
                r#"[["{}","{}","{}"]]"#,
                &ONION[..9],
                &ONION[9..50],
                &ONION[50..]
            ),
            ONION.to_owned(),
        ),
    ] {
        check(
            &one(&format!(
                r#"{{"ip":"192.0.2.1","map":{{"_tor":{{"txt":{txt}}}}}}}"#
            )),
            &[],
            &[
                ("a.bit", is(format!("0 {expected}"))),
                ("A.BIT.", is(format!("0 {expected}"))),
                ("a.bit.onion", is(format!("0 {expected}"))),
            ],
        );
    }
}

/// Those that stand for keys must fail for the key, not for a digit too few.
#[test]
fn bad_keys_are_refused_for_the_key() {
    for (why, reason) in [
        ("no point", OnionError::NotAPoint),
        ("low order", OnionError::WeakKey),
        ("a good point with torsion added", OnionError::WeakKey),
        ("not canonical", OnionError::NotAPoint),
    ] {
        let (_, onion) = BAD_ONIONS.iter().find(|(name, _)| *name == why).unwrap();
        assert_eq!(OnionAddress::parse(onion), Err(reason), "{why}");
    }
}

#[test]
fn onions_that_tor_refuses_are_skipped() {
    for (why, onion) in BAD_ONIONS {
        let mut names = serde_json::Map::new();
        let map = serde_json::json!({"_tor": {"txt": onion}});
        let both = serde_json::json!({"_tor": {"txt": [onion, ONION]}});
        names.insert(
            "d/a".into(),
            serde_json::json!({"ip": "192.0.2.1", "map": map}),
        );
        names.insert("d/b".into(), serde_json::json!({"map": map}));
        names.insert(
            "d/c".into(),
            serde_json::json!({"ip": "192.0.2.1", "map": both}),
        );
        names.insert(
            "d/d".into(),
            serde_json::json!({"alias": format!("{onion}.")}),
        );
        let names = serde_json::to_string(&names).unwrap();
        eprintln!("{why}");
        check(
            &names,
            &[],
            &[
                ("a.bit", is("0 192.0.2.1")),
                ("a.bit.onion", NotFound("a.bit")),
                ("b.bit", NotFound("b.bit")),
                ("c.bit", is(format!("0 {ONION}"))),
                ("d.bit", NotFound("d.bit")),
            ],
        );
    }
}

#[test]
fn the_onion_of_a_subdomain_stands_at_its_own_tor_label() {
    check(
        &format!(
            r#"{{"d/a":{{"ip":"192.0.2.1","map":{{"_tor":{{"txt":"{ONION}"}},
                "www":{{"ip":"192.0.2.2","map":{{"_tor":{{"txt":"{OTHER_ONION}"}}}}}},
                "ftp":{{"ip":"192.0.2.3","txt":"{OTHER_ONION}"}}}}}}}}"#
        ),
        &[],
        &[
            ("a.bit", is(format!("0 {ONION}"))),
            ("www.a.bit", is(format!("0 {OTHER_ONION}"))),
            // A TXT at the name itself is anything.
            ("ftp.a.bit", is("0 192.0.2.3")),
        ],
    );
}

// Addresses.

#[test]
fn ipv4_goes_before_ipv6() {
    for (value, expected) in [
        (r#"{"ip":"192.0.2.1","ip6":"2001:db8::1"}"#, "192.0.2.1"),
        (r#"{"ip6":"2001:db8::1","ip":"192.0.2.1"}"#, "192.0.2.1"),
        (r#"{"ip6":"2001:db8::1"}"#, "2001:db8::1"),
        (r#"{"ip6":"2001:0DB8:0:0::0001"}"#, "2001:db8::1"),
        (r#"{"ip":["192.0.2.9","192.0.2.1"]}"#, "192.0.2.9"),
        (r#"{"ip":[],"ip6":["2001:db8::1"]}"#, "2001:db8::1"),
        (r#"{"ip":["x","192.0.2.1"]}"#, "192.0.2.1"),
        (r#"{"ip":"192.0.2.256","ip6":"2001:db8::1"}"#, "2001:db8::1"),
    ] {
        check_value(value, is(format!("0 {expected}")));
    }
}

#[test]
fn internal_addresses_are_skipped_and_the_next_is_used() {
    let v4 = [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.1.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
    ];
    let v6 = [
        "::",
        "::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "feff::1",
        "ff00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:0:0",
        "::ffff:224.0.0.1",
    ];
    let mut names = serde_json::Map::new();
    let mut rows = Vec::new();
    for (item, address) in v4
        .map(|a| ("ip", a))
        .into_iter()
        .chain(v6.map(|a| ("ip6", a)))
    {
        let next = if item == "ip" {
            "192.0.2.1"
        } else {
            "2001:db8::1"
        };
        let n = names.len();
        for (suffix, value, expected) in [
            ("s", serde_json::json!({item: address}), NotFound("")),
            (
                "m",
                serde_json::json!({item: [address, next]}),
                is(format!("0 {next}")),
            ),
        ] {
            names.insert(format!("d/n{n}{suffix}"), value);
            rows.push((format!("n{n}{suffix}.bit"), expected));
        }
    }
    names.insert(
        "d/fall".into(),
        serde_json::json!({"ip": v4, "ip6": ["::1", "2001:db8::2"]}),
    );
    rows.push(("fall.bit".into(), is("0 2001:db8::2")));
    let rows: Vec<_> = rows
        .iter_mut()
        .map(|(name, e)| (name.as_str(), std::mem::replace(e, NotFound(""))))
        .collect();
    check(&serde_json::to_string(&names).unwrap(), &[], &rows);
}

#[test]
fn addresses_beside_the_internal_ranges_are_answered() {
    for (item, address) in [
        ("ip", "1.0.0.0"),
        ("ip", "9.255.255.255"),
        ("ip", "11.0.0.0"),
        ("ip", "100.63.255.255"),
        ("ip", "100.128.0.0"),
        ("ip", "126.255.255.255"),
        ("ip", "128.0.0.0"),
        ("ip", "169.253.255.255"),
        ("ip", "169.255.0.0"),
        ("ip", "172.15.255.255"),
        ("ip", "172.32.0.0"),
        ("ip", "192.167.255.255"),
        ("ip", "192.169.0.0"),
        ("ip", "223.255.255.255"),
        ("ip6", "::2"),
        ("ip6", "fbff::1"),
        ("ip6", "fe00::1"),
        ("ip6", "fe7f::1"),
    ] {
        check_value(
            &format!(r#"{{"{item}":"{address}"}}"#),
            is(format!("0 {address}")),
        );
    }
}

// Aliases.

#[test]
fn aliases_inside_bit_are_followed() {
    let names = format!(
        r#"{{"d/a":{{"ip":"192.0.2.1","map":{{
                "relative":{{"alias":"www"}},
                "own":{{"alias":"x.@"}},
                "apex":{{"alias":"@"}},
                "absolute":{{"alias":"b.bit."}},
                "upper":{{"alias":"B.BIT."}},
                "onion":{{"alias":"c.bit.","ip":"192.0.2.66"}},
                "gone":{{"alias":"none.bit."}},
                "nosub":{{"alias":"none.b.bit."}},
                "www":{{"ip":"192.0.2.2"}},
                "x":{{"ip":"192.0.2.3"}}}}}},
            "d/b":{{"ip":"192.0.2.4"}},
            "d/c":{{"ip":"192.0.2.5","map":{{"_tor":{{"txt":"{ONION}"}}}}}},
            "d/root":{{"alias":"b.bit.","ip":"192.0.2.66"}}}}"#
    );
    check(
        &names,
        &[],
        &[
            ("relative.a.bit", is("0 192.0.2.2")),
            ("own.a.bit", is("0 192.0.2.3")),
            ("apex.a.bit", is("0 192.0.2.1")),
            ("absolute.a.bit", is("0 192.0.2.4")),
            ("upper.a.bit", is("0 192.0.2.4")),
            ("onion.a.bit", is(format!("0 {ONION}"))),
            ("onion.a.bit.onion", is(format!("0 {ONION}"))),
            ("apex.a.bit.onion", NotFound("apex.a.bit")),
            ("root.bit", is("0 192.0.2.4")),
            ("gone.a.bit", NotFound("not registered")),
            ("nosub.a.bit", NotFound("")),
        ],
    );
}

/// An alias chain inside one name: `h0` points to `h1` and so on.
fn chain(hops: usize) -> String {
    let mut map = serde_json::Map::new();
    for hop in 0..hops {
        map.insert(
            format!("h{hop}"),
            serde_json::json!({"alias": format!("h{}.@", hop + 1)}),
        );
    }
    map.insert(format!("h{hops}"), serde_json::json!({"ip": "192.0.2.1"}));
    serde_json::json!({"d/a": {"map": map}}).to_string()
}

#[test]
fn eight_aliases_are_followed_and_not_nine() {
    check(
        &chain(9),
        &[],
        &[
            ("h8.a.bit", is("0 192.0.2.1")),
            ("h1.a.bit", is("0 192.0.2.1")),
            ("h0.a.bit", NotFound("alias")),
        ],
    );
}

#[test]
fn eight_aliases_through_other_names_are_followed_and_not_nine() {
    let mut names = serde_json::Map::new();
    for hop in 0..9 {
        names.insert(
            format!("d/h{hop}"),
            serde_json::json!({"alias": format!("h{}.bit.", hop + 1)}),
        );
    }
    names.insert("d/h9".into(), serde_json::json!({"ip": "192.0.2.1"}));
    check(
        &serde_json::to_string(&names).unwrap(),
        &[],
        &[("h1.bit", is("0 192.0.2.1")), ("h0.bit", NotFound("alias"))],
    );
}

#[test]
fn alias_loops_end() {
    check(
        r#"{"d/a":{"alias":"@"},
            "d/b":{"alias":"c.bit."},"d/c":{"alias":"b.bit."},
            "d/d":{"map":{"x":{"alias":"x"},"y":{"alias":"y.@"},"*":{"alias":"q.@"}}},
            "d/e":{"translate":"e.bit."},
            "d/f":{"translate":"x.f.bit."}}"#,
        &[],
        &[
            ("a.bit", NotFound("")),
            ("b.bit", NotFound("")),
            ("x.d.bit", NotFound("")),
            ("y.d.bit", NotFound("")),
            ("q.d.bit", NotFound("")),
            ("r.d.bit", NotFound("")),
            ("w.e.bit", NotFound("")),
            ("w.f.bit", NotFound("")),
        ],
    );
}

#[test]
fn aliases_out_of_bit_are_answered_as_host_names() {
    let long = format!("{0}.{0}.{0}.example", "a".repeat(63));
    for (target, host) in [
        ("example.github.io.", "example.github.io"),
        ("Example.COM.", "example.com"),
        ("_dmarc.example.com.", "_dmarc.example.com"),
        ("a_b.example.com.", "a_b.example.com"),
        ("1and1.com.", "1and1.com"),
        ("xn--bcher-kva.example.", "xn--bcher-kva.example"),
        ("bit.example.com.", "bit.example.com"),
        (&format!("{long}."), &long),
    ] {
        let underscore = host.starts_with('_');
        let expected = if underscore {
            // Tor refuses these.
            NotFound("")
        } else {
            is(format!("0 {host}"))
        };
        check(
            &one(&format!(r#"{{"ip":"192.0.2.1","alias":"{target}"}}"#)),
            &[],
            &[("a.bit", expected), ("a.bit.onion", NotFound(""))],
        );
    }
}

#[test]
fn aliases_to_onions_are_answered_also_when_only_onions_are_wanted() {
    for target in [
        format!("{ONION}."),
        format!("{}.", ONION.to_uppercase().replace("ONION", "onion")),
    ] {
        let names = one(&format!(r#"{{"alias":"{target}"}}"#));
        let expected = || is(format!("0 {ONION}"));
        check(
            &names,
            &[],
            &[("a.bit", expected()), ("a.bit.onion", expected())],
        );
        check(&names, &["--only-onion"], &[("a.bit", expected())]);
    }
    check_value(
        &format!(r#"{{"alias":"www.{ONION}."}}"#),
        is(format!("0 www.{ONION}")),
    );
}

#[test]
fn aliases_to_what_tor_refuses_are_no_answer() {
    for target in [
        "foo.exit.",
        "exit.",
        "foo.EXIT.",
        "foo.local.",
        "local.",
        "localhost.",
        "foo.localhost.",
        "127.0.0.1.",
        "192.0.2.1.",
        "1.2.3.",
        "127.1.",
        "foo.0x7f.",
        "0x7f000001.",
        "2130706433.",
        "example.1.",
        "foo.onion.",
        "-a.example.com.",
        "a-.example.com.",
        "example.com:80.",
        "http://example.com/.",
        "a b.example.com.",
        "a%.example.com.",
        "[2001:db8::1].",
        "2001:db8::1.",
        ".",
        "",
        "a..example.com.",
    ] {
        let value = serde_json::json!({"alias": target}).to_string();
        eprintln!("{target}");
        check_value(&value, NotFound("a.bit"));
    }
}

#[test]
fn translate_is_for_subdomains() {
    check(
        &format!(
            r#"{{"d/in":{{"translate":"b.bit.","ip":"192.0.2.9"}},
                "d/out":{{"translate":"example.com."}},
                "d/sub":{{"map":{{"x":{{"translate":"b.bit."}}}}}},
                "d/onion":{{"translate":"{ONION}."}},
                "d/b":{{"ip":"192.0.2.1","map":{{"www":{{"ip":"192.0.2.2"}},
                    "t":{{"map":{{"_tor":{{"txt":"{OTHER_ONION}"}}}}}}}}}}}}"#
        ),
        &[],
        &[
            ("www.in.bit", is("0 192.0.2.2")),
            ("t.in.bit", is(format!("0 {OTHER_ONION}"))),
            ("www.in.bit.onion", NotFound("")),
            ("no.in.bit", NotFound("")),
            ("www.x.sub.bit", is("0 192.0.2.2")),
            ("www.out.bit", is("0 www.example.com")),
            ("a.b.out.bit", is("0 a.b.example.com")),
            ("www.out.bit.onion", NotFound("")),
            ("www.onion.bit", is(format!("0 www.{ONION}"))),
            ("www.onion.bit.onion", is(format!("0 www.{ONION}"))),
        ],
    );
}

// Onions only.

#[test]
fn a_name_in_bit_onion_is_for_onions_only_in_any_case() {
    let names = format!(
        r#"{{"d/a":{{"ip":"192.0.2.1","ip6":"2001:db8::1","map":{{"sub":{{"map":{{"_tor":{{"txt":"{ONION}"}}}}}}}}}}}}"#
    );
    check(
        &names,
        &[],
        &[
            ("a.bit.onion", NotFound("onion")),
            ("a.bit.ONION", NotFound("onion")),
            ("A.BIT.Onion", NotFound("onion")),
            ("a.Bit.oNION.", NotFound("onion")),
            ("sub.a.bit.ONION", is(format!("0 {ONION}"))),
            ("a.bit", is("0 192.0.2.1")),
        ],
    );
    check(
        &names,
        &["--only-onion"],
        &[
            ("a.bit", NotFound("onion")),
            ("sub.a.bit", is(format!("0 {ONION}"))),
            ("sub.a.bit.onion", is(format!("0 {ONION}"))),
        ],
    );
    check(
        &names,
        &["--only-onion=false"],
        &[("a.bit", is("0 192.0.2.1"))],
    );
}

// Names that are not ours, or no names.

#[test]
fn names_outside_bit_are_not_in_the_zone() {
    let mut plugin = Plugin::with_names(&one(r#"{"ip":"192.0.2.1"}"#), &[]);
    for (id, name) in [
        "example.bit.suffix.com",
        "a.bit.com",
        "foo.onion",
        "foo.com",
        "bitcoin",
        "a.bits",
        "abit",
        "a.bit.onion.com",
        "a.bit.onion.onion",
        "bit.com",
        "onion",
        "192.0.2.1",
        "a_b.com",
        "d/a",
        // Their last label is not `bit`.
        "a.bit..",
        "bit.onion",
    ]
    .into_iter()
    .enumerate()
    {
        let answer = plugin.resolve(&id.to_string(), name, "i");
        assert_eq!(answer, format!("2 \"{name} is not a Namecoin domain\""));
    }
    plugin.finish();
}

#[test]
fn names_that_cannot_be_are_permanent_failures() {
    let label = "a".repeat(64);
    let too_long = format!("{label}.bit");
    let too_long_below = format!("{label}.a.bit");
    check(
        r#"{"d/a":{"ip":"192.0.2.1","map":{"*":{"ip":"192.0.2.2"}}},"d/123":{"ip":"192.0.2.1"},
            "d/a_b":{"ip":"192.0.2.1"},"d/-a":{"ip":"192.0.2.1"},"d/a-":{"ip":"192.0.2.1"},"d/":{"ip":"192.0.2.1"}}"#,
        &[],
        &[
            ("bit", NotFound("bit")),
            ("bit.", NotFound("bit")),
            ("BIT", NotFound("")),
            (".bit", NotFound("label")),
            ("..bit", NotFound("label")),
            ("a..bit", NotFound("label")),
            (".a.bit", NotFound("label")),
            ("x..a.bit", NotFound("label")),
            ("a_b.bit", NotFound("label")),
            ("-a.bit", NotFound("label")),
            ("a-.bit", NotFound("label")),
            ("a!.bit", NotFound("label")),
            ("a/b.bit", NotFound("label")),
            ("a:80.bit", NotFound("label")),
            ("*.bit", NotFound("label")),
            ("123.bit", NotFound("numeric")),
            ("x.123.bit", NotFound("numeric")),
            (&too_long, NotFound("label")),
            (&too_long_below, NotFound("label")),
            (".bit.onion", NotFound("")),
            ("123.a.bit", is("0 192.0.2.2")),
        ],
    );
}

// Values that are none.

#[test]
fn names_without_a_domain_object_are_permanent_failures() {
    for value in [
        r#""""#,
        r#""reserved""#,
        r#""[]""#,
        r#""[\"192.0.2.1\"]""#,
        r#""42""#,
        r#""null""#,
        r#""true""#,
        r#""\"192.0.2.1\"""#,
        r#""{""#,
        r#""{\"ip\":\"192.0.2.1\"} x""#,
        r#""{\"ip\":\"192.0.2.1\"""#,
        r#""192.0.2.1""#,
        r#"{"value":"","value_encoding":"ascii"}"#,
        r#"{"value":"[]","value_encoding":"ascii"}"#,
        r#"{"value":"ff","value_encoding":"hex"}"#,
    ] {
        eprintln!("{value}");
        check(
            &one(value),
            &[],
            &[
                ("a.bit", NotFound("no domain object")),
                ("www.a.bit", NotFound("no domain object")),
            ],
        );
    }
}

#[test]
fn the_message_says_what_is_wrong() {
    check(
        r#"{"d/expired":{"value":"{\"ip\":\"192.0.2.1\"}","value_encoding":"ascii","expired":true},
            "d/noaddress":{},
            "d/text":{"txt":"x"},
            "d/delegated":{"ns":"ns1.example.com.","ip":"192.0.2.1","map":{"www":{"ip":"192.0.2.1"}}},
            "d/sub":{"ip":"192.0.2.1","map":{"z":{"ns":["ns1.example.com."]},"e":{}}},
            "d/internal":{"ip":"127.0.0.1"}}"#,
        &[],
        &[
            ("none.bit", NotFound("none.bit is not registered")),
            ("www.none.bit", NotFound("www.none.bit is not registered")),
            ("NONE.bit", NotFound("not registered")),
            ("expired.bit", NotFound("expired.bit")),
            ("expired.bit", NotFound(" expired")),
            ("www.expired.bit", NotFound("expired")),
            ("noaddress.bit", NotFound("address")),
            ("text.bit", NotFound("address")),
            ("internal.bit", NotFound("address")),
            ("delegated.bit", NotFound("delegated to name servers")),
            ("www.delegated.bit", NotFound("delegated to name servers")),
            ("z.sub.bit", NotFound("delegated to name servers")),
            ("y.z.sub.bit", NotFound("delegated to name servers")),
            ("e.sub.bit", NotFound("address")),
            ("x.sub.bit", NotFound("x.sub.bit")),
        ],
    );
}

// Values of several parts.

#[test]
fn maps_have_an_own_and_a_wildcard_label() {
    check(
        r#"{"d/a":{"map":{"":{"ip":"192.0.2.1","ip6":"2001:db8::9"},
                "*":{"ip":"192.0.2.2"},"www":{"ip":"192.0.2.3"},"e":{},
                "UP":{"ip":"192.0.2.4"},"s":"192.0.2.5"}},
            "d/b":{"ip":"192.0.2.6","map":{"":{"ip":"192.0.2.7"}}}}"#,
        &[],
        &[
            ("a.bit", is("0 192.0.2.1")),
            ("www.a.bit", is("0 192.0.2.3")),
            ("any.a.bit", is("0 192.0.2.2")),
            ("up.a.bit", is("0 192.0.2.4")),
            ("s.a.bit", is("0 192.0.2.5")),
            // One label, and not where a label stands.
            ("x.any.a.bit", NotFound("")),
            ("x.www.a.bit", NotFound("")),
            ("e.a.bit", NotFound("")),
            ("b.bit", is("0 192.0.2.6")),
        ],
    );
}

#[test]
fn imports_are_part_of_the_value() {
    check(
        &format!(
            r#"{{"d/string":{{"import":"dd/s"}},
                "d/array":{{"import":["dd/s"]}},
                "d/nested":{{"import":[["dd/s"]]}},
                "d/selector":{{"import":["dd/s","www"]}},
                "d/deep":{{"import":[["dd/s","x.www"]]}},
                "d/two":{{"import":[["dd/other"],["dd/s"]]}},
                "d/own":{{"ip":"192.0.2.9","import":"dd/s"}},
                "d/null":{{"ip":null,"import":"dd/s"}},
                "d/missing":{{"ip":"192.0.2.1","import":"dd/none"}},
                "d/onlymissing":{{"import":"dd/none"}},
                "d/noobject":{{"ip":"192.0.2.1","import":"dd/text"}},
                "d/noselector":{{"ip6":"2001:db8::1","import":["dd/s","none"]}},
                "d/some":{{"import":[["dd/none"],["dd/s"]]}},
                "d/circle":{{"ip6":"2001:db8::1","import":"d/circle"}},
                "d/chain":{{"import":"dd/c1"}},
                "d/delegate":{{"ip":"192.0.2.9","delegate":"dd/s"}},
                "d/badkey":{{"ip":"192.0.2.1","import":"no slash"}},
                "d/sub":{{"ip":"192.0.2.8","map":{{"in":{{"import":"dd/s"}}}}}},
                "dd/c1":{{"import":"dd/c2"}},"dd/c2":{{"import":"dd/s"}},
                "dd/text":"text",
                "dd/other":{{"ip6":"2001:db8::2"}},
                "dd/s":{{"ip":"192.0.2.5","map":{{"_tor":{{"txt":"x"}},
                    "www":{{"ip":"192.0.2.6","map":{{"x":{{"ip":"192.0.2.7"}}}}}},
                    "o":{{"map":{{"_tor":{{"txt":"{ONION}"}}}}}}}}}}}}"#
        ),
        &[],
        &[
            ("string.bit", is("0 192.0.2.5")),
            ("www.string.bit", is("0 192.0.2.6")),
            ("o.string.bit", is(format!("0 {ONION}"))),
            ("array.bit", is("0 192.0.2.5")),
            ("nested.bit", is("0 192.0.2.5")),
            ("selector.bit", is("0 192.0.2.6")),
            ("x.selector.bit", is("0 192.0.2.7")),
            ("deep.bit", is("0 192.0.2.7")),
            ("two.bit", is("0 192.0.2.5")),
            ("own.bit", is("0 192.0.2.9")),
            ("www.own.bit", is("0 192.0.2.6")),
            ("null.bit", NotFound("")),
            ("missing.bit", is("0 192.0.2.1")),
            ("onlymissing.bit", NotFound("onlymissing.bit")),
            ("noobject.bit", is("0 192.0.2.1")),
            ("noselector.bit", is("0 2001:db8::1")),
            ("some.bit", is("0 192.0.2.5")),
            ("circle.bit", is("0 2001:db8::1")),
            ("chain.bit", is("0 192.0.2.5")),
            ("delegate.bit", is("0 192.0.2.5")),
            ("badkey.bit", is("0 192.0.2.1")),
            ("in.sub.bit", is("0 192.0.2.5")),
            ("sub.bit", is("0 192.0.2.8")),
        ],
    );
}

/// A name and its imports are at most 16 names.
#[test]
fn too_many_imports_are_a_permanent_failure() {
    for (imports, expected) in [(15, is("0 192.0.2.1")), (16, NotFound("too many imports"))] {
        let mut names = serde_json::Map::new();
        let list: Vec<_> = (0..imports).map(|n| vec![format!("dd/n{n}")]).collect();
        for n in 0..imports {
            names.insert(format!("dd/n{n}"), serde_json::json!({"txt": "x"}));
        }
        names.insert(
            "d/a".into(),
            serde_json::json!({"ip": "192.0.2.1", "import": list}),
        );
        check(
            &serde_json::to_string(&names).unwrap(),
            &[],
            &[("a.bit", expected)],
        );
    }
}

#[test]
fn too_deep_imports_are_a_permanent_failure() {
    for (imports, expected) in [(15, is("0 192.0.2.1")), (16, NotFound("too many imports"))] {
        let mut names = serde_json::Map::new();
        names.insert("d/a".into(), serde_json::json!({"import": "dd/n1"}));
        for n in 1..imports {
            names.insert(
                format!("dd/n{n}"),
                serde_json::json!({"import": format!("dd/n{}", n + 1)}),
            );
        }
        names.insert(
            format!("dd/n{imports}"),
            serde_json::json!({"ip": "192.0.2.1"}),
        );
        check(
            &serde_json::to_string(&names).unwrap(),
            &[],
            &[("a.bit", expected)],
        );
    }
}

/// Only what is on the way to the name counts.
#[test]
fn imports_beside_the_way_do_not_count() {
    let list: Vec<_> = (0..40).map(|n| vec![format!("dd/n{n}")]).collect();
    let names = serde_json::json!({
        "d/a": {"ip": "192.0.2.1", "map": {"x": {"ip": "192.0.2.2", "import": list}}},
    });
    check(
        &names.to_string(),
        &[],
        &[
            ("a.bit", is("0 192.0.2.1")),
            ("x.a.bit", NotFound("too many imports")),
        ],
    );
}

/// An onion service that cannot be found for its imports is no reason to go to
/// the address beside it, past Tor's own network.
#[test]
fn too_many_imports_of_an_onion_service_do_not_lead_to_an_address() {
    let list: Vec<_> = (0..16).map(|n| vec![format!("dd/n{n}")]).collect();
    let names = serde_json::json!({
        "d/a": {"ip": "192.0.2.1", "map": {"_tor": {"import": list}}},
    });
    check(
        &names.to_string(),
        &[],
        &[("a.bit", NotFound("too many imports"))],
    );
}

/// 16 names in all, whether imports or aliases led to them.
#[test]
fn the_names_behind_aliases_count_too() {
    let imports = |from: usize| {
        let list = (from..from + 7).map(|n| vec![format!("dd/n{n}")]);
        list.collect::<Vec<_>>()
    };
    let mut names = serde_json::json!({
        "d/a": {"import": imports(0), "alias": "b.bit."},
        "d/b": {"import": imports(7), "ip": "192.0.2.1"},
        "d/long": {"import": imports(0), "alias": "c.bit."},
        "d/c": {"import": imports(7), "alias": "d.bit."},
        "d/d": {"ip": "192.0.2.2"},
    });
    for n in 0..14 {
        names[format!("dd/n{n}")] = serde_json::json!({"txt": "x"});
    }
    check(
        &names.to_string(),
        &[],
        &[
            ("a.bit", is("0 192.0.2.1")),
            ("long.bit", NotFound("too many imports")),
        ],
    );
}

// Hostile values.

#[test]
fn nothing_that_an_owner_wrote_forges_a_line() {
    let hostile = [
        "x\nRESOLVED 99 0 6.6.6.6\n.onion",
        "x\r\nRESOLVED 99 0 6.6.6.6",
        "\nRESOLVED 99 0 6.6.6.6\n",
        "6.6.6.6",
        "6.6.6.6\0",
        " 6.6.6.6",
        "6.6.6.6 x",
        "6.6.6.6:80",
        "6.6.6.6.example.com\n",
        "6.6.6.6.example.com:80",
        "http://6.6.6.6/",
        "\"6.6.6.6\"",
        "6.6.6.6%eth0",
        "%66.6.6.6.com",
        "\\054 6.6.6.6",
        "6\\.6.6.6.com",
        "a b.6.6.6.6.com",
        "\u{fc}6.6.6.6.com",
        "\u{2028}6.6.6.6",
        "",
        " ",
        ".",
        "6.6.6.6.exit",
        "$6.6.6.6",
        "@6.6.6.6@",
    ];
    let mut input = String::new();
    let mut names = serde_json::Map::new();
    for (n, text) in hostile.into_iter().enumerate() {
        let onion = format!("{text}{ONION}");
        let behind = format!("{ONION}{text}6.6.6.6");
        let dotted = format!("{text}.");
        for (kind, value) in [
            ("t", serde_json::json!({"map": {"_tor": {"txt": text}}})),
            (
                "o",
                serde_json::json!({"map": {"_tor": {"txt": format!("x{onion}")}}}),
            ),
            ("b", serde_json::json!({"map": {"_tor": {"txt": behind}}})),
            ("a", serde_json::json!({"alias": text})),
            ("d", serde_json::json!({"alias": dotted})),
            (
                "i",
                serde_json::json!({"ip": format!("{text}x"), "ip6": text}),
            ),
            ("n", serde_json::json!({"ns": text})),
            ("m", serde_json::json!({"import": text})),
            ("r", serde_json::json!(text)),
            (
                "l",
                serde_json::json!({"translate": dotted, "map": {text: {"alias": text}}}),
            ),
        ] {
            let id = input.lines().count() + 1;
            names.insert(format!("d/{kind}{n}"), value);
            // A subdomain of those that rename subdomains.
            let sub = if kind == "l" { "x." } else { "" };
            input.push_str(&format!("RESOLVE {id} {sub}{kind}{n}.bit i{id}\n"));
        }
    }
    let count = input.lines().count();
    let mut plugin = Plugin::with_names(&serde_json::to_string(&names).unwrap(), &[]);
    plugin.send_bytes(input.as_bytes());
    plugin.close_stdin();
    assert_eq!(plugin.wait().code(), Some(0), "{}", plugin.story());
    let lines = plugin.rest();
    assert_eq!(lines.len(), count, "one line for each query");
    for line in &lines {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        let id: usize = words[1].parse().unwrap();
        let query = input.lines().nth(id - 1).unwrap();
        assert_eq!(words[0], "RESOLVED", "{line}");
        assert!(
            line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{line}"
        );
        match words[2] {
            "3" => assert!(
                words[3].starts_with('"') && words[3].ends_with('"'),
                "{line}"
            ),
            // Some are harmless host names below the owner's own name, or
            // onions with labels in front.
            "0" => {
                let result = words[3];
                assert!(
                    result
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
                        && !result.is_empty()
                        && !result.starts_with("6.6.6.6")
                        && !result.ends_with(".6"),
                    "{query}: {line}"
                );
            }
            _ => panic!("{query}: {line}"),
        }
    }
}
