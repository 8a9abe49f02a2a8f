//! The shortest way through the whole program.

use crate::support::plugin::Plugin;

#[test]
fn a_name_from_a_file_is_answered() {
    let mut plugin = Plugin::with_names(r#"{"d/example":{"ip":"192.0.2.1"}}"#, &[]);
    assert_eq!(plugin.resolve("1", "example.bit", "a"), "0 192.0.2.1");
    assert_eq!(
        plugin.resolve("2", "none.bit", "a"),
        "3 \"none.bit is not registered\""
    );
    plugin.finish();
}
