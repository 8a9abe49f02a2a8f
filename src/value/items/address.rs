//! `ip` and `ip6`.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::RData;

use super::reader::ItemReader;
use crate::value::error::shorten;
use crate::value::tree::Tree;

/// An IPv4 address in dotted-decimal form without leading zeroes.
pub fn ipv4(reader: &mut ItemReader<'_, '_>, tree: &Tree) -> Option<RData> {
    let text = reader.text(tree)?;
    match text.parse::<Ipv4Addr>() {
        Ok(address) => Some(RData::A(address.into())),
        Err(_) => reader.error(format!("\"{}\" is no IPv4 address", shorten(text))),
    }
}

/// An IPv6 address in the text form of RFC 4291 section 2.2.
pub fn ipv6(reader: &mut ItemReader<'_, '_>, tree: &Tree) -> Option<RData> {
    let text = reader.text(tree)?;
    match text.parse::<Ipv6Addr>() {
        Ok(address) => Some(RData::AAAA(address.into())),
        Err(_) => reader.error(format!("\"{}\" is no IPv6 address", shorten(text))),
    }
}
