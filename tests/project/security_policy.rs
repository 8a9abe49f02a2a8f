//! `SECURITY.md` names tests; each of them exists.

/// Whether a name stands in a text as a whole word.
fn has_word(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .any(|word| word == name)
}

#[test]
fn every_test_that_is_named_exists() {
    let policy = include_str!("../../SECURITY.md");
    let (_, promises) = policy.split_once("## What is promised").unwrap();
    let (promises, _) = promises.split_once("## What is not promised").unwrap();
    let mut count = 0;
    for item in promises.split("\n- `").skip(1) {
        // Words between two backquotes, the first of which names the file.
        let item = item.split("\n\n").next().unwrap();
        let Some((file, tests)) = item.split_once("`: ") else {
            continue;
        };
        let path = format!("{}/tests/{file}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(path).unwrap_or_else(|_| panic!("no file {file}"));
        for test in tests.split('`').skip(1).step_by(2) {
            assert!(has_word(&source, test), "{file} has no test {test}");
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}
