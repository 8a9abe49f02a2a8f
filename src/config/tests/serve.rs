//! What the command serve makes of its settings.

use super::accepted::effective;
use super::*;

/// The doors of a command line that begins with `serve`.
fn serve(case: &Case<'_>) -> ServeSettings {
    let mut case = case.clone();
    case.arguments.insert(0, "serve");
    case.run().settings.serve.unwrap()
}

#[test]
fn the_control_port_of_tor_takes_the_place_of_the_socks_port() {
    let usual = ListenAddress::Tcp(ListenAddress::SOCKS);
    let tcp = |host, port| ControlAddress::At(ProxyAddress::Tcp(address(host, port)));
    for (words, socks, control) in [
        (vec![], vec![usual.clone()], vec![]),
        (
            vec!["--tor-control=auto"],
            vec![],
            vec![ControlAddress::Auto],
        ),
        (
            vec!["--tor-control=auto", "--socks-listen=127.0.0.1:9250"],
            vec![usual],
            vec![ControlAddress::Auto],
        ),
        (
            vec![
                "--tor-control=127.0.0.1:9051",
                "--tor-control=localhost:9151",
                "--tor-control=[::1]:1",
                "--tor-control=unix:/run/tor/control",
                // The second time it is the same Tor.
                "--tor-control=127.0.0.1:9051",
            ],
            vec![],
            vec![
                tcp("127.0.0.1", 9051),
                tcp("localhost", 9151),
                tcp("::1", 1),
                ControlAddress::At(ProxyAddress::Unix("/run/tor/control".into())),
            ],
        ),
    ] {
        let serve = serve(&arguments(&words));
        assert_eq!((serve.socks, serve.control), (socks, control), "{words:?}");
        assert_eq!(serve.control_password, None);
    }
    // No other command has a door.
    let other = arguments(&["resolve", "a.bit", "--tor-control=auto"]).run();
    assert_eq!(other.settings.serve, None);
    // The command line replaces the list of the file.
    let mut case = file("tor-control = ['auto', 'unix:/run/a']");
    assert_eq!(serve(&case).control.len(), 2);
    case.arguments = vec!["--tor-control=127.0.0.1:1"];
    assert_eq!(serve(&case).control, [tcp("127.0.0.1", 1)]);
}

#[test]
fn the_password_of_the_control_port_is_taken_as_it_is_and_never_shown() {
    for case in [
        arguments(&["--tor-control=auto", "--tor-password=hunter2 \"\\"]),
        options(r#"tor-control=auto;tor-password=hunter2 "\\"#),
        file("tor-control = 'auto'\ntor-password = 'hunter2 \"\\'"),
    ] {
        let serve = serve(&case);
        let password = serve.control_password.as_ref().unwrap();
        assert_eq!(password.expose(), "hunter2 \"\\");
        assert!(!format!("{serve:?}").contains("hunter2"));
        let text = effective(&case);
        assert!(text.contains("#tor-password = (set)"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn plugins_for_other_suffixes() {
    for (text, suffix, command) in [
        ("a=b", "a", "b"),
        (".A-1.Bit= /bin/b  --c=d ", "a-1.bit", "/bin/b  --c=d"),
        ("bit=x", "bit", "x"),
        ("x.onion=x", "x.onion", "x"),
        ("1.a=x", "1.a", "x"),
    ] {
        let argument = format!("--naming-plugin={text}");
        let expected = PluginCommand {
            suffix: suffix.into(),
            command: command.into(),
        };
        assert_eq!(
            serve(&arguments(&[&argument])).plugins,
            [expected],
            "{text}"
        );
    }
    let list = "naming-plugin = ['a=b', 'c=d e']";
    let suffixes = |case: &Case<'_>| -> Vec<String> {
        let plugins = serve(case).plugins.into_iter();
        plugins.map(|plugin| plugin.suffix).collect()
    };
    assert_eq!(suffixes(&file(list)), ["a", "c"]);
    assert_eq!(
        suffixes(&options("naming-plugin=a=b;naming-plugin=c=d")),
        ["a", "c"]
    );
    // Another layer may have the same suffix: it replaces the list.
    let mut case = file(list);
    case.arguments = vec!["--naming-plugin=a=other"];
    assert_eq!(suffixes(&case), ["a"]);
}
