use std::fs;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::chain::testing::{
    after, branch, extend, extend_times, mainnet, recorded, regtest, replace,
};
use crate::log::{Level, Log};
use crate::source::electrum::testing;

/// A state directory and the file of headers in it.
struct Place {
    directory: TempDir,
    log: Log,
    warnings: Arc<Mutex<Vec<String>>>,
    network: Network,
    checkpoint: Checkpoint,
}

impl Place {
    fn new(network: Network, checkpoint: Checkpoint) -> Self {
        let (log, warnings) = testing::log(Level::Warning);
        Self {
            directory: tempfile::tempdir().unwrap(),
            log,
            warnings,
            network,
            checkpoint,
        }
    }

    fn regtest() -> Self {
        Self::new(Network::Regtest, Network::Regtest.checkpoint())
    }

    fn state(&self) -> Arc<StateDir> {
        Arc::new(StateDir::open(self.directory.path(), &self.log).unwrap())
    }

    fn load(&self) -> (HeaderFile, Headers, Loaded) {
        HeaderFile::load(self.state(), self.network, self.checkpoint, false)
    }

    /// Saves headers as a process does that has just started.
    fn save(&self, headers: &Headers) {
        self.load().0.save(headers).unwrap();
    }

    /// What was warned of since the last call.
    fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().unwrap())
    }

    fn path(&self) -> PathBuf {
        let name = format!("headers-{}", self.network.as_str());
        self.directory.path().join(name)
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.path(), bytes).unwrap();
    }

    fn records(&self) -> usize {
        let bytes = self.bytes().len() - preamble(self.network, self.checkpoint).len();
        assert_eq!(bytes % RECORD, 0);
        bytes / RECORD
    }
}

fn tip(headers: &Headers) -> u32 {
    headers.tip().unwrap().0
}

/// What two chains have to have in common to be the same.
fn shape(headers: &Headers) -> (Option<u32>, Option<(u32, &Header)>, bitcoin::Work) {
    (headers.lowest(), headers.tip(), headers.work())
}

fn heights(headers: &Headers) -> RangeInclusive<u32> {
    headers.lowest().unwrap()..=tip(headers)
}

/// Whether all of `part` is the same in `whole`.
fn is_part(part: &Headers, whole: &Headers) -> bool {
    part.tip().is_none()
        || heights(part)
            .all(|height| part.get(height).is_some() && part.get(height) == whole.get(height))
}

#[test]
fn what_was_saved_is_loaded_but_for_the_newest() {
    let place = Place::regtest();
    let (mut file, headers, loaded) = place.load();
    assert_eq!(headers.tip(), None);
    assert_eq!(loaded, Loaded::default());
    // Nothing to keep yet.
    file.save(&headers).unwrap();
    assert!(!place.path().exists());
    for count in [1, 2, 60, 251] {
        file.save(&regtest(count)).unwrap();
        assert_eq!(place.records(), count);
    }
    drop(file);
    let (_, headers, loaded) = place.load();
    assert_eq!(shape(&headers), shape(&regtest(151)));
    assert!(is_part(&headers, &regtest(251)));
    let (kept, dropped) = (151, 0);
    assert_eq!(loaded, Loaded { kept, dropped });
}

#[test]
fn the_checkpoint_is_not_given_up() {
    let place = Place::regtest();
    for count in [1, 50, 100, 101, 102] {
        place.save(&regtest(count));
        let (_, headers, _) = place.load();
        assert_eq!(shape(&headers), shape(&regtest(count.max(101) - 100)));
        place.write(b"");
    }
}

#[test]
fn only_what_is_new_is_written() {
    let place = Place::regtest();
    place.save(&regtest(251));
    let before = place.bytes();
    let (mut file, mut headers, _) = place.load();
    let modified = fs::metadata(place.path()).unwrap().modified().unwrap();
    // The newest come in again, from their proof of work.
    for end in [151, 170, 251] {
        let known = tip(&headers) as usize + 1;
        extend(&mut headers, &recorded()[known..end]);
        file.save(&headers).unwrap();
        assert_eq!(place.bytes(), before);
    }
    assert_eq!(
        fs::metadata(place.path()).unwrap().modified().unwrap(),
        modified
    );
    let (_, newest) = headers.tip().unwrap();
    let next = after(newest, newest.time + 1);
    extend(&mut headers, &[next]);
    file.save(&headers).unwrap();
    let bytes = place.bytes();
    assert_eq!(bytes[..before.len()], before);
    assert_eq!(bytes.len(), before.len() + RECORD);
    assert_eq!(bytes[before.len()..][..4], 251_u32.to_le_bytes());
    assert_eq!(bytes[before.len() + 4..], serialize(&next));
}

