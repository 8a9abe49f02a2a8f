//! Fifteen faults of an earlier naming client, each as what is promised here.
//! Faults 1, 2, 3, 4 and 8 ended its reader for good.

use std::time::Instant;

use super::{Door, EVIL, ONION};
use crate::support::node::{Reply, value};
use crate::support::serve::node;
use crate::support::tor_control::stream::{End, Stream, Wish, attached, closed};
use crate::support::tor_control::{ModelTor, When};

#[track_caller]
fn works(tor: &ModelTor) {
    let stream = tor.stream(Stream::connect("ip.bit", 80));
    assert_eq!(stream.end(), attached("192.0.2.1:80"));
}

#[test]
fn fault_1_clients_may_close_before_their_answer() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    for number in 0..300 {
        let host = ["ip.bit", "onion.bit", "missing.bit"][number % 3];
        let stream = tor.stream(Stream::connect(host, 80).user(format!("{number}"), ""));
        // At whatever moment this is.
        for _ in 0..number % 7 {
            std::thread::yield_now();
        }
        stream.client_closes();
    }
    works(&tor);
}

#[test]
fn fault_2_a_question_for_an_onion_service_is_refused() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    for _ in 0..3 {
        let resolve = tor.stream(Stream::resolve("onion.bit"));
        assert_eq!(resolve.end(), closed("RESOLVEFAILED", 4));
        let dns = tor.stream(Stream::dns("onion.bit", Wish::A));
        assert_eq!(dns.end(), closed("RESOLVEFAILED", 2));
    }
    works(&tor);
}

#[test]
fn fault_3_a_question_for_the_other_kind_of_address_is_refused() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    for (host, wish) in [("ip.bit", Wish::Aaaa), ("six.bit", Wish::A)] {
        let question = tor.stream(Stream::dns(host, wish));
        assert!(matches!(question.end(), End::Closed(_, 2)), "{host}");
    }
    // The getaddrinfo of programs asks both.
    let both = tor.streams([
        Stream::dns("ip.bit", Wish::A),
        Stream::dns("ip.bit", Wish::Aaaa),
    ]);
    assert_eq!(both[0].end(), End::Answered("192.0.2.1".to_owned()));
    assert!(matches!(both[1].end(), End::Closed(_, 2)));
    works(&tor);
}

#[test]
fn fault_4_an_answer_that_the_listener_forbids_is_refused() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    for (flag, host) in [
        ("NoIPv6Traffic", "six.bit"),
        ("OnionTrafficOnly", "ip.bit"),
        ("NoOnionTraffic", "onion.bit"),
        ("NoDNSRequest", "alias.bit"),
    ] {
        let stream = tor.stream(Stream::connect(host, 80).forbidding(flag));
        assert_eq!(stream.end(), closed(" UNKNOWN_264", 2), "{flag}");
    }
    works(&tor);
}

#[test]
fn fault_5_every_spelling_of_a_name_is_ours() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    for host in ["ip.BIT", "IP.bit", "ip.bit.", "Ip.BiT.", "www.ip.bit"] {
        let stream = tor.stream(Stream::connect(host, 80));
        match host {
            "www.ip.bit" => assert_eq!(stream.end(), closed("RESOLVEFAILED", 4)),
            _ => assert_eq!(stream.end(), attached("192.0.2.1:80"), "{host}"),
        }
    }
    for host in ["wikileaks.bit.onion", "WIKILEAKS.bit.Onion."] {
        let stream = tor.stream(Stream::connect(host, 80));
        assert_eq!(stream.end(), attached(&format!("{ONION}:80")), "{host}");
    }
    for host in ["bit", "bit.", "BIT", "bit.onion", "BIT.ONION."] {
        let stream = tor.stream(Stream::connect(host, 80));
        assert!(matches!(stream.end(), End::Closed(..)), "{host}");
    }
}

