//! How a plugin is asked: again, no more, and for many at once.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;

use serde_json::json;

use super::*;

/// A client that does not wait for its answer.
fn begin(world: &World, ask: &Ask) -> TcpStream {
    let mut stream = world.serve.connect();
    stream.write_all(&ask.bytes()).unwrap();
    stream
}

fn ask(name: &str) -> Ask {
    Ask::new(Protocol::Socks5, name).command(RESOLVE)
}

#[test]
fn a_failure_that_may_pass_is_asked_again() {
    let world = World::new(json!({
        "one.test": [["RESOLVED {id} 1 busy"], ["RESOLVED {id} 4 slow"], ["RESOLVED {id} 0 192.0.2.1"]],
    }));
    let begin = Instant::now();
    assert_eq!(world.address("one.test"), [192, 0, 2, 1]);
    assert!(begin.elapsed() >= Duration::from_millis(750));
    let queries = world.queries("one.test");
    let numbers: BTreeSet<_> = queries.iter().map(|words| &words[1]).collect();
    assert_eq!((queries.len(), numbers.len()), (3, 3));
    let ids: BTreeSet<_> = queries.iter().map(|words| &words[3]).collect();
    assert_eq!(ids.len(), 1);
}

#[test]
fn a_failure_that_lasts_is_not_known_for_now() {
    let world = World::with(
        json!({ "busy.test": [["RESOLVED {id} 1 \"too busy\""]] }),
        &["--timeout", "2"],
    );
    world.wait_until_ready();
    let begin = Instant::now();
    let (code, page) = world.page("busy.test");
    assert!(code == 504 && page.contains("too busy"), "{page}");
    assert!(begin.elapsed() >= Duration::from_secs(2));
    // After 0, 0.25, 0.75 and 1.75 seconds, if the machine is not slow.
    assert!((2..=4).contains(&world.queries("busy.test").len()));
    // Nothing is left to be withdrawn.
    assert!(!world.noted().iter().any(|line| line.starts_with("CANCEL")));
}

#[test]
fn queries_are_withdrawn_when_nobody_waits_any_more() {
    let world = World::with(
        json!({ "never.test": [[]], "gone.test": [[]], "a.test": address(1) }),
        &["--timeout", "2"],
    );
    world.wait_until_ready();
    let stream = begin(&world, &ask("gone.test"));
    let query = world.wait_for_line("RESOLVE", "gone.test");
    drop(stream);
    world.wait_for_line("CANCEL", &query[1]);
    // Its time is up.
    let (code, page) = world.page("never.test");
    assert!(
        code == 504 && page.contains("did not answer in time"),
        "{page}"
    );
    let query = world.wait_for_line("RESOLVE", "never.test");
    world.wait_for_line("CANCEL", &query[1]);
    assert_eq!(world.address("a.test"), [192, 0, 2, 1]);
}

/// As many ids as there are clients, and each id the same for each of its
/// queries.
#[test]
fn every_activity_has_its_own_id_and_answer() {
    const IDS: u8 = 100;

    let mut entries = serde_json::Map::new();
    for number in 0..IDS {
        entries.insert(format!("n{number}.test"), address(number));
    }
    let world = World::new(entries.into());
    let mut streams = Vec::new();
    for _ in 0..2 {
        for number in 0..IDS {
            let name = format!("n{number}.test");
            let ask = ask(&name).user(format!("user{number}"), "");
            streams.push((number, ask.clone(), begin(&world, &ask)));
        }
    }
    for (number, ask, mut stream) in streams {
        let reply = ask.replies(&mut stream);
        assert_eq!(reply.code, 0, "{number}{}", world.serve.process.story());
        assert_eq!(reply.bytes[4..8], [192, 0, 2, number]);
    }
    let mut ids = BTreeSet::new();
    for number in 0..IDS {
        // Nothing is cached here: the plugin knows how long its answers hold.
        let queries = world.queries(&format!("n{number}.test"));
        assert_eq!(queries.len(), 2);
        assert_eq!(queries[0][3], queries[1][3]);
        ids.insert(queries[0][3].clone());
    }
    assert_eq!(ids.len(), usize::from(IDS));
}

/// Neither names nor ids are logged, whatever fails.
#[test]
fn the_log_has_neither_names_nor_ids() {
    let world = World::with(
        json!({
            "secret.test": [["RESOLVED {id} 3 \"secret.test is away\""]],
            "fatal.test": [["!exit 1"]],
        }),
        &["-vv", "--timeout", "2"],
    );
    world.wait_until_ready();
    assert_eq!(world.code("secret.test"), NO_SUCH_NAME);
    assert_eq!(world.code("fatal.test"), NOT_NOW);
    let id = world.queries("secret.test")[0][3].clone();
    let said = world.serve.process.said_on_stderr().join("\n");
    assert!(said.contains("asks for name#1 under id#1"), "{said}");
    assert!(
        said.contains("the naming plugin for test is ready"),
        "{said}"
    );
    for hidden in ["secret", "fatal", &id] {
        assert!(!said.contains(hidden), "{hidden}: {said}");
    }
}
