//! The conformance kit on plugins that mean it harm: it says what they fail in
//! and comes to its end. Needs Python 3.11, as the kit does.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::run::copy_program;

/// How long the kit may take for a case or two, whatever the plugin does.
const PATIENCE: Duration = Duration::from_secs(60);

struct Ended {
    /// `None`: it had to be killed.
    status: Option<ExitStatus>,
    stdout: String,
    stderr: String,
}

fn executable(directory: &Path, text: &str) -> PathBuf {
    let (written, path) = (directory.join("text"), directory.join("plugin"));
    fs::write(&written, text).unwrap();
    fs::set_permissions(&written, fs::Permissions::from_mode(0o755)).unwrap();
    copy_program(&written, &path);
    path
}

/// Runs some of the kit's cases against a plugin.
fn kit(plugin: &str, cases: &[&str]) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let plugin = executable(directory.path(), plugin);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/conformance.py");
    let mut command = Command::new("python3");
    command.arg(script);
    for case in cases {
        command.args(["--case", case]);
    }
    let mut child = command
        .arg(&plugin)
        // What the plugin writes there is removed in the end.
        .env("TMPDIR", directory.path())
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |stream: &mut dyn Read| {
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    };
    let out = thread::spawn(move || read(&mut stdout));
    let err = thread::spawn(move || read(&mut stderr));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => thread::sleep(Duration::from_millis(50)),
        }
    };
    if status.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    remove(directory, &plugin);
    Ended {
        status,
        stdout: out.join().unwrap(),
        stderr: err.join().unwrap(),
    }
}

/// Removes the plugin, by which its children know that they are to end, and
/// what they have written until then.
fn remove(directory: tempfile::TempDir, plugin: &Path) {
    fs::remove_file(plugin).unwrap();
    let path = directory.keep();
    let deadline = Instant::now() + PATIENCE;
    while fs::remove_dir_all(&path).is_err() && path.exists() {
        assert!(Instant::now() < deadline, "somebody goes on writing");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The kit says that the plugin failed, in its own words.
#[track_caller]
fn assert_judged(ended: &Ended) {
    let Ended {
        status,
        stdout,
        stderr,
    } = ended;
    assert!(status.is_some(), "it hangs\n{stdout}{stderr}");
    assert!(!stderr.contains("Traceback"), "it crashed\n{stderr}");
    assert!(stdout.contains("requirements: 0 of "), "{stdout}{stderr}");
    assert_eq!(status.unwrap().code(), Some(1), "{stdout}{stderr}");
}

/// Its child in a session of its own keeps stdin open and does not read it, so
/// that what is being written to it stays so after the plugin was killed.
#[test]
fn a_child_that_keeps_stdin_holds_up_nothing() {
    let plugin = "#!/usr/bin/env python3\n\
        import os, sys, time\n\
        os.write(1, b'INIT 1 0\\n')\n\
        if os.fork() == 0:\n    \
            os.setsid()\n    \
            os.close(1)\n    \
            os.close(2)\n\
        while os.path.exists(sys.argv[0]):\n    \
            time.sleep(0.1)\n";
    assert_judged(&kit(plugin, &["a-line-that-is-too-long"]));
}

/// Its child goes on writing files in the home directory that the kit removes.
#[test]
fn a_child_that_fills_its_home_does_no_harm() {
    let plugin = "#!/usr/bin/env python3\n\
        import os, sys, time\n\
        os.write(1, b'INIT 1 0\\n')\n\
        if os.fork() == 0:\n    \
            os.setsid()\n    \
            for end in 0, 1, 2:\n        \
                os.close(end)\n    \
            place = os.environ['HOME'] + '/x'\n    \
            while os.path.exists(sys.argv[0]):\n        \
                try:\n            \
                    os.path.isdir(place) or os.mkdir(place)\n            \
                    open(place + '/%d' % time.monotonic_ns(), 'w').close()\n        \
                except OSError:\n            \
                    pass\n    \
            os._exit(0)\n\
        while os.path.exists(sys.argv[0]):\n    \
            time.sleep(0.1)\n";
    assert_judged(&kit(plugin, &["one-query"]));
}

/// Some 50 MB a second without the end of a line: what cannot be a message
/// need not be kept.
#[test]
fn a_line_without_an_end_does_not_fill_the_memory() {
    let plugin = "#!/usr/bin/env python3\n\
        import os, time\n\
        os.write(1, b'INIT 1 0\\n')\n\
        bytes = b'y' * 65536\n\
        while True:\n    \
            os.write(1, bytes)\n    \
            time.sleep(0.00125)\n";
    let cases = ["one-query", "tabs-separate", "further-words", "ready"];
    let directory = tempfile::tempdir().unwrap();
    let plugin = executable(directory.path(), plugin);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/conformance.py");
    let measure = "import resource, subprocess, sys\n\
        subprocess.run([sys.executable, *sys.argv[1:]], stdout=2)\n\
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n";
    let mut command = Command::new("python3");
    command.args(["-c", measure]).arg(script);
    for case in cases {
        command.args(["--case", case]);
    }
    let told = command.arg(plugin).output().unwrap();
    let peak: u64 = String::from_utf8_lossy(&told.stdout)
        .trim()
        .parse()
        .unwrap();
    // In kibibytes; a run of correct plugins takes some 40 MiB.
    assert!(peak < 200 << 10, "{peak} KiB at the peak");
}

/// A file that is executable and that the system cannot run.
#[test]
fn what_cannot_be_run_is_said_in_words() {
    let ended = kit("no program\n", &["one-query"]);
    assert!(!ended.stderr.contains("Traceback"), "{}", ended.stderr);
    assert_eq!(ended.status.unwrap().code(), Some(2), "{}", ended.stderr);
}

/// Lines without an end, in cases that a silent plugin fails in seconds.
#[test]
fn endless_lines_do_not_hold_up_the_kit() {
    let plugin = "#!/usr/bin/env python3\n\
        import os\n\
        os.write(1, b'INIT 1 0\\n')\n\
        while True:\n    \
            os.write(1, b'y\\n' * 500)\n";
    let text = include_str!("framing.toml");
    let names = text.lines().filter_map(|line| line.strip_prefix("name = "));
    let names = names.map(|name| name.trim_matches('"'));
    let names: Vec<&str> = names.take(8).collect();
    let ended = kit(plugin, &names);
    assert!(ended.status.is_some(), "it hangs\n{}", ended.stderr);
}
