//! Progress in words that fit a line.

use std::fmt;
use std::time::Duration;

use super::meter::Reading;
use crate::source::diagnosis::Stage;

/// What is done, in the longest form that fits so many columns, and else cut
/// off.
pub fn fitting(reading: &Reading, width: usize) -> String {
    let forms = [Form::Long, Form::Short, Form::Shorter];
    let forms = forms.map(|form| words(reading, form));
    let fits = forms.iter().find(|text| text.len() <= width);
    match (fits, forms.last()) {
        (Some(text), _) => text.clone(),
        (None, last) => last
            .map_or("", String::as_str)
            .chars()
            .take(width)
            .collect(),
    }
}

/// The same in full.
pub fn full(reading: &Reading) -> String {
    words(reading, Form::Long)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Long,
    Short,
    Shorter,
}

fn words(reading: &Reading, form: Form) -> String {
    let progress = &reading.progress;
    let (long, short) = match progress.stage {
        Stage::Searching => ("looking for servers", "servers"),
        Stage::Fetching => ("fetching block headers", "headers"),
        Stage::Proving => ("verifying a sample", "proofs"),
        Stage::Comparing => ("comparing block headers", "chains"),
    };
    let of = match progress.stage {
        Stage::Searching | Stage::Comparing => " operators",
        _ => "",
    };
    let (done, total) = (progress.done, progress.total);
    let mut parts = vec![match (form, total) {
        (Form::Long, 0) => format!("{long}: {done}"),
        (Form::Long, _) => format!("{long}: {done} of {total}{of}"),
        (_, 0) => format!("{short} {done}"),
        _ => format!("{short} {done}/{total}"),
    }];
    parts.push(Size(progress.bytes).to_string());
    if let Some(rate) = reading.rate.filter(|_| form != Form::Shorter) {
        parts.push(Rate(rate).to_string());
    }
    parts.extend(reading.left.map(|left| Left(left).to_string()));
    parts.join(", ")
}

/// Bytes, in tenths of a megabyte.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0 / 100_000;
        write!(f, "{}.{} MB", tenths / 10, tenths % 10)
    }
}

/// Bytes a second.
struct Rate(u64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1_000_000 => write!(f, "{} kB/s", self.0 / 1000),
            rate => write!(f, "{}/s", Size(rate)),
        }
    }
}

/// A time that is left.
struct Left(Duration);

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        // Never said to be less than it is.
        let minutes = seconds.div_ceil(60);
        match seconds {
            0..60 => write!(f, "{seconds} s left"),
            60..7_200 => write!(f, "{minutes} min left"),
            _ => write!(f, "{} h left", minutes.div_ceil(60)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::diagnosis::Progress;

    fn reading(stage: Stage, done: u64, total: u64) -> Reading {
        Reading {
            progress: Progress {
                stage,
                done,
                total,
                bytes: 2_149_999,
                later: 0,
            },
            rate: Some(48_999),
            left: Some(Duration::from_secs(301)),
        }
    }

    #[test]
    fn each_stage_has_its_words() {
        for (stage, done, total, expected) in [
            (
                Stage::Searching,
                1,
                2,
                "looking for servers: 1 of 2 operators, ",
            ),
            (Stage::Fetching, 5, 9, "fetching block headers: 5 of 9, "),
            (Stage::Fetching, 5, 0, "fetching block headers: 5, "),
            (Stage::Proving, 25, 487, "verifying a sample: 25 of 487, "),
            (
                Stage::Comparing,
                0,
                2,
                "comparing block headers: 0 of 2 operators, ",
            ),
        ] {
            let text = full(&reading(stage, done, total));
            let expected = expected.to_owned() + "2.1 MB, 48 kB/s, 6 min left";
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_line_fits() {
        let reading = reading(Stage::Fetching, 12_400, 37_500);
        for (width, expected) in [
            (
                80,
                "fetching block headers: 12400 of 37500, 2.1 MB, 48 kB/s, 6 min left",
            ),
            (50, "headers 12400/37500, 2.1 MB, 48 kB/s, 6 min left"),
            (40, "headers 12400/37500, 2.1 MB, 6 min left"),
            (20, "headers 12400/37500,"),
            (0, ""),
        ] {
            assert_eq!(fitting(&reading, width), expected);
        }
        let most = Reading {
            progress: Progress {
                done: u64::MAX,
                total: u64::MAX,
                bytes: u64::MAX,
                ..reading.progress
            },
            rate: Some(u64::MAX),
            left: Some(Duration::MAX),
        };
        assert_eq!(fitting(&most, 80).len(), 80);
    }

    #[test]
    fn numbers_are_short() {
        let left = |seconds| Left(Duration::from_secs(seconds)).to_string();
        let said = [0, 59, 60, 61, 7_199, 7_200].map(left);
        let expected = ["0 s", "59 s", "1 min", "2 min", "120 min", "2 h"];
        assert_eq!(said, expected.map(|time| format!("{time} left")));
        let rate = |bytes| Rate(bytes).to_string();
        let said = [0, 999, 1_000, 999_999, 1_000_000].map(rate);
        assert_eq!(said, ["0 kB/s", "0 kB/s", "1 kB/s", "999 kB/s", "1.0 MB/s"]);
    }
}
