//! The map of the house: which room may use which, held against the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room, what it is for, and the rooms that it uses. A room uses only
/// rooms above it in this list, so that no circle can arise.
const ROOMS: &[(&str, &str, &[&str])] = &[
    ("address", "which addresses and hosts may be answered", &[]),
    ("onion", "which onion services may be answered", &[]),
    ("isolation", "the isolation id", &[]),
    ("text", "text for people", &[]),
    ("platform", "what differs between operating systems", &[]),
    ("chain", "Namecoin's proof of work; no I/O", &[]),
    (
        "snapshot",
        "what is known to one query: values, and what name servers answered",
        &["address", "isolation", "onion"],
    ),
    (
        "log",
        "what is said on stderr",
        &["isolation", "platform", "snapshot", "text"],
    ),
    (
        "config",
        "settings, and where they come from",
        &["chain", "isolation", "platform", "text"],
    ),
    (
        "value",
        "a name's value: from JSON or CBOR to records",
        &["onion", "snapshot", "text"],
    ),
    ("zone", ".bit as a DNS zone", &["snapshot", "value"]),
    (
        "authority",
        "the authoritative engine: a DNS message in, one out",
        &["isolation", "snapshot", "value", "zone"],
    ),
    (
        "policy",
        "what is asked for a name, and which answer counts",
        &[
            "address",
            "authority",
            "onion",
            "snapshot",
            "text",
            "value",
            "zone",
        ],
    ),
    (
        "source",
        "where values come from: nodes, a file, Electrum servers",
        &[
            "address",
            "chain",
            "config",
            "isolation",
            "log",
            "onion",
            "platform",
            "snapshot",
            "text",
        ],
    ),
    (
        "delegation",
        "what the name servers of delegated names answer",
        &["config", "platform", "snapshot", "source"],
    ),
    (
        "scheduler",
        "activities, turns between them, deadlines",
        &[
            "config",
            "delegation",
            "isolation",
            "log",
            "platform",
            "policy",
            "snapshot",
            "source",
            "text",
        ],
    ),
    (
        "resolver",
        "the resolver for programs that embed the library",
        &[
            "config",
            "delegation",
            "isolation",
            "log",
            "policy",
            "scheduler",
            "snapshot",
            "source",
        ],
    ),
    (
        "naming",
        "which names are ours, and who resolves them",
        &[
            "address",
            "config",
            "isolation",
            "log",
            "onion",
            "platform",
            "policy",
            "scheduler",
            "snapshot",
            "text",
        ],
    ),
    (
        "door",
        "the ways in",
        &[
            "config",
            "isolation",
            "log",
            "naming",
            "platform",
            "policy",
            "scheduler",
            "source",
        ],
    ),
    (
        "fuzzing",
        "the entry of the fuzz targets",
        &["delegation", "door", "source"],
    ),
    (
        "commands",
        "the plugin and the subcommands",
        &[
            "authority",
            "config",
            "delegation",
            "door",
            "isolation",
            "log",
            "naming",
            "platform",
            "policy",
            "scheduler",
            "snapshot",
            "source",
            "text",
            "value",
            "zone",
        ],
    ),
];

/// Doors do not know each other; neither do sources.
const STRANGERS: &[&[&str]] = &[
    &["door/stdio", "door/socks", "door/tor"],
    &["source/rpc", "source/names_file", "source/electrum"],
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// The source files, by their path below `src/`, without what is only for
/// tests.
fn files() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    let files = found.into_iter().filter_map(|path| {
        let name = path.strip_prefix(&root).unwrap();
        let name = name.to_str().unwrap().replace('\\', "/");
        let is_test = name.split(['/', '.']).any(|part| part == "tests");
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        (!is_test).then(|| (name, text.to_owned()))
    });
    files.collect()
}

fn room(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap()
}

/// The rooms that a file names behind `crate::`, in code.
fn uses(text: &str) -> BTreeSet<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code: Vec<_> = code.collect();
    let code = code.join("\n");
    let mut uses = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        // `crate::{one, two}` names several.
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap(),
            None => rest,
        };
        let first = |part: &str| {
            let word: String = part
                .trim()
                .chars()
                .take_while(|char| char.is_ascii_alphanumeric() || *char == '_')
                .collect();
            word
        };
        if rest.starts_with('{') {
            uses.extend(names.split(',').map(first));
        } else {
            uses.insert(first(names));
        }
    }
    uses
}

