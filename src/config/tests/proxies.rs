//! What goes through a proxy: nodes, servers, and questions to the name servers of
//! delegated names.

use super::*;

const PROXY: &str = "--proxy=127.0.0.1:9050";

#[test]
fn checks_the_proxy() {
    for bad in [
        "127.0.0.1",
        "[::1]",
        "localhost",
        "::1",
        "socks5://127.0.0.1:9050",
        ":9050",
        "",
    ] {
        let proxy = format!("--proxy={bad}");
        arguments(&["--rpc-address=a.onion", &proxy]).fails(&["proxy (command line)"]);
    }
    // A proxy elsewhere must be permitted, whatever is asked through it.
    for source in [
        "--rpc-address=a.onion",
        "--rpc-address=localhost",
        "--names-file=x",
    ] {
        let words = ["--proxy=192.0.2.1:9050", source];
        arguments(&words).fails(&["proxy (command line)", "another machine"]);
        arguments(&[&words[..], &["--allow-unproxied-node"]].concat()).run();
    }
    arguments(&[
        "--proxy=192.0.2.1:9050",
        "--names-file=x",
        "--delegations=off",
    ])
    .run();
    let warnings = |address: &str| {
        let address = format!("--rpc-address={address}");
        arguments(&["--proxy=[::1]:9050", &address]).run().warnings
    };
    assert_eq!(warnings("a.ONION:8336"), Vec::<String>::new());
    for clear in ["node.example.com", "192.0.2.1", "onion.example"] {
        let warnings = warnings(clear);
        assert_eq!(warnings.len(), 1, "{clear}");
        assert!(warnings[0].contains("sees the password"), "{warnings:?}");
    }
}

/// The proxies that a command line leads to: of the source, and for delegations.
fn proxies(words: &[&str]) -> (Option<ProxyAddress>, Option<ProxyAddress>) {
    let invocation = arguments(words).run();
    assert_eq!(invocation.warnings, [] as [String; 0], "{words:?}");
    let source = match invocation.settings.source {
        SourceSettings::Rpc(rpc) => rpc.proxy,
        SourceSettings::Electrum(electrum) => electrum.proxy,
        SourceSettings::NamesFile(_) => None,
    };
    (source, invocation.settings.delegations)
}

/// Without a proxy the question would leave this machine in the clear.
#[test]
fn delegations_are_followed_where_there_is_a_proxy() {
    let tor = || Some(ProxyAddress::tor());
    let local = "--electrum-server=127.0.0.1:1:t";
    let also_local = "--electrum-server=127.0.0.1:2:t";
    for (words, source, delegations) in [
        (vec![], None, None),
        (vec!["--names-file=n"], None, None),
        (
            vec!["--rpc-address=192.0.2.1", "--allow-unproxied-node"],
            None,
            None,
        ),
        (vec!["--network=regtest", local, also_local], None, None),
        // Tor does not connect to a node on this machine.
        (vec![PROXY], None, tor()),
        (vec![PROXY, "--rpc-address=localhost"], None, tor()),
        (vec![PROXY, "--names-file=n"], None, tor()),
        (vec![PROXY, "--rpc-address=a.onion"], tor(), tor()),
        (vec![PROXY, "--backend=electrum"], tor(), tor()),
        (
            vec![PROXY, "--network=regtest", local, also_local],
            tor(),
            tor(),
        ),
    ] {
        assert_eq!(
            proxies(&words),
            (source.clone(), delegations.clone()),
            "{words:?}"
        );
        let auto = [&words[..], &["--delegations=auto"]].concat();
        assert_eq!(proxies(&auto), (source.clone(), delegations), "{words:?}");
        for command in [
            &["resolve", "a.bit"][..],
            &["records", "a.bit"],
            &["check"],
            &["config"],
        ] {
            let auto = [command, &auto].concat();
            assert_eq!(proxies(&auto), proxies(&words), "{auto:?}");
        }
        // Off, a proxy that the node has no use for is a mistake.
        let off = [&words[..], &["--delegations=off"]].concat();
        match arguments(&off).read() {
            Ok(_) => assert_eq!(proxies(&off), (source, None), "{off:?}"),
            Err(error) => assert!(error.message.contains("on this machine"), "{error}"),
        }
    }
    let unix = ["--proxy=unix:/run/tor/socks"];
    let expected = Some(ProxyAddress::Unix("/run/tor/socks".into()));
    assert_eq!(proxies(&unix), (None, expected));
    assert_eq!(Settings::default().delegations, None);
}

