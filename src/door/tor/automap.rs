//! Virtual addresses: Tor can answer questions for the addresses of names with
//! made-up ones, so that programs that know no proxies reach them
//! (`AutomapHostsOnResolve`).

use std::net::IpAddr;

/// The settings that matter, in the order in which they are asked for.
pub const SETTINGS: [&str; 4] = [
    "AutomapHostsOnResolve",
    "AutomapHostsSuffixes",
    "VirtualAddrNetworkIPv4",
    "VirtualAddrNetworkIPv6",
];

/// Which names get such addresses, and which addresses these are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Automap {
    /// Ends of names, in lower case; none if Tor makes no addresses.
    suffixes: Vec<String>,
    /// Networks: an address, and the length of the prefix.
    networks: Vec<(IpAddr, u8)>,
}

impl Automap {
    /// Reads Tor's reply; `None` if it has another form, as when somebody forged a
    /// part of it.
    pub fn parse(lines: &[Vec<u8>]) -> Option<Self> {
        let (last, before) = lines.split_last()?;
        let mut values = Vec::new();
        for line in before {
            values.push(setting(line, b"250-")?);
        }
        values.push(setting(last, b"250 ")?);
        let [(first, on), suffixes @ .., (third, v4), (fourth, v6)] = values.as_slice() else {
            return None;
        };
        let [on_name, suffixes_name, v4_name, v6_name] = SETTINGS;
        let is_in_order = (*first, *third, *fourth) == (on_name, v4_name, v6_name)
            && suffixes.iter().all(|(name, _)| *name == suffixes_name);
        if !is_in_order {
            return None;
        }
        if *on != "1" {
            return Some(Self::default());
        }
        let suffixes = suffixes.iter().flat_map(|(_, value)| value.split(','));
        let suffixes = suffixes.map(|suffix| suffix.trim().to_ascii_lowercase());
        Some(Self {
            suffixes: suffixes.filter(|suffix| !suffix.is_empty()).collect(),
            networks: [v4, v6]
                .into_iter()
                .filter_map(|text| network(text))
                .collect(),
        })
    }

    /// Whether Tor answers by itself when the address of a name is asked for.
    pub fn applies_to(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let mut suffixes = self.suffixes.iter();
        suffixes.any(|suffix| suffix == "." || host.ends_with(suffix.as_str()))
    }

    /// Whether an address may be one that Tor made up.
    pub fn may_be_virtual(&self, address: IpAddr) -> bool {
        let mut networks = self.networks.iter();
        networks.any(|(network, length)| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32u32.saturating_sub((*length).into());
                let differs = network.to_bits() ^ address.to_bits();
                differs.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128u32.saturating_sub((*length).into());
                let differs = network.to_bits() ^ address.to_bits();
                differs.checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        })
    }
}

/// Name and value in a line of the reply.
fn setting<'a>(line: &'a [u8], prefix: &[u8]) -> Option<(&'a str, &'a str)> {
    let text = std::str::from_utf8(line.strip_prefix(prefix)?).ok()?;
    // A setting without a value has no equals sign.
    Some(text.split_once('=').unwrap_or((text, "")))
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.trim_matches('"').split_once('/')?;
    let address = address.trim_matches(['[', ']']).parse().ok()?;
    Some((address, length.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Option<Automap> {
        let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        Automap::parse(&lines)
    }

    const ON: &str = "250-AutomapHostsOnResolve=1";
    const SUFFIXES: &str = "250-AutomapHostsSuffixes=.onion,.BIT";
    const V4: &str = "250-VirtualAddrNetworkIPv4=127.192.0.0/10";
    const V6: &str = "250 VirtualAddrNetworkIPv6=[FE80::]/10";

    #[test]
    fn names_and_addresses_are_found_by_tors_settings() {
        let automap = parse(&[ON, SUFFIXES, V4, V6]).unwrap();
        assert!(automap.applies_to("a.Bit") && automap.applies_to("x.onion"));
        assert!(!automap.applies_to("a.bit.") && !automap.applies_to("bit"));
        for (address, is_virtual) in [
            ("127.192.0.1", true),
            ("127.255.255.255", true),
            ("127.191.255.255", false),
            ("192.0.2.1", false),
            ("fe93:107b::1", true),
            ("fec0::1", false),
        ] {
            assert_eq!(automap.may_be_virtual(address.parse().unwrap()), is_virtual);
        }
        let several = [ON, "250-AutomapHostsSuffixes=.x", SUFFIXES, V4, V6];
        assert!(parse(&several).unwrap().applies_to("a.bit"));
        let all = parse(&[ON, "250-AutomapHostsSuffixes=.", V4, V6]).unwrap();
        assert!(all.applies_to("a.bit."));
        let none = parse(&["250-AutomapHostsOnResolve=0", SUFFIXES, V4, V6]).unwrap();
        assert_eq!(none, Automap::default());
    }

    #[test]
    fn a_reply_with_a_line_too_many_counts_for_nothing() {
        for lines in [
            &[SUFFIXES, ON, SUFFIXES, V4, V6][..],
            &[ON, ON, SUFFIXES, V4, V6],
            &[ON, SUFFIXES, V4, V6, V6],
            &[ON, SUFFIXES, V4, V6, "250 OK"],
            &["250 OK", ON, SUFFIXES, V4, V6],
            &[ON, SUFFIXES, V4],
            &[V6],
            &[],
        ] {
            assert_eq!(parse(lines), None, "{lines:?}");
        }
    }
}
