//! Virtual addresses, which Tor hands out to programs behind its TransPort.

use super::{Door, ONION};
use crate::support::tor_control::ModelTor;
use crate::support::tor_control::stream::{End, Stream, Wish, attached, closed};

/// Asks for the address of a name.
#[track_caller]
fn address_of(tor: &ModelTor, name: &str, wish: Wish) -> String {
    let question = tor.stream(Stream::dns(name, wish));
    let End::Answered(address) = question.end() else {
        panic!("{:?}", question.ends());
    };
    assert_eq!(tor.done_to(question.id), ["ATTACH 0"]);
    address
}

#[test]
fn a_virtual_address_leads_where_its_name_leads() {
    let tor = ModelTor::start();
    tor.automap(".exit,.bit");
    let _door = Door::start(&tor);
    for (name, target) in [
        ("onion.bit", format!("{ONION}:80")),
        ("ip.bit", "192.0.2.1:80".to_owned()),
        ("IP.BIT", "192.0.2.1:80".to_owned()),
        ("alias.bit", "www.example.com:80".to_owned()),
    ] {
        for wish in [Wish::A, Wish::Aaaa] {
            let address = address_of(&tor, name, wish);
            let address = address.trim_matches(['[', ']']);
            let stream = tor.stream(Stream::transparent(address, 80));
            assert_eq!(stream.end(), attached(&target), "{name} {address}");
            // SOCKS clients may have asked the DNSPort, too.
            let stream = tor.stream(Stream::connect(address, 80));
            assert_eq!(stream.end(), attached(&target), "{name} {address}");
        }
    }
    let address = address_of(&tor, "missing.bit", Wish::A);
    let stream = tor.stream(Stream::transparent(&address, 80));
    assert!(
        matches!(stream.end(), End::Closed(..)),
        "{:?}",
        stream.ends()
    );
    assert_eq!(tor.done_to(stream.id), ["CLOSE 2"]);
}

/// The addresses of other names are Tor's own business.
#[test]
fn a_virtual_address_of_another_name_is_attached() {
    let tor = ModelTor::start();
    tor.automap(".");
    let _door = Door::start(&tor);
    let address = address_of(&tor, "www.example.com", Wish::A);
    let stream = tor.stream(Stream::transparent(&address, 80));
    assert_eq!(stream.end(), attached("www.example.com:80"));
    assert_eq!(tor.done_to(stream.id), ["ATTACH 0"]);
    let stream = tor.stream(Stream::transparent("192.0.2.40", 80));
    assert_eq!(stream.end(), attached("192.0.2.40:80"));
    // One that Tor has given to nobody.
    let stream = tor.stream(Stream::transparent("127.205.85.200", 80));
    assert!(matches!(stream.end(), End::Closed(_, 1)));
}

/// Where Tor makes no addresses for names of ours, they are looked up.
#[test]
fn names_that_have_no_virtual_address_are_looked_up() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let ask = |name: &str| tor.stream(Stream::dns(name, Wish::A)).end();
    assert_eq!(ask("ip.bit"), End::Answered("192.0.2.1".to_owned()));
    assert_eq!(ask("onion.bit"), closed("RESOLVEFAILED", 2));
    tor.automap(".onion,.exit");
    assert_eq!(ask("ip.bit"), End::Answered("192.0.2.1".to_owned()));
}

/// A name with CR LF in it puts lines of its own into the list of addresses.
#[test]
fn a_list_of_addresses_with_forged_lines_misleads_nobody() {
    let tor = ModelTor::start();
    tor.automap(".bit");
    let ask = |name: &str| tor.stream(Stream::dns(name, Wish::A)).end();
    let End::Answered(address) = ask("onion.bit") else {
        panic!("{}", tor.story());
    };
    // Whoever asks for the name learns its address.
    for host in [
        format!("a\r\n{address} evil.bit NEVER\r\nb.bit"),
        format!("a\r\n{address} www.example.com NEVER\r\nb.bit"),
        format!("a NEVER\r\n{address} evil.bit NEVER\r\n192.0.2.1 b.bit"),
        format!("a\r\n.\r\n250 OK\r\n250+address-mappings/control=\r\n{address} evil.bit"),
        "a\r\n.\r\n250 OK\r\nb.bit".to_owned(),
    ] {
        assert!(matches!(ask(&host), End::Answered(_)));
    }
    let _door = Door::start(&tor);
    for stream in [
        Stream::transparent(&address, 80),
        Stream::connect(&address, 80),
    ] {
        let stream = tor.stream(stream);
        assert_eq!(stream.end(), attached(&format!("{ONION}:80")));
    }
}

/// The settings can change at any time.
#[test]
fn settings_that_change_are_read_again() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let before = tor.count("GETCONF");
    tor.automap(".bit");
    tor.wait_for("GETCONF", before + 1);
    let stream = tor.stream(Stream::connect("www.example.com", 80));
    assert_eq!(stream.end(), attached("www.example.com:80"));
    let address = address_of(&tor, "onion.bit", Wish::A);
    let stream = tor.stream(Stream::transparent(&address, 80));
    assert_eq!(stream.end(), attached(&format!("{ONION}:80")));
}