#[test]
fn a_proxy_that_nothing_would_use_is_refused() {
    for node in [&[][..], &["--rpc-address=localhost"], &["--backend=rpc"]] {
        let words = [&[PROXY, "--delegations=off"], node].concat();
        arguments(&words).fails(&[
            "proxy (command line)",
            "on this machine",
            "delegations (command line) is off; set delegations to auto",
        ]);
    }
    let mut layers = file("delegations = 'off'");
    layers.options = Some("proxy=127.0.0.1:9050");
    layers.fails(&["proxy (TOR_NS_PLUGIN_OPTIONS)", "delegations (\""]);
    // A layer above follows them after all.
    layers.arguments = vec!["--delegations=auto"];
    let settings = layers.run().settings;
    assert_eq!(settings.delegations, Some(ProxyAddress::tor()));
}

/// The command serve goes through Tor in any case, even if its source does not.
#[test]
fn serve_follows_delegations_through_its_tor() {
    let tor = ProxyAddress::tor();
    let other = ProxyAddress::Tcp(address("127.0.0.1", 9150));
    for command in [&["serve"][..], &["check", "serve"]] {
        for source in [
            &[][..],
            &["--names-file=n"],
            &["--rpc-address=localhost"],
            &["--rpc-address=a.onion"],
            &["--backend=electrum"],
            &["--tor-control=auto"],
        ] {
            let words = [command, source].concat();
            for (more, expected) in [
                (&[][..], Some(&tor)),
                (&["--proxy=127.0.0.1:9150"], Some(&other)),
                // The streams use the proxy, so it is no mistake.
                (&["--proxy=127.0.0.1:9150", "--delegations=off"], None),
            ] {
                let words = [&words, more].concat();
                let (_, delegations) = proxies(&words);
                assert_eq!(delegations.as_ref(), expected, "{words:?}");
            }
        }
        let local = [command, &["--names-file=n", "--proxy=192.0.2.1:9050"]].concat();
        arguments(&local).fails(&["proxy (command line)", "another machine"]);
    }
}

#[test]
fn electrum_servers_are_asked_through_a_proxy() {
    let local = "--electrum-server=127.0.0.1:50001:t";
    for words in [
        vec!["--backend=electrum"],
        // On mainnet even a server on this machine: it need not be ours.
        vec![local],
        vec!["--electrum-server=a.onion:1:t"],
        vec!["--network=regtest", "--electrum-server=192.0.2.1:1:s"],
    ] {
        arguments(&words).fails(&[
            "(command line) is for Electrum servers",
            "set proxy to Tor's SOCKS port",
            "allow-unproxied-node",
        ]);
        let mut permitted = words.clone();
        permitted.push("--allow-unproxied-node");
        match permitted.iter().any(|word| word.contains("onion")) {
            true => drop(arguments(&permitted).fails(&["onion service", "proxy"])),
            false => drop(arguments(&permitted).run()),
        }
        let mut proxied = words.clone();
        proxied.push("--proxy=127.0.0.1:9050");
        arguments(&proxied).run();
    }
    arguments(&["--network=regtest", local]).run();
    arguments(&["--network=regtest", "--backend=electrum"]).fails(&["no public servers"]);
    arguments(&["--backend=electrum", "--proxy=192.0.2.1:9050"])
        .fails(&["proxy", "another machine"]);
}
