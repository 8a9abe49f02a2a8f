//! Random values, most of them near to domain objects.

use rand::RngExt;
use rand::rngs::StdRng;

const ITEMS: &[&str] = &[
    "ip",
    "ip6",
    "txt",
    "ns",
    "dns",
    "ds",
    "alias",
    "translate",
    "srv",
    "mx",
    "tls",
    "loc",
    "sshfp",
    "o",
    "tor",
    "map",
    "map",
    "map",
    "import",
    "delegate",
    "info",
    "email",
    "",
];

const LABELS: &[&str] = &[
    "", "*", "www", "a", "_tcp", "_smtp", "_443", "_tor", "A", "a.b", "x-", "\\u0000", "ü",
];

const TEXTS: &[&str] = &[
    "192.0.2.1",
    "::1",
    "a",
    "@",
    "x.@",
    "",
    ".",
    "a.com.",
    "ns",
    "..",
    "\\ud800",
    "\\u0000",
    "ü",
    "AAEC",
    "AA==",
    "A",
    "1 N 2 E 3m",
    "90 S 180 W -100000m 9e9m",
    "dd/a",
    "dd/b",
    "d/example",
    "a2sX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYwpY=",
    "A2sX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYwpY=",
    "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion",
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGm0zZlzrnwEYvub3BG3+VTKjvXWdMntoTanw3cwGAqcb0ALFrt5MdChT9t4josaefnGdVHa+ZBNmSEIaNZNhnw==",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "10",
    "25",
    "16",
    "29",
    "44",
    "52",
    "64",
    "255",
    "256",
    "65280",
    "65400",
    "65535",
    "65536",
    "-0",
    "-1",
    "1.5",
    "1e400",
    "4944096",
    "18446744073709551615",
];

fn pick<'a>(rng: &mut StdRng, from: &[&'a str]) -> &'a str {
    from[rng.random_range(0..from.len())]
}

/// Any JSON value, with a liking for what items are made of.
fn json(rng: &mut StdRng, depth: usize, into: &mut String) {
    match rng.random_range(0..if depth > 6 { 6 } else { 12 }) {
        0 => into.push_str(pick(rng, &["null", "true", "false"])),
        1 | 2 => into.push_str(pick(rng, NUMBERS)),
        3..=5 => {
            into.push('"');
            into.push_str(pick(rng, TEXTS));
            into.push('"');
        }
        6..=9 => {
            into.push('[');
            for at in 0..rng.random_range(0..5) {
                if at > 0 {
                    into.push(',');
                }
                json(rng, depth + 1, into);
            }
            into.push(']');
        }
        10 => object(rng, depth + 1, into),
        _ => element(rng, into),
    }
}

/// Something that is nearly an element of an item of arrays.
fn element(rng: &mut StdRng, into: &mut String) {
    let fields = rng.random_range(1..4);
    into.push('[');
    for _ in 0..fields {
        into.push_str(pick(rng, NUMBERS));
        into.push(',');
    }
    into.push('"');
    into.push_str(pick(rng, TEXTS));
    into.push_str("\"]");
}

