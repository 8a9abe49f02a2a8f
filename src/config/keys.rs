//! The table of settings. The command line, the environment, the file,
//! `--help`, the manual page, the completions, `contrib/ncprop279.toml` and
//! `docs/settings.md` all come from it.

use std::ffi::OsString;

use super::key::{Backend, DefaultValue, Delegations, Key, Kind, choice, list, text};
use super::settings::{
    Credentials, DialectSetting, ElectrumOperators, ElectrumSettings, MissingIsolation,
    RpcSettings, STATE_VARIABLE, Settings, SourceSettings,
};
use super::values::{self, MAX_SECONDS};
use crate::chain::network::Network;

/// The most names for an isolation id, and the most isolation ids. (Memory has
/// a bound of its own.)
const MAX_COUNT: u32 = 1_000_000;

/// The most confirmations; names live for 36,000 blocks.
const MAX_CONFIRMATIONS: u32 = 10_000;

/// Finds a setting by its name, in which underscores may replace hyphens.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    let name = name.replace('_', "-");
    KEYS.iter().find(|key| key.name == name)
}

const SETTING: Key = Key {
    name: "",
    group: "Where values come from",
    owner: None,
    placeholder: "BOOL",
    kind: Kind::Choice(&[]),
    default: DefaultValue::Unset,
    example: "",
    help: "",
    about: "",
    is_secret: false,
    is_in_file: true,
    go: None,
    commands: &["resolve", "records", "check", "serve", "checkpoint"],
};

const NODE: Key = Key {
    group: "Node (rpc)",
    owner: Some(Backend::Rpc),
    commands: &["resolve", "records", "check", "serve"],
    ..SETTING
};

const ELECTRUM: Key = Key {
    group: "Electrum servers (electrum)",
    owner: Some(Backend::Electrum),
    ..SETTING
};

const SERVE: Key = Key {
    group: "Command serve",
    commands: &["check", "serve"],
    ..SETTING
};

const ANSWERS: Key = Key {
    group: "Answers and cache",
    commands: &[],
    ..SETTING
};