#[test]
fn a_change_of_branches_is_appended() {
    let place = Place::regtest();
    let (mut file, _, _) = place.load();
    let mut headers = regtest(251);
    file.save(&headers).unwrap();
    let mut records = 251;
    for (salt, fork, count) in [(1, 249, 3), (2, 240, 100), (3, 330, 30)] {
        let start = headers.get(fork).unwrap();
        let new: Vec<_> = branch(start, count, salt)
            .iter()
            .map(|full| full.header)
            .collect();
        replace(&mut headers, fork, &new);
        file.save(&headers).unwrap();
        records += count;
        assert_eq!(place.records(), records);
    }
    drop(file);
    let (mut file, mut loaded, report) = place.load();
    assert_eq!(report.dropped, 0);
    assert_eq!(tip(&loaded), 260);
    assert!(is_part(&loaded, &headers));
    // Where the newest turn out different, they are replaced in the file.
    let start = loaded.get(255).unwrap();
    let new: Vec<_> = branch(start, 200, 9)
        .iter()
        .map(|full| full.header)
        .collect();
    replace(&mut loaded, 255, &new);
    file.save(&loaded).unwrap();
    drop(file);
    let (_, again, report) = place.load();
    assert_eq!(report.dropped, 0);
    assert_eq!(tip(&again), 355);
    assert!(is_part(&again, &loaded));
}

#[test]
fn a_file_for_another_checkpoint_is_not_used() {
    let place = Place::regtest();
    place.save(&regtest(251));
    let hash = recorded()[200].block_hash();
    let other = Place {
        checkpoint: Checkpoint { height: 200, hash },
        ..place
    };
    let (mut file, mut headers, loaded) = other.load();
    assert_eq!(headers.tip(), None);
    assert_eq!((loaded, other.warnings().len()), (Loaded::default(), 1));
    headers.anchor(recorded()[200]).unwrap();
    file.save(&headers).unwrap();
    assert_eq!(other.records(), 1);
    for foreign in [&b"\x89PNG"[..], b"", b"ncprop279 headers 2 regtest 200 "] {
        drop(file);
        other.write(foreign);
        let headers;
        (file, headers, _) = other.load();
        assert_eq!(headers.tip(), None);
    }
}

#[test]
fn headers_below_the_checkpoint_are_kept() {
    let start = 1_700_000_000;
    let mut headers = mainnet(40_400, 0x1803_1abc, |height| start + height - 40_400);
    let place = Place::new(Network::Mainnet, headers.checkpoint());
    let full = headers.clone();
    // They come in one batch after the other.
    let mut growing = Headers::new(Network::Mainnet, full.checkpoint());
    growing.anchor(*full.get(40_400).unwrap()).unwrap();
    let (mut file, _, _) = place.load();
    for lowest in [40_400, 40_390, 40_350, 40_319] {
        for height in (lowest..growing.lowest().unwrap()).rev() {
            growing.prepend(*full.get(height).unwrap()).unwrap();
        }
        file.save(&growing).unwrap();
        assert_eq!(place.records(), 40_401 - lowest as usize);
    }
    drop(file);
    extend_times(&mut headers, start + 1..=start + 1900);
    place.save(&headers);
    let (_, loaded, report) = place.load();
    assert_eq!(report.dropped, 0);
    assert_eq!(report.kept, 82 + 1800);
    assert_eq!(heights(&loaded), 40_319..=42_200);
    assert!(is_part(&loaded, &headers));

    // What lies below a damaged one is fetched again.
    let mut bytes = place.bytes();
    let place_of_flip = preamble(place.network, place.checkpoint).len() + 50 * RECORD + 50;
    bytes[place_of_flip] ^= 1;
    place.write(&bytes);
    let (mut file, loaded, report) = place.load();
    assert_eq!(heights(&loaded), 40_351..=42_200);
    assert_eq!(report.dropped, 40_351 - 40_319);
    file.save(&headers).unwrap();
    drop(file);
    assert_eq!(place.load().2.dropped, 0);
}