/// An item in its right form, with fields that are mostly right: `n` is a
/// number, `d` a name, `b` base64, `k` a record type with data, `t` any text.
fn item(rng: &mut StdRng, key: &str, into: &mut String) {
    let form = match key {
        "ip" => r#"["192.0.2.1",t]"#,
        "ip6" => r#"["::1",t]"#,
        "txt" => "[t,[t,t]]",
        "ns" | "dns" => "[d,t]",
        "alias" | "translate" => "d",
        "ds" => "[[n,n,n,b]]",
        "srv" => "[[n,n,n,d],[n,n,25,d]]",
        "mx" => "[[n,d],[n,t]]",
        "tls" => r#"[[n,n,n,b],[3,1,0,b],{"dane":[n,n,n,b]},{"d8":[1,b,4944096,n,10,b]}]"#,
        "loc" => r#"["1 N 2 3 4.5 E -5m 0m 7m",t]"#,
        "sshfp" => "[[n,n,b]]",
        "o" => "[[n,b],k]",
        _ => "t",
    };
    let mut text = false;
    for c in form.chars() {
        text ^= c == '"';
        match c {
            'n' if !text && rng.random_bool(0.9) => {
                into.push_str(&rng.random_range(0..12u8).to_string());
            }
            'n' if !text => into.push_str(pick(rng, NUMBERS)),
            'd' if !text && rng.random_bool(0.8) => {
                into.push_str(pick(
                    rng,
                    &[r#""a.com.""#, r#""x.@""#, r#""www""#, r#""@""#],
                ));
            }
            'd' | 't' if !text => {
                into.push('"');
                into.push_str(pick(rng, TEXTS));
                into.push('"');
            }
            'b' if !text => {
                let bytes = bytes(rng);
                match rng.random_range(0..4) {
                    0 => {
                        into.push('"');
                        into.push_str(pick(rng, TEXTS));
                        into.push('"');
                    }
                    _ => into.push_str(&format!("\"{}\"", data_encoding::BASE64.encode(&bytes))),
                }
            }
            'k' if !text => into.push_str(&opaque(rng)),
            other => into.push(other),
        }
    }
}

fn object(rng: &mut StdRng, depth: usize, into: &mut String) {
    into.push('{');
    for at in 0..rng.random_range(0..6) {
        if at > 0 {
            into.push(',');
        }
        let key = pick(rng, ITEMS);
        into.push_str(&format!("\"{key}\":"));
        if key == "map" && depth < 7 {
            into.push('{');
            for at in 0..rng.random_range(0..4) {
                if at > 0 {
                    into.push(',');
                }
                into.push_str(&format!("\"{}\":", pick(rng, LABELS)));
                object(rng, depth + 1, into);
            }
            into.push('}');
        } else if !matches!(key, "ns" | "dns" | "alias" | "translate" | "delegate")
            || rng.random_bool(0.2)
        {
            item(rng, key, into);
        } else if rng.random_bool(0.4) {
            into.push('[');
            element(rng, into);
            into.push(',');
            json(rng, depth + 1, into);
            into.push(']');
        } else {
            json(rng, depth + 1, into);
        }
    }
    into.push('}');
}

/// Few bytes, of those that mean something in names above all.
fn bytes(rng: &mut StdRng) -> Vec<u8> {
    (0..rng.random_range(0..24))
        .map(|_| match rng.random_range(0..4) {
            0 => rng.random(),
            1 => 0xc0,
            _ => rng.random_range(0..5),
        })
        .collect()
}

/// An element of `o` with random bytes, which may or may not be a record.
fn opaque(rng: &mut StdRng) -> String {
    let kind = match rng.random_range(0..3) {
        0 => rng.random(),
        _ => rng.random_range(0..70u16),
    };
    let bytes = data_encoding::BASE64.encode(&bytes(rng));
    format!("[{kind},\"{bytes}\"]")
}

/// CBOR, mostly well-formed, of what items are made of.
fn cbor(rng: &mut StdRng, depth: usize, into: &mut Vec<u8>) {
    let small = if depth == 0 { 0xa3 } else { 0 };
    let kind = if small > 0 {
        7
    } else {
        rng.random_range(0..if depth > 5 { 6 } else { 10 })
    };
    let text = |text: &str, into: &mut Vec<u8>| {
        into.push(0x78);
        into.push(text.len() as u8);
        into.extend(text.bytes());
    };
    match kind {
        0 => into.push(rng.random()),
        1 => into.push(rng.random_range(0..0x38)),
        2 => into.extend([0xf6]),
        3 | 4 => text(pick(rng, TEXTS), into),
        5 => into.extend([0x43, 1, 2, 3]),
        6 | 8 => {
            let count = rng.random_range(0..5);
            into.push(0x80 + count);
            (0..count).for_each(|_| cbor(rng, depth + 1, into));
        }
        7 => {
            let count = rng.random_range(0..5);
            into.push(0xa0 + count);
            for _ in 0..count {
                text(pick(rng, ITEMS), into);
                cbor(rng, depth + 1, into);
            }
        }
        _ => {
            into.push(0x9f);
            (0..3).for_each(|_| cbor(rng, depth + 1, into));
            into.push(0xff);
        }
    }
}

/// A value: JSON near to domain objects, CBOR, or anything.
pub fn value(rng: &mut StdRng) -> Vec<u8> {
    let mut text = String::new();
    match rng.random_range(0..10) {
        0 => json(rng, 0, &mut text),
        1 => {
            return (0..rng.random_range(0..200))
                .map(|_| rng.random())
                .collect();
        }
        2 => text = format!("{{\"o\":[{},{}]}}", opaque(rng), opaque(rng)),
        3 => {
            let mut bytes = Vec::new();
            cbor(rng, 0, &mut bytes);
            return bytes;
        }
        4 => {
            // A good value with a byte changed.
            object(rng, 0, &mut text);
            let mut bytes = text.into_bytes();
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
            return bytes;
        }
        _ => object(rng, 0, &mut text),
    }
    text.into_bytes()
}
