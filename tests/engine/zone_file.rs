//! Reads a line of a zone file back to a record's type and bytes, apart from
//! the program's own code. Only what the program writes is understood.

use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::HEXUPPER_PERMISSIVE;

/// Owner name, type number and data of a line; `None` if it is not one.
pub fn read(line: &str) -> Option<(String, u16, Vec<u8>)> {
    let mut words = line.splitn(5, ' ');
    let owner = words.next()?.to_owned();
    assert_eq!(words.next()?.parse::<u32>().ok()?, 600);
    assert_eq!(words.next()?, "IN");
    let kind = words.next()?;
    let data = words.next()?;
    let number = match kind {
        "A" => 1,
        "NS" => 2,
        "CNAME" => 5,
        "MX" => 15,
        "TXT" => 16,
        "AAAA" => 28,
        "LOC" => 29,
        "SRV" => 33,
        "DNAME" => 39,
        "DS" => 43,
        "SSHFP" => 44,
        "TLSA" => 52,
        other => other.strip_prefix("TYPE")?.parse().ok()?,
    };
    let fields: Vec<&str> = data.split(' ').collect();
    if fields[0] == "\\#" {
        let bytes = hex(fields.get(2).unwrap_or(&""))?;
        assert_eq!(fields[1].parse::<usize>().ok()?, bytes.len());
        return Some((owner, number, bytes));
    }
    let bytes = match number {
        1 => data.parse::<Ipv4Addr>().ok()?.octets().to_vec(),
        28 => data.parse::<Ipv6Addr>().ok()?.octets().to_vec(),
        2 | 5 | 39 => name(data)?,
        15 => [short(fields[0])?, name(fields[1])?].concat(),
        16 => strings(data)?,
        29 => position(&fields)?,
        33 => [
            short(fields[0])?,
            short(fields[1])?,
            short(fields[2])?,
            name(fields[3])?,
        ]
        .concat(),
        43 => [
            short(fields[0])?,
            numbers(&fields[1..3])?,
            rest(&fields, 3)?,
        ]
        .concat(),
        44 => [numbers(&fields[..2])?, rest(&fields, 2)?].concat(),
        52 => [numbers(&fields[..3])?, rest(&fields, 3)?].concat(),
        _ => return None,
    };
    Some((owner, number, bytes))
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    HEXUPPER_PERMISSIVE.decode(digits.as_bytes()).ok()
}

fn rest(fields: &[&str], from: usize) -> Option<Vec<u8>> {
    hex(fields.get(from).unwrap_or(&""))
}

fn short(field: &str) -> Option<Vec<u8>> {
    Some(field.parse::<u16>().ok()?.to_be_bytes().to_vec())
}

fn numbers(fields: &[&str]) -> Option<Vec<u8>> {
    fields.iter().map(|field| field.parse().ok()).collect()
}

/// A name with `\.` and `\ddd`.
fn name(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut label = Vec::new();
    let mut input = text.bytes();
    while let Some(byte) = input.next() {
        match byte {
            b'.' if label.is_empty() => {}
            b'.' => {
                bytes.push(u8::try_from(label.len()).ok()?);
                bytes.append(&mut label);
            }
            b'\\' => label.push(escaped(&mut input)?),
            other => label.push(other),
        }
    }
    bytes.push(0);
    label.is_empty().then_some(bytes)
}

fn escaped(input: &mut impl Iterator<Item = u8>) -> Option<u8> {
    match input.next()? {
        digit @ b'0'..=b'9' => {
            let digits = [digit, input.next()?, input.next()?];
            std::str::from_utf8(&digits).ok()?.parse().ok()
        }
        other => Some(other),
    }
}

/// Quoted strings with `\"`, `\\` and `\ddd`.
fn strings(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut input = text.bytes().peekable();
    while input.next()? == b'"' {
        let mut string = Vec::new();
        loop {
            match input.next()? {
                b'"' => break,
                b'\\' => string.push(escaped(&mut input)?),
                other => string.push(other),
            }
        }
        bytes.push(u8::try_from(string.len()).ok()?);
        bytes.extend(string);
        match input.next() {
            None => return Some(bytes),
            Some(b' ') => {}
            Some(_) => return None,
        }
    }
    None
}

fn position(fields: &[&str]) -> Option<Vec<u8>> {
    let angle = |at: usize, positive: &str| -> Option<u32> {
        let degrees: f64 = fields[at].parse().ok()?;
        let minutes: f64 = fields[at + 1].parse().ok()?;
        let seconds: f64 = fields[at + 2].parse().ok()?;
        let total = ((degrees * 60.0 + minutes) * 60.0 + seconds) * 1000.0;
        let sign = if fields[at + 3] == positive {
            1.0
        } else {
            -1.0
        };
        Some((2_147_483_648.0 + sign * total).round() as u32)
    };
    let metres = |at: usize| fields[at].strip_suffix('m')?.parse::<f64>().ok();
    let size = |at: usize| -> Option<u8> {
        let mut digit = (metres(at)? * 100.0).round() as u64;
        let mut power = 0;
        // Zeroes cut off; a record may also have a zero with a power, which
        // comes back without it.
        while digit > 9 {
            assert_eq!(digit % 10, 0);
            digit /= 10;
            power += 1;
        }
        Some(digit as u8 * 16 + power)
    };
    assert_eq!(fields.len(), 12);
    let mut bytes = vec![0, size(9)?, size(10)?, size(11)?];
    bytes.extend(angle(0, "N")?.to_be_bytes());
    bytes.extend(angle(4, "E")?.to_be_bytes());
    let altitude = (metres(8)? * 100.0).round() + 10_000_000.0;
    bytes.extend((altitude as u32).to_be_bytes());
    Some(bytes)
}