#[test]
fn rooms_use_what_the_map_says_and_the_map_goes_downward() {
    let mut above = BTreeSet::new();
    for (room, what, below) in ROOMS {
        assert!(!what.is_empty());
        for used in *below {
            assert!(
                above.contains(used),
                "{room} uses {used}, which is no lower"
            );
        }
        above.insert(*room);
    }
    let mut found: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let files = files();
    for (file, text) in &files {
        if matches!(file.as_str(), "lib.rs" | "main.rs") {
            continue;
        }
        let own = room(file);
        let uses = uses(text).into_iter().filter(|used| used != own);
        found.entry(own).or_default().extend(uses);
    }
    for (room, _, allowed) in ROOMS {
        let used = found
            .remove(room)
            .unwrap_or_else(|| panic!("no room {room}"));
        let allowed: BTreeSet<_> = allowed.iter().map(ToString::to_string).collect();
        assert_eq!(used, allowed, "what {room} uses");
    }
    assert!(found.is_empty(), "rooms without a place: {found:?}");
}

#[test]
fn doors_know_no_other_door_and_sources_no_other_source() {
    for (file, text) in files() {
        for group in STRANGERS {
            let Some(own) = group.iter().find(|one| file.starts_with(**one)) else {
                continue;
            };
            for other in group.iter().filter(|one| *one != own) {
                let path = other.replace('/', "::");
                let last = other.rsplit('/').next().unwrap();
                // A file may have the name of another door.
                let up = match file.strip_suffix("/mod.rs") == Some(*own) {
                    true => format!("super::{last}::"),
                    false => format!("super::super::{last}::"),
                };
                for way in [format!("crate::{path}"), up] {
                    assert!(!text.contains(&way), "{file} uses {other}");
                }
            }
        }
    }
}

/// The middle answers from a snapshot: it opens nothing, waits for nothing and
/// looks at no clock.
#[test]
fn the_middle_does_no_io() {
    let pure = [
        "policy/",
        "authority/",
        "zone/",
        "value/",
        "chain/",
        "delegation/dnssec/",
        "snapshot/",
        "delegation/dnssec/",
    ];
    for (file, text) in files() {
        if pure.iter().any(|place| file.starts_with(place)) {
            for way in [
                "std::net::Tcp",
                "std::fs",
                "std::thread",
                "Instant::now",
                "SystemTime",
                "std::io::stdin",
                "println!",
            ] {
                assert!(!text.contains(way), "{file} has {way}");
            }
        }
    }
}

/// The paths of a `use` tree: `a::{b, c::{d, e}}` has three.
fn paths(tree: &str) -> Vec<String> {
    let Some((stem, list)) = tree.split_once('{') else {
        return vec![tree.trim().to_owned()];
    };
    let (list, _) = list.rsplit_once('}').unwrap();
    let mut depth = 0;
    let branches = list.split(|char| {
        depth += i32::from(char == '{') - i32::from(char == '}');
        char == ',' && depth == 0
    });
    let branches = branches.filter(|branch| !branch.trim().is_empty());
    let branches = branches.map(|branch| format!("{}{}", stem.trim(), branch.trim()));
    branches.flat_map(|branch| paths(&branch)).collect()
}

/// The module of a file as a path with slashes.
fn module(file: &str) -> &str {
    let path = file.trim_end_matches(".rs");
    path.trim_end_matches("/mod")
}

/// Every file can be understood after those that it uses. (A `mod.rs` is made of
/// the files beside it, which may use what it defines.)
#[test]
fn no_files_use_each_other_in_a_circle() {
    let files = files();
    let modules: BTreeSet<_> = files.keys().map(|file| module(file)).collect();
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (file, text) in &files {
        let own = module(file);
        let lines = text.lines().map(|line| line.split("//").next().unwrap());
        let code = lines.collect::<Vec<_>>().join(" ");
        let used = uses.entry(own).or_default();
        for start in ["crate::", "super::", "self::"] {
            for (at, _) in code.match_indices(start) {
                let is_use = code[..at].trim_end().ends_with("use");
                let end = |char: char| match is_use {
                    true => char == ';',
                    false => !(char.is_alphanumeric() || char == '_' || char == ':'),
                };
                for path in paths(code[at..].split(end).next().unwrap()) {
                    let mut place: Vec<_> = match start {
                        "crate::" => Vec::new(),
                        _ => own.split('/').map(str::to_owned).collect(),
                    };
                    for part in path.split("::") {
                        match part.split_whitespace().next().unwrap_or_default() {
                            "crate" | "self" => {}
                            "super" => drop(place.pop()),
                            part => place.push(part.to_owned()),
                        }
                    }
                    let known = (1..=place.len())
                        .rev()
                        .map(|count| place[..count].join("/"));
                    let known = known.filter_map(|place| modules.get(place.as_str())).next();
                    let is_part = |place: &&str| {
                        place
                            .strip_prefix(own)
                            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                    };
                    used.extend(known.copied().filter(|place| !is_part(place)));
                }
            }
        }
    }
    // What uses nothing that is left is understood and goes.
    while let Some((&understood, _)) = uses
        .iter()
        .find(|(_, used)| used.iter().all(|place| !uses.contains_key(place)))
    {
        uses.remove(understood);
    }
    assert!(uses.is_empty(), "circles, or what leads to them: {uses:#?}");
}