#[test]
fn fault_6_names_that_fail_delay_no_others() {
    let tor = ModelTor::start();
    let node = node(&[("d/good", r#"{"ip":"192.0.2.9"}"#)]);
    for number in 0..20 {
        node.script(&format!("d/bad{number}"), [Reply::Recorded("warming up")]);
    }
    let _door = Door::with_node(&tor, &node, &["--timeout", "60"]);
    let user = |stream: Stream, number: usize| stream.user(format!("{number}"), "");
    let failing: Vec<_> = (0..20)
        .map(|number| {
            let stream = Stream::connect(format!("bad{number}.bit"), 80);
            tor.stream(user(stream, number))
        })
        .collect();
    node.wait_for("d/bad19", 1);
    for number in 0..20 {
        let stream = tor.stream(user(Stream::connect("good.bit", 80), 100 + number));
        assert_eq!(stream.end(), attached("192.0.2.9:80"));
    }
    // Those still had time left.
    assert!(failing.iter().all(|stream| stream.waits()));
}

#[test]
fn fault_7_clients_at_different_addresses_have_different_ids() {
    let tor = ModelTor::start();
    let node = node(&[("d/site", r#"{"ip":"192.0.2.6"}"#)]);
    let _door = Door::with_node(&tor, &node, &[]);
    for (count, source) in [(1, "127.0.0.1:9"), (2, "127.0.0.2:9"), (2, "127.0.0.1:8")] {
        tor.stream(Stream::connect("site.bit", 80).from(source))
            .end();
        assert_eq!(node.count("d/site"), count);
    }
}

#[test]
fn fault_8_listeners_of_one_group_share_no_id_that_tor_keeps_apart() {
    let tor = ModelTor::start();
    let node = node(&[("d/site", r#"{"ip":"192.0.2.6"}"#)]);
    let _door = Door::with_node(&tor, &node, &[]);
    let lax = "CLIENTADDR,SESSION_GROUP,NYM_EPOCH";
    let stream = |user: &str| Stream::connect("site.bit", 80).user(user, "").group(5);
    tor.stream(stream("alice").fields(lax)).end();
    tor.stream(stream("bob").fields(lax)).end();
    assert_eq!(node.count("d/site"), 1);
    tor.stream(stream("alice")).end();
    tor.stream(stream("bob")).end();
    assert_eq!(node.count("d/site"), 3);
}

#[test]
fn fault_9_what_answers_may_go_away_and_come_back() {
    let tor = ModelTor::start();
    let node = node(&[]);
    let good = r#"{"ip":"192.0.2.9"}"#;
    node.script(
        "d/site",
        [Reply::Close, Reply::Close, Reply::Half, value(good)],
    );
    let _door = Door::with_node(&tor, &node, &[]);
    let stream = tor.stream(Stream::connect("site.bit", 80));
    assert_eq!(stream.end(), attached("192.0.2.9:80"));
}

#[test]
fn fault_10_streams_that_waited_before_the_start_are_served() {
    let tor = ModelTor::start();
    tor.set_leave("1");
    let ours = tor.stream(Stream::connect("ip.bit", 80));
    let ordinary = tor.stream(Stream::connect("www.example.com", 80));
    let _door = Door::start(&tor);
    assert_eq!(ours.end(), attached("192.0.2.1:80"));
    assert_eq!(ordinary.end(), attached("www.example.com:80"));
}

#[test]
fn fault_11_no_program_redirects_the_stream_of_another() {
    let tor = ModelTor::start();
    let node = node(&[("d/bank", r#"{"ip":"192.0.2.2"}"#)]);
    node.set("d/evil", &format!(r#"{{"ip":"{EVIL}"}}"#));
    node.hold("d/bank");
    let _door = Door::with_node(&tor, &node, &[]);
    let victim = tor.stream(Stream::connect("bank.bit", 80).user("victim", "v"));
    node.wait_for("d/bank", 1);
    let line = format!("650 STREAM {} CONTROLLER_WAIT 0 evil.bit:80", victim.id);
    let hosts = [
        format!("a\r\n{line} NYM_EPOCH=0 ISO_FIELDS=NYM_EPOCH\r\n650 X"),
        format!("a\r\n{line} X=1\r\n650 X"),
    ];
    for host in hosts {
        tor.stream(Stream::connect(&host, 80)).end();
        assert!(matches!(
            tor.stream(Stream::dns(&host, Wish::A)).end(),
            End::Closed(..)
        ));
    }
    node.release("d/bank");
    assert_eq!(victim.end(), attached("192.0.2.2:80"));
    assert_eq!(tor.done_to(victim.id), ["REDIRECT 192.0.2.2", "ATTACH 0"]);
    assert_eq!(node.count("d/evil"), 0);
}

#[test]
fn fault_12_a_redirection_that_tor_refuses_is_not_attached() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let command = format!("REDIRECTSTREAM {}", tor.next_id());
    tor.when(&command, When::Replies("512 Cannot parse port \"x\""));
    let stream = tor.stream(Stream::connect("ip.bit", 80));
    tor.wait_for(&command, 1);
    works(&tor);
    assert!(!tor.done_to(stream.id).contains(&"ATTACH 0".to_owned()));
    stream.client_closes();
}

/// Each of many ids costs memory, and only so many are remembered.
#[cfg(target_os = "linux")]
#[test]
fn fault_13_memory_does_not_grow_with_every_id() {
    let tor = ModelTor::start();
    let door = Door::start(&tor);
    let mut number = 0;
    let mut round = || {
        for _ in 0..25 {
            let streams = tor.streams((0..200).map(|_| {
                number += 1;
                Stream::connect("ip.bit", 80).user(format!("user{number}"), "")
            }));
            for stream in &streams {
                assert_eq!(stream.end(), attached("192.0.2.1:80"));
                stream.client_closes();
            }
        }
        door.process.status_of("VmRSS:")
    };
    let first = round();
    let second = round();
    // 5,000 ids of the other client: 6,500 KiB.
    assert!(second.saturating_sub(first) < 3000, "{first} {second}");
}

#[test]
fn fault_14_two_hundred_streams_at_once_take_a_few_round_trips() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let before = tor.batches();
    let begun = Instant::now();
    let streams = tor.streams((0..200).map(|_| Stream::connect("www.example.com", 80)));
    for stream in &streams {
        assert_eq!(stream.end(), attached("www.example.com:80"));
    }
    let batches = tor.batches() - before;
    assert!(batches < 40, "{batches} in {:?}", begun.elapsed());
}

#[test]
fn fault_15_it_goes_on_when_tor_restarts() {
    let tor = ModelTor::start();
    let mut door = Door::start(&tor);
    tor.stop();
    door.process.complaint("cannot be used");
    tor.start_again();
    tor.wait_until_taken_over();
    works(&tor);
    door.process.signal("TERM");
    assert_eq!(door.process.wait().code(), Some(0));
}