#[test]
fn what_is_no_longer_needed_goes_once_it_is_half() {
    let place = Place::regtest();
    let mut headers = regtest(251);
    let (mut file, _, _) = place.load();
    file.save(&headers).unwrap();
    let mut last = place.records();
    let mut compacted = 0;
    for salt in 1..8 {
        let new: Vec<_> = branch(headers.get(150).unwrap(), 100 + usize::from(salt), salt)
            .iter()
            .map(|full| full.header)
            .collect();
        replace(&mut headers, 150, &new);
        file.save(&headers).unwrap();
        let needed = 251 + usize::from(salt);
        let grown = last + 100 + usize::from(salt);
        last = place.records();
        if grown > 2 * needed {
            assert_eq!(last, needed);
            compacted += 1;
        } else {
            assert_eq!(last, grown);
        }
    }
    assert_eq!(compacted, 2);
    drop(file);
    assert!(is_part(&place.load().1, &headers));
}

#[test]
fn headers_below_what_is_needed_are_not_written() {
    // The regtest knows no heights, so that its blocks may lie higher up.
    let recorded = recorded();
    let checkpoint = Checkpoint {
        height: 4037,
        hash: recorded[200].block_hash(),
    };
    let mut headers = Headers::new(Network::Regtest, checkpoint);
    headers.anchor(recorded[200]).unwrap();
    for header in recorded[100..200].iter().rev() {
        headers.prepend(*header).unwrap();
    }
    assert_eq!(headers.lowest(), Some(3937));
    let place = Place::new(Network::Regtest, checkpoint);
    let (mut file, _, _) = place.load();
    // 30 below the tip until names expire, then 11 below the checkpoint.
    file.save(&headers).unwrap();
    assert_eq!(place.records(), 31);
    extend(&mut headers, &recorded[201..251]);
    file.save(&headers).unwrap();
    assert_eq!(place.records(), 81);
    fs::remove_file(place.path()).unwrap();
    drop(file);
    place.save(&headers);
    assert_eq!(place.records(), 62);
}

#[test]
fn without_the_lock_nothing_is_written() {
    let place = Place::regtest();
    let (mut first, _, _) = place.load();
    first.save(&regtest(200)).unwrap();
    let before = place.bytes();
    let (mut second, headers, _) = place.load();
    assert_eq!(tip(&headers), 99);
    second.save(&regtest(251)).unwrap();
    assert_eq!(place.bytes(), before);
    first.save(&regtest(251)).unwrap();
    assert_eq!(place.records(), 251);
}

#[test]
fn a_file_that_vanishes_is_written_anew() {
    let place = Place::regtest();
    let (mut file, _, _) = place.load();
    file.save(&regtest(200)).unwrap();
    fs::remove_file(place.path()).unwrap();
    file.save(&regtest(210)).unwrap();
    assert_eq!(place.records(), 210);
    place.write(b"short");
    file.save(&regtest(220)).unwrap();
    assert_eq!(place.records(), 220);
}

#[test]
fn errors_of_the_disk_are_reported_and_overcome() {
    let place = Place::regtest();
    // A directory in the way cannot be read, appended to or replaced.
    fs::create_dir_all(place.path().join("in the way")).unwrap();
    let (mut file, headers, _) = place.load();
    assert_eq!(headers.tip(), None);
    assert_eq!(place.warnings().len(), 1);
    assert!(file.save(&regtest(10)).is_err());
    fs::remove_dir_all(place.path()).unwrap();
    file.save(&regtest(10)).unwrap();
    assert_eq!(place.records(), 10);
    fs::remove_file(place.path()).unwrap();
    fs::create_dir(place.path()).unwrap();
    assert!(file.save(&regtest(20)).is_err());
    fs::remove_dir(place.path()).unwrap();
    file.save(&regtest(20)).unwrap();
    assert_eq!(place.records(), 20);
}

