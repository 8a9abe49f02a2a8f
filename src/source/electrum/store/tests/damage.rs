use super::*;

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
    let octets = place.octets();
    let start = octets.len() - 140 * RECORD;
    let sample = (0..start)
        .step_by(7)
        .chain((start..octets.len()).step_by(509));
    for length in sample.chain(octets.len() - 3 * RECORD..octets.len()) {
        place.write(&octets[..length]);
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
    let octets = place.octets();
    let start = octets.len() - 140 * RECORD;
    let records = [0, 1, 30, 120, 138, 139].map(|record| start + record * RECORD);
    let places = records
        .into_iter()
        .flat_map(|record| (record..record + RECORD).step_by(5));
    for (n, place_of_flip) in (0..start).step_by(9).chain(places).enumerate() {
        let mut flipped = octets.clone();
        flipped[place_of_flip] ^= 1 << (n % 8);
        place.write(&flipped);
        let record = place_of_flip.saturating_sub(start) / RECORD;
        let what = format!("flipped at {place_of_flip}");
        recovers(&place, &whole, record.saturating_sub(101) as u32, &what);
    }
}

#[test]
fn it_survives_octets_that_are_gone_or_too_many() {
    let place = Place::regtest();
    let whole = regtest(140);
    place.save(&whole);
    let octets = place.octets();
    let middle = octets.len() - 20 * RECORD;
    for (from, to) in [
        (middle, middle + 1),
        (middle, middle + RECORD),
        (middle + 5, middle + 200),
    ] {
        place.write(&[&octets[..from], &octets[to..]].concat());
        recovers(&place, &whole, 19, "gone");
        place.write(&[&octets[..to], &octets[from..]].concat());
        recovers(&place, &whole, 19, "twice");
    }
    place.write(&[&octets[..middle], &[0; 4096], &octets[middle..]].concat());
    recovers(&place, &whole, 19, "zeros");
    place.write(&[&octets[..], &[0xff; 4096]].concat());
    recovers(&place, &whole, 39, "behind");
}

#[test]
fn damage_is_told() {
    let place = Place::regtest();
    place.save(&regtest(251));
    let mut octets = place.octets();
    let length = octets.len();
    octets[length - 10 * RECORD] ^= 1;
    place.write(&octets);
    let (_, headers, loaded) = place.load();
    assert_eq!((tip(&headers), loaded.kept, loaded.dropped), (140, 141, 10));
    assert_eq!(loaded.notes.len(), 1);
    assert!(loaded.notes[0].contains("10 of 251"), "{:?}", loaded.notes);
}
