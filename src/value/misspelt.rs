//! Items whose owner probably meant another.

use crate::text::is_near;

/// Items that have a meaning elsewhere, and are near one that has one here.
const OTHERS: [&str; 2] = ["i2p", "id"];

/// Items that are meant although more than a letter differs.
const MEANT: [(&str, &str); 1] = [("ipv4", "ip")];

/// The longest key that is looked at, in bytes; no item's is longer.
const LONGEST: usize = 12;

/// Which of `known` an unknown item may be meant to be: one that differs by a
/// letter more, less or other, by two that changed places, or by capitals, or
/// one that [`MEANT`] names. A single letter is near too much; a service such as
/// `_tcp` is a subdomain in the wrong place.
pub(super) fn meant<'k>(item: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if !(2..=LONGEST).contains(&item.len()) || item.starts_with('_') || OTHERS.contains(&item) {
        return None;
    }
    let item = item.to_ascii_lowercase();
    let mut known = known.into_iter().filter(|known| known.len() > 1);
    known.find(|known| is_near(&item, known) || MEANT.contains(&(item.as_str(), known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 8] = ["alias", "import", "ip", "ip6", "map", "o", "tor", "txt"];

    #[test]
    fn near_is_one_letter_or_two_that_changed_places() {
        for (item, expected) in [
            ("ipp", Some("ip")),
            ("IP", Some("ip")),
            ("ip4", Some("ip")),
            ("i6", Some("ip")),
            ("ipv4", Some("ip")),
            ("IPv4", Some("ip")),
            ("ipv6", Some("ip6")),
            ("iip6", Some("ip6")),
            ("mapp", Some("map")),
            ("amp", Some("map")),
            ("text", Some("txt")),
            ("alais", Some("alias")),
            ("Imports", Some("import")),
            ("p", None),
            ("", None),
            ("a", None),
            ("i2p", None),
            ("id", None),
            ("info", None),
            ("email", None),
            ("freenet", None),
            ("_tor", None),
            ("ipppp", None),
            ("pmax", None),
            ("importimporti", None),
            ("ï", None),
        ] {
            assert_eq!(meant(item, KNOWN), expected, "{item}");
        }
    }
}
