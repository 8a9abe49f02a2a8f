//! `loc`: positions on the earth (RFC 1876).
//!
//! A record has sixteen bytes: a version; three sizes in centimetres, each a
//! digit and a power of ten; latitude and longitude in thousandths of a second
//! of arc; and the altitude in centimetres.

use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{RData, RecordType};

use super::records::ItemReader;
use crate::value::shorten;
use crate::value::tree::Tree;

/// The type of LOC records, which hickory-proto does not define.
pub const LOC: RecordType = RecordType::Unknown(29);

/// The equator and the prime meridian (RFC 1876 section 2).
const ORIGIN: u32 = 1 << 31;

/// The lowest altitude, in centimetres below the reference spheroid.
const LOWEST: u64 = 10_000_000;

/// The largest size in centimetres; a record writes it as 9e9.
const MAX_SIZE: u64 = 9_000_000_000;

/// Thousandths of a second of arc in a degree.
const DEGREE: u32 = 3_600_000;

/// A position in the text form of RFC 1876 section 3.
pub fn loc(reader: &mut ItemReader<'_, '_>, tree: &Tree) -> Option<RData> {
    let text = reader.text(tree)?;
    match parse(text) {
        Some(bytes) => Some(RData::Unknown {
            code: LOC,
            rdata: NULL::with(bytes),
        }),
        None => reader.error(format!("\"{}\" is no position", shorten(text))),
    }
}

fn parse(text: &str) -> Option<Vec<u8>> {
    let mut words = text.split_ascii_whitespace().peekable();
    let latitude = angle(&mut words, 90, "N", "S")?;
    let longitude = angle(&mut words, 180, "E", "W")?;
    let altitude = altitude(words.next()?)?;
    // The defaults of the RFC: 1 m, 10 km, 10 m.
    let mut sizes = [0x12, 0x16, 0x13];
    for size in &mut sizes {
        if let Some(word) = words.next() {
            *size = exponential(centimetres(word)?)?;
        }
    }
    if words.next().is_some() {
        return None;
    }
    let mut bytes = vec![0];
    bytes.extend(sizes);
    for number in [latitude, longitude, altitude] {
        bytes.extend(number.to_be_bytes());
    }
    Some(bytes)
}

/// Degrees, optionally minutes and seconds, and the direction.
fn angle<'a>(
    words: &mut impl Iterator<Item = &'a str>,
    most: u32,
    positive: &str,
    negative: &str,
) -> Option<u32> {
    let mut parts = Vec::new();
    let ahead = loop {
        let word = words.next()?;
        if word.eq_ignore_ascii_case(positive) {
            break true;
        }
        if word.eq_ignore_ascii_case(negative) {
            break false;
        }
        if parts.len() == 3 {
            return None;
        }
        parts.push(word);
    };
    let degrees = bounded(decimal(parts.first()?, 0)?, most)?;
    let minutes = match parts.get(1) {
        Some(word) => bounded(decimal(word, 0)?, 59)?,
        None => 0,
    };
    let seconds = match parts.get(2) {
        Some(word) => bounded(decimal(word, 3)?, 59_999)?,
        None => 0,
    };
    let total = degrees
        .checked_mul(DEGREE)?
        .checked_add(minutes.checked_mul(60_000)?)?
        .checked_add(seconds)?;
    if total > most.checked_mul(DEGREE)? {
        return None;
    }
    if ahead {
        ORIGIN.checked_add(total)
    } else {
        ORIGIN.checked_sub(total)
    }
}

fn bounded(number: u64, most: u32) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| *number <= most)
}

fn altitude(word: &str) -> Option<u32> {
    let above = match word.strip_prefix('-') {
        Some(depth) => LOWEST.checked_sub(centimetres(depth)?)?,
        None => LOWEST.checked_add(centimetres(word)?)?,
    };
    u32::try_from(above).ok()
}

/// Metres with at most two decimal places, with or without the unit.
fn centimetres(word: &str) -> Option<u64> {
    decimal(word.strip_suffix(['m', 'M']).unwrap_or(word), 2)
}

/// A number with at most `places` decimal places, in units of the last one.
fn decimal(word: &str, places: usize) -> Option<u64> {
    let (whole, part) = match word.split_once('.') {
        Some((whole, part)) if !part.is_empty() => (whole, part),
        Some(_) => return None,
        None => (word, ""),
    };
    // No field of a record needs more than ten digits.
    let digits = |text: &str| text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > places {
        return None;
    }
    format!("{whole}{part:0<places$}").parse().ok()
}

/// One digit and a power of ten; further digits are dropped, as in the sample
/// code of the RFC.
fn exponential(centimetres: u64) -> Option<u8> {
    if centimetres > MAX_SIZE {
        return None;
    }
    let mut digit = centimetres;
    let mut power = 0u64;
    while digit > 9 {
        digit /= 10;
        power += 1;
    }
    u8::try_from(digit * 16 + power).ok()
}

