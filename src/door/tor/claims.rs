//! From what Tor writes to what it claims: of a target, and of a virtual address.

use std::net::IpAddr;

use super::automap::Automap;
use super::event::Target;
use super::list;
use super::stream::{Claim, Kind};
use crate::naming::Naming;

/// What a target makes of a stream.
pub fn claim(naming: &Naming, automap: &Automap, text: &[u8], is_resolve: bool) -> Claim {
    let target = Target::parse(text);
    let (kind, host) = match target {
        None => (Kind::Bad, String::new()),
        Some(target) if naming.is_ours(target.host.as_bytes()) => {
            let kind = match is_resolve {
                // Tor answers with a virtual address by itself.
                true if automap.applies_to(&target.host) => Kind::Ordinary,
                true => Kind::OursToResolve,
                false => Kind::Ours,
            };
            (kind, target.host)
        }
        Some(target) => match target.address() {
            // Tor knows the answer to a question about such an address.
            Some(address) if !is_resolve && automap.may_be_virtual(address) => {
                (Kind::Virtual, address.to_string())
            }
            _ => (Kind::Ordinary, target.host),
        },
    };
    Claim {
        kind,
        host,
        target: text.to_vec(),
        client: None,
        rest: Vec::new(),
    }
}

/// Addresses and the names that Tor gave them to; `None` if replies were forged.
///
/// A name can hold items of its own. But Tor writes names in lower case, and ends
/// each item with a word in upper case: one that does not follow such a word is
/// part of a name.
pub fn mappings(lines: &[Vec<u8>]) -> Option<Vec<(IpAddr, String)>> {
    let mut follows_end = true;
    let mut mappings = Vec::new();
    for item in list::items(lines, list::MAPPINGS_KEY)? {
        let is_item = std::mem::replace(&mut follows_end, item.ends_with(b" NEVER"));
        let words = std::str::from_utf8(item).unwrap_or_default().split(' ');
        if let ([address, name, "NEVER"], true) = (words.collect::<Vec<_>>().as_slice(), is_item)
            && let Ok(address) = address.trim_matches(['[', ']']).parse()
        {
            mappings.push((address, (*name).to_owned()));
        }
    }
    Some(mappings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_hold_a_mapping() {
        let read = |items: &[&str]| {
            let mut lines = vec![b"250+address-mappings/control=".to_vec()];
            lines.extend(items.iter().map(|item| item.as_bytes().to_vec()));
            lines.extend([b".".to_vec(), b"250 OK".to_vec()]);
            mappings(&lines)
        };
        let address: IpAddr = [127, 200, 92, 149].into();
        let true_one = "127.200.92.149 onion.bit NEVER";
        let expected = Some(vec![(address, "onion.bit".to_owned())]);
        assert_eq!(read(&[true_one]), expected);
        // What Tor 0.4.9.11 makes of `x CR LF 127.200.92.149 evil.bit NEVER CR LF
        // y.bit`, and of a name that ends with the address.
        let poison = [
            "127.215.236.81 x",
            "127.200.92.149 evil.bit never",
            "y.bit NEVER",
        ];
        let shorter = ["127.215.236.81 x", "127.200.92.149 evil.bit NEVER"];
        for poison in [&poison[..], &shorter] {
            assert_eq!(read(&[poison, &[true_one]].concat()), expected);
            assert_eq!(read(&[&[true_one], poison].concat()), expected);
        }
        assert_eq!(mappings(&[b"250 OK".to_vec()]), None);
    }
}
