//! Progress of a source: how fast it goes, how long it will take, and that in
//! words that fit a line. No clock, no terminal.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::source::diagnosis::{Progress, Stage};

/// The time over which the rate is taken. Replies come in bursts.
const WINDOW: Duration = Duration::from_secs(15);

/// No rate is given before so much of that time is over.
const SHORTEST: Duration = Duration::from_secs(1);

/// Items of a stage from which its time is estimated. What comes before is
/// mostly what servers say of themselves.
const FEWEST: u128 = 25;

/// No longer time is given; it would be a guess.
const LONGEST: Duration = Duration::from_secs(99 * 3600);

/// Takes the rate from one look to the next.
#[derive(Debug, Default)]
pub struct Meter {
    /// Bytes that had come at a moment, the oldest first.
    bytes: VecDeque<(Instant, u64)>,
    /// The first progress of the stage.
    first: Option<Progress>,
}

/// What is known at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// How far it is.
    pub progress: Progress,
    /// Bytes a second.
    pub rate: Option<u64>,
    /// The time until lookups work.
    pub left: Option<Duration>,
}

impl Meter {
    /// Takes note of the progress at a moment.
    pub fn read(&mut self, now: Instant, progress: Progress) -> Reading {
        let rate = self.rate(now, progress.bytes);
        let left = self.left(rate, progress);
        Reading {
            progress,
            rate,
            left,
        }
    }

    fn rate(&mut self, now: Instant, bytes: u64) -> Option<u64> {
        self.bytes.push_back((now, bytes));
        // The newest that is older than the window is what it begins with.
        while let Some(&(second, _)) = self.bytes.get(1) {
            if now.saturating_duration_since(second) < WINDOW {
                break;
            }
            self.bytes.pop_front();
        }
        let &(begun, before) = self.bytes.front()?;
        let time = now.saturating_duration_since(begun);
        if time < SHORTEST {
            return None;
        }
        let milliseconds = time.as_millis().max(1);
        let came = u128::from(bytes.saturating_sub(before)) * 1000;
        u64::try_from(came / milliseconds).ok()
    }

    /// The rest of the stage takes as many bytes for each item as what is
    /// done of it took.
    fn left(&mut self, rate: Option<u64>, progress: Progress) -> Option<Duration> {
        let is_same = |first: &Progress| {
            (first.stage, first.total == 0) == (progress.stage, progress.total == 0)
                && first.done <= progress.done
        };
        let first = match self.first.filter(is_same) {
            Some(first) => first,
            None => *self.first.insert(progress),
        };
        if !matches!(progress.stage, Stage::Fetching | Stage::Proving) {
            return None;
        }
        let bytes = u128::from(progress.bytes.saturating_sub(first.bytes));
        let done = u128::from(progress.done.saturating_sub(first.done));
        if done < FEWEST {
            return None;
        }
        let items = u128::from(progress.total.checked_sub(progress.done)?);
        let rest = (items * bytes).checked_div(done)?;
        let rest = rest.saturating_add(progress.later.into());
        let seconds = rest.checked_div(rate?.into())?;
        let left = Duration::from_secs(u64::try_from(seconds).ok()?);
        (left <= LONGEST).then_some(left)
    }
}

//------------ Words ---------------------------------------------------------

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

    fn fetching(done: u64, total: u64, bytes: u64) -> Progress {
        Progress {
            stage: Stage::Fetching,
            done,
            total,
            bytes,
            later: 0,
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn rate_and_time_come_from_what_has_come() {
        let (mut meter, begun) = (Meter::default(), Instant::now());
        let first = meter.read(begun, fetching(0, 1000, 5_000));
        assert_eq!((first.rate, first.left), (None, None));
        let at = |second, progress, meter: &mut Meter| {
            let reading = meter.read(begun + seconds(second), progress);
            (reading.rate, reading.left)
        };
        // A hundred headers of 200 bytes in ten seconds.
        let read = at(10, fetching(100, 1000, 25_000), &mut meter);
        assert_eq!(read, (Some(2_000), Some(seconds(90))));
        // What is still to come after them counts too.
        let later = Progress {
            later: 20_000,
            ..fetching(100, 1000, 25_000)
        };
        assert_eq!(at(10, later, &mut meter).1, Some(seconds(100)));
        // The rate is that of the last seconds.
        at(20, fetching(100, 1000, 25_000), &mut meter);
        let read = at(25, fetching(200, 1000, 40_000), &mut meter);
        assert_eq!(read.0, Some(1_000));
        // Nothing comes any more.
        let read = at(60, fetching(200, 1000, 40_000), &mut meter);
        assert_eq!(read, (Some(0), None));
    }

    #[test]
    fn another_stage_begins_anew() {
        let (mut meter, begun) = (Meter::default(), Instant::now());
        meter.read(begun, fetching(0, 1000, 0));
        meter.read(begun + seconds(10), fetching(900, 1000, 100_000));
        let proving = |done, bytes| Progress {
            stage: Stage::Proving,
            ..fetching(done, 500, bytes)
        };
        let read = meter.read(begun + seconds(11), proving(0, 100_000));
        assert_eq!(read.left, None);
        // 50 proofs of 4,000 bytes, at 300,000 bytes in 15 seconds.
        let read = meter.read(begun + seconds(15), proving(50, 300_000));
        assert_eq!(read.left, Some(seconds(450 * 4_000 / 20_000)));
        // Another server's chain is fetched from the beginning.
        let read = meter.read(begun + seconds(16), fetching(10, 1000, 300_000));
        assert_eq!(read.left, None);
    }

    #[test]
    fn there_is_no_time_where_nothing_can_be_known() {
        let reads = [
            // No number of headers is known, or it has been passed.
            (fetching(5, 0, 10), fetching(50, 0, 10_000)),
            (fetching(5, 40, 10), fetching(50, 40, 10_000)),
            // Nothing was done, or nothing has come.
            (fetching(5, 40, 10), fetching(5, 40, 10_000)),
            (fetching(5, 90, 10), fetching(50, 90, 10)),
            // Too little to go by.
            (fetching(5, 90, 10), fetching(29, 90, 10_000)),
            // Bytes that are fewer than before.
            (fetching(5, 90, 10), fetching(50, 90, 0)),
            // Years.
            (fetching(0, u64::MAX, 0), fetching(99, u64::MAX, u64::MAX)),
            (fetching(0, 1 << 40, 0), fetching(99, 1 << 40, 100)),
        ];
        for (first, next) in reads {
            let (mut meter, begun) = (Meter::default(), Instant::now());
            meter.read(begun, first);
            let read = meter.read(begun + seconds(10), next);
            assert_eq!(read.left, None, "{first:?} {next:?}");
        }
        // A clock that stands still, or goes back.
        let (mut meter, begun) = (Meter::default(), Instant::now() + seconds(60));
        meter.read(begun, fetching(0, 9, 0));
        for now in [begun, begun - seconds(30)] {
            let read = meter.read(now, fetching(1, 9, u64::MAX));
            assert_eq!((read.rate, read.left), (None, None));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut meter, begun) = (Meter::default(), Instant::now());
        for tick in 0..10_000 {
            let now = begun + Duration::from_millis(200) * tick;
            meter.read(now, fetching(tick.into(), 20_000, u64::from(tick) * 200));
        }
        assert!(meter.bytes.len() < 100, "{}", meter.bytes.len());
    }

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
