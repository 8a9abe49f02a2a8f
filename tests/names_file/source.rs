//! A names file as a source of values.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ncprop279::isolation::IsolationId;
use ncprop279::snapshot::{Absence, FetchError, FetchErrorKind, Fetched, NameKey};
use ncprop279::source::names_file::NamesFile;
use ncprop279::source::{Bounds, Cancel, Source};

struct Fixture {
    _directory: tempfile::TempDir,
    path: PathBuf,
    source: NamesFile,
}

impl Fixture {
    /// A source whose file does not exist yet.
    fn absent() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("names.json");
        Self {
            source: NamesFile::new(path.clone()),
            path,
            _directory: directory,
        }
    }

    fn with(content: impl AsRef<[u8]>) -> Self {
        let fixture = Self::absent();
        fs::write(&fixture.path, content).unwrap();
        fixture
    }

    fn fetch(&self, name: &str) -> Result<Fetched, FetchError> {
        let limit = Bounds {
            due: Instant::now() + Duration::from_secs(30),
            deadline: Instant::now() + Duration::from_secs(30),
            cancel: Cancel::new(),
        };
        let key = NameKey::new(name).unwrap();
        self.source
            .fetch(&IsolationId::shared(), &key, &limit)
            .map(|reply| reply.fetched)
    }

    fn failure(&self, name: &str) -> String {
        let failure = self.fetch(name).unwrap_err();
        assert_eq!(failure.kind, FetchErrorKind::File);
        assert!(failure.kind.is_retried());
        assert!(failure.message.contains(self.path.to_str().unwrap()));
        failure.message.to_string()
    }

    /// Puts another file in place, as a careful program would.
    fn replace(&self, content: &str) {
        let new = self.path.with_extension("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, &self.path).unwrap();
    }
}

fn value(text: &str) -> Result<Fetched, FetchError> {
    Ok(Fetched::Value(text.as_bytes().into()))
}

#[test]
fn serves_every_form_of_an_entry() {
    let fixture = Fixture::with(include_str!("../data/names.json"));
    assert_eq!(fixture.fetch("d/string"), value(r#"{"ip":"192.0.2.1"}"#));
    assert_eq!(
        fixture.fetch("d/object"),
        value("{ \"ip\": \"192.0.2.2\",\n      \"info\": 1.50 }")
    );
    assert_eq!(fixture.fetch("d/answer"), value(r#"{"ip":"192.0.2.7"}"#));
    assert_eq!(fixture.fetch("d/reply"), value(r#"{"ip":"192.0.2.8"}"#));
    assert_eq!(
        fixture.fetch("d/expired"),
        Ok(Fetched::Absent(Absence::Expired))
    );
    assert_eq!(fixture.fetch("d/twice"), value("second"));
    assert_eq!(
        fixture.fetch("d/missing"),
        Ok(Fetched::Absent(Absence::NeverExisted))
    );
}

#[test]
fn a_bad_entry_costs_only_itself() {
    let fixture =
        Fixture::with(r#"{"d/bad":7,"d/hex":{"value":"zz","value_encoding":"hex"},"d/good":"v"}"#);
    for name in ["d/bad", "d/hex"] {
        let message = fixture.failure(name);
        assert!(message.contains("bad entry"), "{message}");
        assert!(!message.contains(name), "{message}");
    }
    assert_eq!(fixture.fetch("d/good"), value("v"));
}

#[test]
fn a_missing_file_is_transient_and_read_once_it_is_there() {
    let fixture = Fixture::absent();
    assert!(fixture.failure("d/a").contains("not found"));
    fixture.replace(r#"{"d/a":"v"}"#);
    assert_eq!(fixture.fetch("d/a"), value("v"));
}

#[test]
fn an_invalid_file_says_where_the_error_is() {
    let fixture = Fixture::with("{\n \"d/secret\": \"v\",\n oops }");
    let message = fixture.failure("d/secret");
    assert!(message.contains("line 3, column 2"), "{message}");
    assert!(!message.contains("secret"), "{message}");
    for content in [
        "",
        "[]",
        "null",
        "{\"d/a\":\"v\"} x",
        "{\"d/a\"",
        "{\"d/a\":\"\u{1}\"}",
    ] {
        fixture.replace(content);
        fixture.failure("d/a");
    }
    fs::write(&fixture.path, b"{\"d/a\":\"\xff\"}").unwrap();
    fixture.failure("d/a");
    fs::write(&fixture.path, b"\xef\xbb\xbf{\"d/a\":\"v\"}").unwrap();
    assert_eq!(fixture.fetch("d/a"), value("v"));
}

#[test]
fn what_is_no_file_is_refused() {
    let fixture = Fixture::absent();
    fs::create_dir(&fixture.path).unwrap();
    assert!(fixture.failure("d/a").contains("is not a file"));
}

#[test]
fn a_huge_file_is_refused() {
    let fixture = Fixture::absent();
    let file = fs::File::create(&fixture.path).unwrap();
    file.set_len((64 << 20) + 1).unwrap();
    assert!(fixture.failure("d/a").contains("64 MiB"));
}

#[test]
fn deep_nesting_is_served_as_it_is() {
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let fixture = Fixture::with(format!("{{\"d/deep\":{deep}}}"));
    assert_eq!(fixture.fetch("d/deep"), value(&deep));
}

#[test]
fn a_changed_file_is_noticed_by_polling_and_not_before() {
    let fixture = Fixture::with(r#"{"d/a":"one"}"#);
    assert_eq!(fixture.source.poll(), Some(false));
    assert_eq!(fixture.fetch("d/a"), value("one"));
    assert_eq!(fixture.source.poll(), Some(false));
    fixture.replace(r#"{"d/a":"two"}"#);
    assert_eq!(fixture.fetch("d/a"), value("one"));
    assert_eq!(fixture.source.poll(), Some(true));
    assert_eq!(fixture.source.poll(), Some(false));
    assert_eq!(fixture.fetch("d/a"), value("two"));
    assert_eq!(fixture.source.poll(), Some(false));
}

#[test]
fn a_file_that_goes_and_comes_is_noticed() {
    let fixture = Fixture::with(r#"{"d/a":"one"}"#);
    assert_eq!(fixture.source.poll(), Some(false), "nothing was read yet");
    assert_eq!(fixture.fetch("d/a"), value("one"));
    fs::remove_file(&fixture.path).unwrap();
    assert_eq!(fixture.source.poll(), Some(true));
    fixture.failure("d/a");
    assert_eq!(fixture.source.poll(), Some(false));
    fixture.replace(r#"{"d/a":"two"}"#);
    assert_eq!(fixture.source.poll(), Some(true));
    assert_eq!(fixture.fetch("d/a"), value("two"));
}

#[test]
fn debug_shows_no_name() {
    let fixture = Fixture::with(r#"{"d/secret":"v"}"#);
    fixture.fetch("d/secret").unwrap();
    assert!(!format!("{:?}", fixture.source).contains("secret"));
}
