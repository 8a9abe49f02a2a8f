//! How a plugin starts, fails and ends.

use serde_json::json;

use super::*;

/// Whether a process exists.
fn is_alive(id: u32) -> bool {
    let status = std::process::Command::new("kill")
        .args(["-0", &id.to_string()])
        .stderr(std::process::Stdio::null())
        .status();
    status.unwrap().success()
}

#[track_caller]
fn wait_for_death(id: u32) {
    let deadline = Instant::now() + PATIENCE;
    while is_alive(id) {
        assert!(Instant::now() < deadline, "{id} lives");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn queries_wait_for_a_plugin_that_is_late() {
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let wait = format!("!wait {}", gate.to_str().unwrap());
    let world = World::new(json!({
        "INIT": [[wait, "INIT 1 0"]],
        "a.test": address(1),
    }));
    world.wait_for_starts(1);
    let ask = Ask::new(Protocol::Socks5, "a.test").command(RESOLVE);
    let mut waiting = world.serve.connect();
    std::io::Write::write_all(&mut waiting, &ask.bytes()).unwrap();
    // Our own names do not wait for it.
    assert_eq!(world.address("example.bit"), [192, 0, 2, 77]);
    assert!(world.queries("a.test").is_empty());
    fs::write(&gate, "").unwrap();
    assert_eq!(ask.replies(&mut waiting).code, 0);
    assert_eq!(world.queries("a.test").len(), 1);
}

#[test]
fn a_plugin_that_cannot_start_its_work_is_started_again() {
    let world = World::new(json!({
        "INIT": [["INIT 1 1 \"no \\\"key\\\"\"", "!hang"], ["INIT 2 0", "!hang"], ["INIT 1 0"]],
        "a.test": address(1),
    }));
    assert_eq!(world.address("a.test"), [192, 0, 2, 1]);
    let ids = world.wait_for_starts(3);
    wait_for_death(ids[0]);
    wait_for_death(ids[1]);
    let process = &world.serve.process;
    let warning = process.complaint("the naming plugin for test");
    assert!(
        warning.contains("could not start its work: no \"key\""),
        "{warning}"
    );
    // The second failure is of the same kind.
    let said = process.said_on_stderr();
    let warnings = said.iter().filter(|line| line.contains("naming plugin"));
    assert_eq!(warnings.count(), 1);
}

#[test]
fn a_plugin_that_never_says_that_it_is_ready_is_ended() {
    let world = World::with(
        json!({
            "INIT": [["!hang"], ["INIT 1 0"]],
            "a.test": address(1),
        }),
        &["--timeout", "2"],
    );
    let ids = world.wait_for_starts(1);
    let (code, page) = world.page("a.test");
    assert_eq!(code, 504);
    assert!(page.contains("was not ready in time"), "{page}");
    world
        .serve
        .process
        .complaint("has not sent INIT within 30 seconds");
    wait_for_death(ids[0]);
    world.wait_for_starts(2);
    assert_eq!(world.address("a.test"), [192, 0, 2, 1]);
}

/// Whatever ends it, its queries are asked of the next one.
#[test]
fn a_plugin_that_ends_or_closes_a_pipe_is_started_again() {
    for (order, complaint) in [
        ("!exit 7", "ended (exit status: 7)"),
        ("!close 1", "closed its input or output"),
        ("!close 0", "closed its input or output"),
        ("!flood", "writes too much that answers nothing"),
    ] {
        let world = World::new(json!({
            "bad.test": [[order, "!hang"]],
            "good.test": address(1),
        }));
        let mut stuck = world.serve.connect();
        let ask = Ask::new(Protocol::Socks5, "bad.test").command(RESOLVE);
        std::io::Write::write_all(&mut stuck, &ask.bytes()).unwrap();
        world.serve.process.complaint(complaint);
        let ids = world.wait_for_starts(2);
        wait_for_death(ids[0]);
        // It is asked again.
        world.wait(order, |_| {
            (world.queries("bad.test").len() >= 2).then_some(())
        });
        drop(stuck);
        assert_eq!(world.address("good.test"), [192, 0, 2, 1], "{order}");
    }
}

#[test]
fn a_plugin_that_does_not_exist_is_reported_once() {
    let files = tempfile::tempdir().unwrap();
    let node = node(&[("d/example", r#"{"ip":"192.0.2.77"}"#)]);
    let more = ["--timeout", "2"];
    let world = World::start("test=/nonexistent/plugin", files, node, &more);
    world
        .serve
        .process
        .complaint("ended (exit status: 127); it is started again");
    assert_eq!(world.code("a.test"), NOT_NOW);
    assert_eq!(world.address("example.bit"), [192, 0, 2, 77]);
    let said = world.serve.process.said_on_stderr();
    let warnings = said.iter().filter(|line| line.contains("naming plugin"));
    assert_eq!(warnings.count(), 1, "{said:#?}");
}

/// Queries fill the pipe, and still nobody waits for the plugin.
#[test]
fn a_plugin_that_does_not_read_blocks_no_door() {
    let world = World::new(json!({ "hang.test": [["!hang"]] }));
    let mut streams = Vec::new();
    let mut ask = |name: &str| {
        let ask = Ask::new(Protocol::Socks5, name).command(RESOLVE);
        let mut stream = world.serve.connect();
        std::io::Write::write_all(&mut stream, &ask.bytes()).unwrap();
        streams.push(stream);
    };
    ask("hang.test");
    world.wait_for_line("RESOLVE", "hang.test");
    let label = "x".repeat(60);
    for number in 0..600 {
        ask(&format!("{number}.{label}.{label}.{label}.test"));
    }
    let begin = Instant::now();
    assert_eq!(world.address("example.bit"), [192, 0, 2, 77]);
    assert!(begin.elapsed() < Duration::from_secs(5));
    world.serve.process.complaint("does not read its input");
}

/// The end of stdin is enough for most; others are killed.
#[test]
fn plugins_end_with_the_program() {
    for hangs in [false, true] {
        let init = match hangs {
            false => json!([["INIT 1 0"]]),
            true => json!([["INIT 1 0", "!hang"]]),
        };
        let mut world = World::new(json!({ "INIT": init, "a.test": address(1) }));
        let ids = world.wait_for_starts(1);
        if !hangs {
            assert_eq!(world.address("a.test"), [192, 0, 2, 1]);
        }
        let begin = Instant::now();
        world.serve.process.signal("TERM");
        let status = world.serve.process.wait();
        assert!(status.success(), "{status}");
        assert!(begin.elapsed() < Duration::from_secs(10));
        wait_for_death(ids[0]);
        assert_eq!(world.noted().contains(&"END".to_owned()), !hangs);
    }
}

/// What a command leaves behind ends with it.
#[test]
fn a_child_of_the_plugin_does_not_outlive_it() {
    let files = tempfile::tempdir().unwrap();
    let note = files.path().join("child");
    let script = files.path().join("plugin.sh");
    let note = note.to_str().unwrap().to_owned();
    let text = format!("sleep 1000 & echo $! > {note}.new; mv {note}.new {note}; exit 3\n");
    fs::write(&script, text).unwrap();
    let plugin = format!("test=/bin/sh {}", script.to_str().unwrap());
    let world = World::start(&plugin, files, node(&[]), &[]);
    let child = loop {
        if let Ok(id) = fs::read_to_string(&note) {
            break id.trim().parse().unwrap();
        }
        thread::sleep(Duration::from_millis(5));
    };
    let id: u32 = child;
    wait_for_death(id);
    drop(world);
}
