//! This program as a plugin of itself.

use super::*;

const NAMES: &str = r#"{ "d/example": { "ip": "192.0.2.9" } }"#;

/// A door whose plugin resolves a suffix from a names file.
fn world(suffix: &str) -> World {
    let files = tempfile::tempdir().unwrap();
    let names = files.path().join("names.json");
    fs::write(&names, NAMES).unwrap();
    let plugin = format!(
        "{suffix}={} --names-file {}",
        env!("CARGO_BIN_EXE_ncprop279"),
        names.to_str().unwrap()
    );
    let node = node(&[
        ("d/example", r#"{"ip":"192.0.2.77"}"#),
        ("d/sub", r#"{"map":{"example":{"ip":"192.0.2.78"}}}"#),
    ]);
    World::start(&plugin, files, node, &[])
}

#[test]
fn a_plugin_for_bit_replaces_our_resolver() {
    let world = world("bit");
    assert_eq!(world.address("example.bit"), [192, 0, 2, 9]);
    assert_eq!(world.address("Example.BIT."), [192, 0, 2, 9]);
    assert_eq!(world.code("absent.bit"), NO_SUCH_NAME);
    assert_eq!(world.code("bit"), NO_SUCH_NAME);
    // Ours as ever.
    assert_eq!(world.code("example.bit.onion"), NO_SUCH_NAME);
    world.tor.assert_no_bit();
}

#[test]
fn the_longest_suffix_decides() {
    let world = world("sub.bit");
    assert_eq!(world.address("example.bit"), [192, 0, 2, 77]);
    // Our own resolver knows an address, but is not asked.
    assert_eq!(world.code("example.sub.bit"), NO_SUCH_NAME);
    world.tor.assert_no_bit();
}
