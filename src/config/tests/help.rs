//! What `--help` and `--version` print.

use super::*;

fn printed(words: &[&str]) -> String {
    match arguments(words).read().unwrap() {
        Outcome::Print(text) => text,
        Outcome::Run(run) => panic!("{words:?}: {run:?}"),
    }
}

#[test]
fn help_and_version_are_printed() {
    for words in [vec!["--help"], vec!["-h"], vec!["help"]] {
        let text = printed(&words);
        for key in KEYS {
            assert!(text.contains(&format!("--{}", key.name)), "{}", key.name);
        }
        assert!(text.contains("Answers and cache:") && text.contains("Usage: ncprop279"));
        assert!(text.lines().count() <= 60, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }
    for words in [vec!["--version"], vec!["-V"]] {
        let text = printed(&words);
        let lines: Vec<_> = text.lines().collect();
        let first = lines[0].split(' ').collect::<Vec<_>>();
        assert_eq!(first[..2], ["ncprop279", env!("CARGO_PKG_VERSION")]);
        let checkpoint = Network::Mainnet.checkpoint();
        assert_eq!(lines[1], format!("checkpoint mainnet {checkpoint}"));
        assert_eq!(lines[2], "protocol 1 (Tor proposal 279)");
        assert_eq!(PROTOCOL, crate::door::stdio::response::VERSION);
    }
}

/// The help of a command lists what matters to it.
#[test]
fn help_of_a_command_is_about_the_command() {
    for (command, some, none) in [
        (
            "resolve",
            &["--proxy", "--rpc-address", "--explain"][..],
            &["--cache-ttl"][..],
        ),
        (
            "records",
            &["--electrum-server", "--json"],
            &["--only-onion", "--max-lookups", "--tor-control"],
        ),
        (
            "check",
            &["--timeout", "--names-file", "--socks-listen"],
            &["--missing-isolation", "--log-names"],
        ),
        (
            "serve",
            &[
                "--socks-listen",
                "--allow-remote-clients",
                "--proxy",
                "--tor-control",
                "--tor-password",
                "--naming-plugin",
            ],
            &["--missing-isolation", "--json"],
        ),
        (
            "checkpoint",
            &["--electrum-server"],
            &["--rpc-address", "--names-file"],
        ),
        ("config", &["--config"], &["--proxy"]),
        ("completions", &["SHELL"], &["--proxy", "--config", "cache"]),
    ] {
        for words in [[command, "--help"], ["help", command]] {
            let text = printed(&words);
            assert!(some.iter().all(|option| text.contains(option)), "{text}");
            assert!(!none.iter().any(|option| text.contains(option)), "{text}");
            assert!(text.contains("see ncprop279 --help"), "{text}");
            assert!(text.lines().count() <= 60, "{text}");
            assert!(
                text.lines().all(|line| line.chars().count() <= 80),
                "{text}"
            );
        }
    }
    // Whatever the help shows, every setting is accepted.
    arguments(&["checkpoint", "--cache-ttl=1"]).run();
}
