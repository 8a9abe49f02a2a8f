//! The servers that can be asked, and who runs them.

use std::fmt;

use crate::config::settings::{NodeAddress, ServerAddress};

/// A server that can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Server {
    /// Host and port.
    pub address: NodeAddress,
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// Who runs it. Servers of one operator are believed like one server.
    pub operator: String,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// The servers to use: those that the user names, each counted as an operator
/// of its own, or the bundled ones.
pub(super) fn servers(named: &[ServerAddress]) -> Vec<Server> {
    if named.is_empty() {
        return bundled();
    }
    named
        .iter()
        .map(|server| Server {
            address: server.address.clone(),
            is_tls: server.is_tls,
            operator: server.address.to_string(),
        })
        .collect()
}

/// The public servers known in 2025. Their operators were told from their
/// names, networks and software, as nobody publishes a list.
fn bundled() -> Vec<Server> {
    LIST.iter()
        .flat_map(|(operator, hosts)| {
            hosts.iter().map(|&(host, port, is_tls)| Server {
                address: NodeAddress {
                    host: host.to_owned(),
                    port,
                },
                is_tls,
                operator: (*operator).to_owned(),
            })
        })
        .collect()
}

type Entry = (&'static str, u16, bool);

const LIST: &[(&str, &[Entry])] = &[
    (
        "bitcoins.sk",
        &[
            ("188.167.144.126", 50002, true),
            ("46.229.238.187", 57002, true),
            ("82.119.233.36", 50002, true),
            ("nmc.bitcoins.sk", 50002, true),
            ("nmc2.bitcoins.sk", 57002, true),
        ],
    ),
    (
        "dotbit.zone",
        &[
            ("198.50.223.25", 50002, true),
            ("198.50.223.26", 50002, true),
            ("198.50.223.27", 50002, true),
            ("198.50.223.28", 50002, true),
            ("2607:5300:203:7ac5:198:50:223:25", 50002, true),
            ("2607:5300:203:7ac5:198:50:223:26", 50002, true),
            ("2607:5300:203:7ac5:198:50:223:27", 50002, true),
            ("2607:5300:203:7ac5:198:50:223:28", 50002, true),
            (
                "h6qrnwxtwiaahsw4qhk2nbutswwb54vnqso6jrxeuk6nwtfbos7jkoqd.onion",
                50002,
                true,
            ),
            ("electrumx1.nmc.dotbit.zone", 50002, true),
            ("electrumx2.nmc.dotbit.zone", 50002, true),
            ("electrumx3.nmc.dotbit.zone", 50002, true),
            ("electrumx4.nmc.dotbit.zone", 50002, true),
            (
                "mqhok2edqcxdpklwovquuvvl2q5or4g2o777qwrinydgzfxjbixq76yd.onion",
                50002,
                true,
            ),
            (
                "wirg2tsto7rme7n26lkd3ivbvxmjyy2pktlozwjuep22jcsfsghfqbqd.onion",
                50002,
                true,
            ),
            (
                "quuzpffsddq3aim3gk4oiczzyt5okjjzf4zpe6okzo6qidao6rshynqd.onion",
                50002,
                true,
            ),
        ],
    ),
    ("namebrow.se", &[("electrum.namebrow.se", 50002, true)]),
    ("le-space.de", &[("electrum-nmc.le-space.de", 50002, true)]),
    ("ulrichard.ch", &[("ulrichard.ch", 50006, true)]),
    (
        "bitclc.net",
        &[
            ("195.135.194.10", 50002, true),
            ("195.135.194.11", 50002, true),
            ("195.135.194.12", 50002, true),
            ("195.135.194.13", 50002, true),
            ("2001:678:7dc:10::2", 50002, true),
            ("2001:678:7dc:11::2", 50002, true),
            ("2001:678:7dc:12::2", 50002, true),
            ("2001:678:7dc:13::2", 50002, true),
            (
                "7mqrrbm6xgdle4bau3s3vo63eqilxetjshahtx5z44nhvcrepbfiwtyd.onion",
                50002,
                true,
            ),
            ("electrumx1.nmc.bitclc.net", 50002, true),
            ("electrumx2.nmc.bitclc.net", 50002, true),
            ("electrumx3.nmc.bitclc.net", 50002, true),
            ("electrumx4.nmc.bitclc.net", 50002, true),
            (
                "mhgghnh4rpgu5ohjzo2atoz4fmcvxglddpz4q265hamkaifhnndjhoyd.onion",
                50002,
                true,
            ),
            (
                "t3ts346cpsdbqjkcvyveqfgldtipoco5yzxqs6sted6y4fgsgasnp3ad.onion",
                50002,
                true,
            ),
            (
                "yo4ip6gfnddyt6pyjkgoovnscai2xu6nzkoaa7hzbun6crm2o65aljid.onion",
                50002,
                true,
            ),
        ],
    ),
];