/// The presentation format of a record's data, which [`loc`] reads back; `None`
/// if the data is no position of version 0 (RFC 3597 has a format for that).
pub fn present(bytes: &[u8]) -> Option<String> {
    let ([version, size, horizontal, vertical], rest) = bytes.split_first_chunk::<4>()?;
    let (latitude, rest) = rest.split_first_chunk::<4>()?;
    let (longitude, rest) = rest.split_first_chunk::<4>()?;
    let altitude = u64::from(u32::from_be_bytes(rest.try_into().ok()?));
    if *version != 0 {
        return None;
    }
    let altitude = match altitude.checked_sub(LOWEST) {
        Some(above) => metres(above),
        None => format!("-{}", metres(LOWEST.checked_sub(altitude)?)),
    };
    Some(format!(
        "{} {} {altitude} {} {} {}",
        arc(u32::from_be_bytes(*latitude), 90, 'N', 'S')?,
        arc(u32::from_be_bytes(*longitude), 180, 'E', 'W')?,
        magnitude(*size)?,
        magnitude(*horizontal)?,
        magnitude(*vertical)?,
    ))
}

fn arc(number: u32, most: u32, positive: char, negative: char) -> Option<String> {
    let total = number.abs_diff(ORIGIN);
    if total > most.checked_mul(DEGREE)? {
        return None;
    }
    let direction = if number >= ORIGIN { positive } else { negative };
    let (degrees, rest) = (total / DEGREE, total % DEGREE);
    let (minutes, rest) = (rest / 60_000, rest % 60_000);
    let (seconds, rest) = (rest / 1000, rest % 1000);
    Some(format!(
        "{degrees} {minutes} {seconds}.{rest:03} {direction}"
    ))
}

fn metres(centimetres: u64) -> String {
    format!("{}.{:02}m", centimetres / 100, centimetres % 100)
}

fn magnitude(byte: u8) -> Option<String> {
    let (digit, power) = (byte >> 4, byte & 15);
    if digit > 9 || power > 9 {
        return None;
    }
    Some(metres(
        u64::from(digit).checked_mul(10u64.pow(power.into()))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        present(&parse(text)?)
    }

    #[test]
    fn positions_survive_a_round_trip() {
        for (text, expected) in [
            (
                "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m",
                "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000.00m 10.00m",
            ),
            (
                "42 21 54 N 71 06 18 W -24m 30m",
                "42 21 54.000 N 71 6 18.000 W -24.00m 30.00m 10000.00m 10.00m",
            ),
            (
                "90 S 180 w 42849672.95",
                "90 0 0.000 S 180 0 0.000 W 42849672.95m 1.00m 10000.00m 10.00m",
            ),
            (
                "0 59 59.9 n 0 e -100000.00m 90000000m 0.01m 12.34m",
                "0 59 59.900 N 0 0 0.000 E -100000.00m 90000000.00m 0.01m 10.00m",
            ),
        ] {
            let first = shown(text).unwrap();
            assert_eq!(first, expected, "{text}");
            assert_eq!(parse(&first), parse(text), "{text}");
        }
        let bytes = parse("52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m").unwrap();
        assert_eq!(
            data_encoding::HEXLOWER.encode(&bytes),
            "000016138b3cf018810cbce0009895b8"
        );
    }

    #[test]
    fn invalid_positions_are_refused() {
        for text in [
            "",
            "10 Downing Street",
            "N E 0m",
            "91 N 0 E 0m",
            "90 0 0.001 N 0 E 0m",
            "0 60 N 0 E 0m",
            "0 0 60 N 0 E 0m",
            "0 N 181 E 0m",
            "0 N 0 E",
            "0 E 0 N 0m",
            "0 0 0 0 N 0 E 0m",
            "0.5 N 0 E 0m",
            "0 N 0 E 42849672.96m",
            "0 N 0 E -100000.01m",
            "0 N 0 E 0.001m",
            "0 N 0 E 0m 90000000.01m",
            "0 N 0 E 0m 1m 1m 1m 1m",
            "0 N 0 E 1e3m",
            "0 N 0 E --1m",
            "0 N 0 E 99999999999999999999m",
            "+1 N 0 E 0m",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn data_without_a_text_form_is_refused() {
        let good = parse("1 N 1 E 1m").unwrap();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            present(&bytes)
        };
        assert!(present(&good).is_some());
        assert_eq!(present(&good[1..]), None);
        assert_eq!(with(0, 1), None);
        assert_eq!(with(1, 0xa0), None);
        assert_eq!(with(1, 0x0a), None);
        assert_eq!(with(4, 0xff), None);
    }
}