#[test]
fn a_file_says_whether_all_headers_were_verified() {
    let place = Place::regtest();
    // A process at a time has the directory.
    let load = |verifies_all| {
        HeaderFile::load(place.state(), place.network, place.checkpoint, verifies_all)
    };
    let sampled = |length| {
        let (mut file, ..) = load(false);
        file.note_sample();
        file.save(&regtest(length)).unwrap();
        place.bytes()
    };
    place.save(&regtest(151));
    let all = place.bytes();
    let bytes = sampled(251);
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap();
    let plain = line.strip_suffix(b" sampled").unwrap();
    assert!(all.starts_with(plain));
    // It stays so, and the file is read as any other.
    assert_eq!(sampled(251), bytes);
    let (_, headers, _) = load(false);
    assert_eq!((tip(&headers), place.warnings().len()), (150, 0));
    // Whoever wants all of them verified fetches them again.
    let (mut file, headers, _) = load(true);
    assert!(headers.tip().is_none());
    assert!(place.warnings()[0].contains("verify-all-headers"));
    file.save(&regtest(151)).unwrap();
    drop(file);
    assert_eq!(place.bytes(), all);
    load(true);
    assert_eq!(place.warnings(), [""; 0]);
}

/// Loads what is left, and saves the whole chain again.
fn recovers(place: &Place, whole: &Headers, at_least: u32, what: &str) {
    let (mut file, headers, _) = place.load();
    assert!(is_part(&headers, whole), "{what}");
    let tip = headers.tip().map_or(0, |(tip, _)| tip);
    assert!(tip >= at_least, "{what}: {tip}");
    file.save(whole).unwrap();
    drop(file);
    let (_, headers, loaded) = place.load();
    assert!(is_part(&headers, whole), "{what}");
    assert_eq!(headers.tip().unwrap().0 + 100, whole.tip().unwrap().0);
    assert_eq!(loaded.dropped, 0, "{what}");
}

#[test]
fn it_survives_being_cut_off_anywhere() {
    let place = Place::regtest();
    let whole = regtest(140);
    place.save(&whole);
    let bytes = place.bytes();
    let start = bytes.len() - 140 * RECORD;
    let sample = (0..start)
        .step_by(7)
        .chain((start..bytes.len()).step_by(509));
    for length in sample.chain(bytes.len() - 3 * RECORD..bytes.len()) {
        place.write(&bytes[..length]);
        let records = length.saturating_sub(start) / RECORD;
        recovers(
            &place,
            &whole,
            records.saturating_sub(101) as u32,
            &format!("cut at {length}"),
        );
    }
}

#[test]
fn it_survives_flipped_bits() {
    let place = Place::regtest();
    let whole = regtest(140);
    place.save(&whole);
    let bytes = place.bytes();
    let start = bytes.len() - 140 * RECORD;
    let records = [0, 1, 30, 120, 138, 139].map(|record| start + record * RECORD);
    let places = records
        .into_iter()
        .flat_map(|record| (record..record + RECORD).step_by(5));
    for (n, place_of_flip) in (0..start).step_by(9).chain(places).enumerate() {
        let mut flipped = bytes.clone();
        flipped[place_of_flip] ^= 1 << (n % 8);
        place.write(&flipped);
        let record = place_of_flip.saturating_sub(start) / RECORD;
        let what = format!("flipped at {place_of_flip}");
        recovers(&place, &whole, record.saturating_sub(101) as u32, &what);
    }
}

#[test]
fn it_survives_bytes_that_are_gone_or_too_many() {
    let place = Place::regtest();
    let whole = regtest(140);
    place.save(&whole);
    let bytes = place.bytes();
    let middle = bytes.len() - 20 * RECORD;
    for (from, to) in [
        (middle, middle + 1),
        (middle, middle + RECORD),
        (middle + 5, middle + 200),
    ] {
        place.write(&[&bytes[..from], &bytes[to..]].concat());
        recovers(&place, &whole, 19, "gone");
        place.write(&[&bytes[..to], &bytes[from..]].concat());
        recovers(&place, &whole, 19, "twice");
    }
    place.write(&[&bytes[..middle], &[0; 4096], &bytes[middle..]].concat());
    recovers(&place, &whole, 19, "zeros");
    place.write(&[&bytes[..], &[0xff; 4096]].concat());
    recovers(&place, &whole, 39, "behind");
}

#[test]
fn damage_is_reported() {
    let place = Place::regtest();
    place.save(&regtest(251));
    let mut bytes = place.bytes();
    let length = bytes.len();
    bytes[length - 10 * RECORD] ^= 1;
    place.write(&bytes);
    let (_, headers, loaded) = place.load();
    assert_eq!((tip(&headers), loaded.kept, loaded.dropped), (140, 141, 10));
    let warnings = place.warnings();
    assert!(
        warnings.len() == 1 && warnings[0].contains("10 of 251"),
        "{warnings:?}"
    );
}