/// Every setting, in the order of the help.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "backend",
        placeholder: "SOURCE",
        kind: choice!(|draft| draft.backend, Backend, "rpc" Rpc, "electrum" Electrum, "file" File),
        default: DefaultValue::Derived {
            help: "implied, else rpc",
            words: "the source that has one of the other settings, else rpc",
            variable: None,
            value: |settings| Some(Backend::of(&settings.source).word().into()),
        },
        help: "rpc, electrum, file",
        about: "Where values come from: rpc (a node), electrum (Electrum servers) or file (a names \
                file). Not needed if a setting that only one of them has is set.",
        ..SETTING
    },
    Key {
        name: "proxy",
        placeholder: "HOST:PORT",
        kind: text!(proxy = values::proxy),
        example: "127.0.0.1:9050",
        help: "SOCKS5 proxy to use, such as Tor's",
        about: "The SOCKS5 proxy through which a node elsewhere, Electrum servers and the name \
                servers of delegated names are reached: Tor's SOCKS port, HOST:PORT or unix:/PATH. \
                Tor Browser's is 9150. A node on this machine is reached directly. The command \
                serve sends all streams there; its default is 127.0.0.1:9050.",
        ..SETTING
    },
    Key {
        name: "allow-unproxied-node",
        kind: Kind::Switch(|draft, value| draft.allow_unproxied_node = value),
        default: DefaultValue::Fixed("false"),
        help: "permit connections that bypass Tor",
        about: "Permit connections to a node, a proxy or Electrum servers elsewhere without Tor. \
                Everyone on the way can then see which names are looked up.",
        ..SETTING
    },
    Key {
        name: "names-file",
        owner: Some(Backend::File),
        placeholder: "PATH",
        kind: text!(names_file = values::path),
        example: "/home/you/names.json",
        help: "read names from this file",
        about: "Answer from this file. Only name servers of delegated names are asked, if proxy is \
                set.",
        commands: &["resolve", "records", "check", "serve"],
        ..SETTING
    },
    Key {
        name: "rpc-address",
        placeholder: "HOST[:PORT]",
        kind: text!(rpc.address = values::address),
        default: DefaultValue::Fixed("127.0.0.1:8336"),
        help: "JSON-RPC of a node",
        about: "The JSON-RPC interface of Namecoin Core, Electrum-NMC or ConsensusJ-Namecoin.",
        go: Some(("namecoinrpcaddress", values::go_address)),
        ..NODE
    },
    Key {
        name: "rpc-user",
        placeholder: "USER",
        kind: text!(rpc_user = values::user),
        example: "tor",
        help: "user name for the node",
        about: "The node's rpcuser, instead of the cookie file. Needs rpc-password.",
        is_secret: true,
        go: Some(("namecoinrpcusername", values::go_unless_empty)),
        ..NODE
    },
    Key {
        name: "rpc-password",
        placeholder: "PASSWORD",
        kind: text!(rpc_password = values::secret),
        example: "A LONG RANDOM PASSWORD",
        help: "password; better put in the file",
        about: "The node's rpcpassword. Needs rpc-user. Put it in the file rather than on the \
                command line, where other users of the machine can see it.",
        is_secret: true,
        go: Some(("namecoinrpcpassword", values::go_unchanged)),
        ..NODE
    },
    Key {
        name: "rpc-cookie",
        placeholder: "PATH",
        kind: text!(rpc_cookie = values::path),
        default: DefaultValue::Derived {
            help: "Namecoin Core's",
            words: "Namecoin Core's, ~/.namecoin/.cookie",
            variable: None,
            value: |settings| match &settings.source {
                SourceSettings::Rpc(RpcSettings {
                    credentials: Credentials::DefaultCookie(path),
                    ..
                }) => path.clone().map(OsString::from),
                _ => None,
            },
        },
        example: "/home/you/.namecoin/.cookie",
        help: "cookie file",
        about: "The node's cookie file, if Namecoin Core's data is not in its usual place.",
        go: Some(("namecoinrpccookiepath", values::go_unless_empty)),
        ..NODE
    },
    Key {
        name: "rpc-dialect",
        placeholder: "DIALECT",
        kind: choice!(
            |draft| draft.rpc.dialect, DialectSetting, "auto" Auto, "core" Core, "electrum-nmc" ElectrumNmc, "consensusj" ConsensusJ
        ),
        default: DefaultValue::Fixed("auto"),
        help: "core, electrum-nmc, consensusj",
        about: "What the node is: auto (find out), core, electrum-nmc or consensusj.",
        ..NODE
    },
    Key {
        name: "electrum-server",
        placeholder: "HOST:PORT:s|t",
        kind: list!(electrum.servers = values::server),
        default: DefaultValue::Described("bundled list", "the bundled list"),
        example: "server.example:50002:s",
        help: "repeatable; s with TLS",
        about: "A server to ask; s with TLS, t without. Name servers of two operators or more. \
                Repeatable; in the file it may be a list.",
        ..ELECTRUM
    },
    Key {
        name: "electrum-operators",
        placeholder: "OPERATORS",
        kind: choice!(|draft| draft.electrum.operators, ElectrumOperators, "auto" Auto, "1" One, "2" Two),
        default: DefaultValue::Fixed("auto"),
        help: "operators needed: auto, 1 or 2",
        about: "How many operators must answer: auto (two where two can be reached, else one), 1 \
                or 2.",
        ..ELECTRUM
    },
    Key {
        name: "network",
        placeholder: "NETWORK",
        kind: choice!(|draft| draft.electrum.network, Network, "mainnet" Mainnet, "regtest" Regtest),
        default: DefaultValue::Fixed("mainnet"),
        help: "mainnet or regtest",
        about: "Namecoin's network: mainnet or regtest.",
        ..ELECTRUM
    },
    Key {
        name: "checkpoint",
        placeholder: "HEIGHT:HASH",
        kind: text!(checkpoint = values::checkpoint),
        default: DefaultValue::Derived {
            help: "",
            words: "the bundled one of the network",
            variable: None,
            value: |settings| Some(electrum(settings)?.checkpoint.to_string().into()),
        },
        help: "the block to start from",
        about: "The block from which verification starts, by height and hash. The checkpoint \
                command prints a newer one.",
        ..ELECTRUM
    },
    Key {
        name: "confirmations",
        placeholder: "N",
        kind: Kind::Number(1..=MAX_CONFIRMATIONS, |draft, value| {
            draft.electrum.confirmations = value
        }),
        default: DefaultValue::Fixed("12"),
        help: "blocks that must confirm a value",
        about: "How many blocks must confirm a value before it counts.",
        ..ELECTRUM
    },
    Key {
        name: "state-directory",
        placeholder: "PATH",
        kind: text!(electrum.state = values::absolute_path),
        default: DefaultValue::Derived {
            help: "",
            words: "TOR_NS_STATE_LOCATION if that is set, else ~/.local/state/ncprop279",
            variable: Some(STATE_VARIABLE),
            value: |settings| Some(electrum(settings)?.state.clone()?.into()),
        },
        example: "/srv/ncprop279/state",
        help: "where block headers and keys are kept",
        about: "The directory for block headers and the keys of servers, whatever \
                TOR_NS_STATE_LOCATION says. StemNS sets that variable to a place where ordinary \
                users cannot write.",
        ..ELECTRUM
    },
    Key {
        name: "verify-all-headers",
        kind: Kind::Switch(|draft, value| draft.electrum.verifies_all = value),
        default: DefaultValue::Fixed("false"),
        help: "verify every header's work",
        about: "Verify the proof of work of every block header, not of a random sample. A first \
                start then fetches some 170 MB instead of some 10.",
        ..ELECTRUM
    },
    Key {
        name: "timeout",
        placeholder: "SECONDS",
        kind: Kind::Decimal(|draft, value| draft.settings.timeout = value),
        default: DefaultValue::Fixed("20"),
        help: "time limit of a query or check",
        about: "How many seconds a query or a check may take. Decimals are possible.",
        go: Some(("namecoinrpctimeout", values::go_milliseconds)),
        commands: &["resolve", "records", "check", "serve", "checkpoint"],
        ..ANSWERS
    },
    Key {
        name: "max-lookups",
        placeholder: "N",
        kind: Kind::Number(1..=128, |draft, value| {
            draft.settings.lookups = value as usize
        }),
        default: DefaultValue::Fixed("64"),
        help: "requests under way at once",
        about: "How many requests to the source may be under way at once, for all isolation ids \
                together.",
        ..ANSWERS
    },
    Key {
        name: "only-onion",
        kind: Kind::Switch(|draft, value| draft.settings.only_onion = value),
        default: DefaultValue::Fixed("false"),
        help: "answer with onion services only",
        about: "Answer with onion services only, for every name.",
        go: Some(("onlyonion", values::go_truth)),
        commands: &["resolve", "serve"],
        ..ANSWERS
    },
    Key {
        name: "delegations",
        placeholder: "MODE",
        kind: choice!(|draft| draft.delegations, Delegations, "auto" Auto, "off" Off),
        default: DefaultValue::Fixed("auto"),
        help: "ask name servers: auto or off",
        about: "Whether to ask the name servers of delegated names: auto (through the proxy, if \
                there is one, and never without) or off.",
        commands: &["resolve", "check", "serve"],
        ..ANSWERS
    },
    Key {
        name: "missing-isolation",
        placeholder: "MODE",
        kind: choice!(
            |draft| draft.settings.missing_isolation, MissingIsolation, "shared" Shared, "unique" Unique, "refuse" Refuse
        ),
        default: DefaultValue::Fixed("shared"),
        help: "no id: shared, unique, refuse",
        about: "What to do with a query without an isolation id: shared (all such queries share \
                one id), unique (each gets an id of its own) or refuse.",
        ..ANSWERS
    },
    Key {
        name: "cache-entries",
        placeholder: "N",
        kind: Kind::Number(1..=MAX_COUNT, |draft, value| {
            draft.settings.cache.entries = value as usize
        }),
        default: DefaultValue::Fixed("100"),
        help: "names for each isolation id",
        about: "How many names are kept for each isolation id.",
        go: Some(("cachemaxentries", values::go_positive)),
        ..ANSWERS
    },
    Key {
        name: "cache-isolations",
        placeholder: "N",
        kind: Kind::Number(1..=MAX_COUNT, |draft, value| {
            draft.settings.cache.isolations = value as usize
        }),
        default: DefaultValue::Fixed("1000"),
        help: "isolation ids",
        about: "For how many isolation ids names are kept.",
        ..ANSWERS
    },
    Key {
        name: "cache-ttl",
        placeholder: "SECONDS",
        kind: Kind::Number(0..=MAX_SECONDS, |draft, value| {
            draft.settings.cache.ttl = values::seconds(value)
        }),
        default: DefaultValue::Fixed("600"),
        help: "keep values this long",
        about: "How many seconds a value is kept.",
        ..ANSWERS
    },
    Key {
        name: "cache-negative-ttl",
        placeholder: "SECONDS",
        kind: Kind::Number(0..=MAX_SECONDS, |draft, value| {
            draft.settings.cache.negative_ttl = values::seconds(value)
        }),
        default: DefaultValue::Fixed("60"),
        help: "keep absence this long",
        about: "For how many seconds it is kept that a name does not exist.",
        ..ANSWERS
    },
    Key {
        name: "socks-listen",
        placeholder: "HOST:PORT",
        kind: list!(socks_listen = values::listen),
        default: DefaultValue::Described(
            "127.0.0.1:9250",
            "127.0.0.1:9250, or none if tor-control is set",
        ),
        example: "unix:/run/user/1000/bit",
        help: "SOCKS port for programs",
        about: "Where the command serve listens for SOCKS and HTTP CONNECT: ADDRESS:PORT, \
                [IPV6]:PORT or unix:/PATH. Repeatable; in the file it may be a list.",
        ..SERVE
    },
    Key {
        name: "allow-remote-clients",
        kind: Kind::Switch(|draft, value| draft.allow_remote_clients = value),
        default: DefaultValue::Fixed("false"),
        help: "permit clients on other machines",
        about: "Permit the command serve to listen where other machines can connect. They can \
                then use Tor through this one, and what they send is readable on the way.",
        ..SERVE
    },
    Key {
        name: "tor-control",
        placeholder: "auto|ADDRESS",
        kind: list!(tor_control = values::control),
        example: "auto",
        help: "names for all programs that use this Tor",
        about: "Tor's control port, through which the command serve resolves names for every \
                program that uses this Tor: HOST:PORT, unix:/PATH, or auto, which tries \
                /run/tor/control, 127.0.0.1:9051 and 127.0.0.1:9151. Repeatable; in the file it \
                may be a list.",
        ..SERVE
    },
    Key {
        name: "tor-password",
        placeholder: "PASSWORD",
        kind: text!(tor_password = values::tor_password),
        example: "A LONG RANDOM PASSWORD",
        help: "its password; better put in the file",
        about: "The password of Tor's control port, if it is set to one \
                (HashedControlPassword). Needs tor-control. Put it in the file rather than on the \
                command line, where other users of the machine can see it.",
        is_secret: true,
        ..SERVE
    },
    Key {
        name: "naming-plugin",
        placeholder: "SUFFIX=COMMAND",
        kind: Kind::List {
            clear: |draft| draft.naming_plugins.clear(),
            add: |draft, value| {
                let plugin = values::naming_plugin(value)?;
                let suffix = &plugin.suffix;
                if draft.naming_plugins.iter().any(|one| one.suffix == *suffix) {
                    return Err(format!("has two commands for .{suffix}; keep one"));
                }
                draft.naming_plugins.push(plugin);
                Ok(())
            },
        },
        example: "gns=/usr/local/bin/gns-plugin --option",
        help: "plugin for names under another suffix",
        about: "A plugin (Tor proposal 279) that the command serve asks for names under another \
                suffix: the suffix, an equals sign, and the command that starts the plugin, which \
                the shell runs. The suffix bit replaces this program's own lookups. Repeatable; in \
                the file it may be a list.",
        ..SERVE
    },
    Key {
        name: "log-names",
        group: "Configuration",
        kind: Kind::Switch(|draft, value| draft.settings.log_names = value),
        default: DefaultValue::Fixed("false"),
        help: "show names and ids in the log of -vv",
        about: "Show names and isolation ids in the log of -vv. The log then says which names were \
                visited: remove the setting when you are done.",
        commands: &["resolve", "records", "serve"],
        ..SETTING
    },
    Key {
        name: "config",
        group: "Configuration",
        placeholder: "FILE",
        kind: text!(config = values::path),
        help: "TOML file with the same settings",
        about: "The configuration file, TOML with the same settings.",
        is_in_file: false,
        commands: &[
            "resolve",
            "records",
            "check",
            "serve",
            "checkpoint",
            "config",
        ],
        ..SETTING
    },
];

fn electrum(settings: &Settings) -> Option<&ElectrumSettings> {
    match &settings.source {
        SourceSettings::Electrum(electrum) => Some(electrum),
        _ => None,
    }
}
