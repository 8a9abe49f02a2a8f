//! What an attacker can make of the life of a stream, and what it cannot.

use super::*;
use crate::door::tor::event::StreamStatus;
use crate::door::tor::stream::DISTURBED;

const NOW: fn() -> Instant = Instant::now;

/// Stands for the question for the list. [`Scene::run`] leaves no other of its kind.
const LIST: Do = Do::Settle(0);

fn claim(kind: Kind, target: &str) -> Claim {
    let (host, _) = target.rsplit_once(':').unwrap();
    Claim {
        kind,
        host: host.to_owned(),
        target: target.as_bytes().to_vec(),
        rest: b"NYM_EPOCH=0".to_vec(),
        client: None,
    }
}

fn listed(id: u64, target: &str, may_wait: bool) -> ListedStream<'_> {
    ListedStream {
        id,
        status: StreamStatus::New,
        may_wait,
        target: target.as_bytes(),
    }
}

/// Streams, and a Tor that does what it is asked to.
struct Scene {
    streams: Streams,
    done: Vec<Do>,
}

impl Default for Scene {
    fn default() -> Self {
        let streams = Streams {
            has_all: true,
            ..Streams::default()
        };
        let done = Vec::new();
        Self { streams, done }
    }
}

impl Scene {
    fn announce(&mut self, id: u64, kind: Kind, target: &str) {
        self.streams.announced(id, claim(kind, target), NOW());
    }

    fn wait(&mut self, id: u64, target: &str) {
        self.streams.waits(id, target.as_bytes(), b"NYM_EPOCH=0");
    }

    fn open(&mut self, id: u64, kind: Kind, target: &str) {
        self.announce(id, kind, target);
        self.wait(id, target);
    }

    /// Answers proofs: these ids exist. Gives everything else that is to be done.
    fn run(&mut self, alive: &[u64]) -> Vec<Do> {
        let mut others = Vec::new();
        loop {
            let todo = self.streams.take_todo();
            if todo.is_empty() {
                let begins = self.streams.begins_list().then_some(LIST);
                return others.into_iter().chain(begins).collect();
            }
            for what in todo {
                self.done.push(what.clone());
                match what {
                    Do::Probe(id) => {
                        let existence = match alive.contains(&id) {
                            true => Existence::Alive,
                            false => Existence::Gone,
                        };
                        self.streams.probed(id, existence, NOW());
                    }
                    Do::Settle(id) => self.streams.settled(id),
                    Do::Lookup(id, claim) => others.push(lookup(id, &claim.host)),
                    other => others.push(other),
                }
            }
        }
    }

    fn list(&mut self, list: &[ListedStream<'_>]) {
        let claim = |listed: &ListedStream<'_>| {
            let target = String::from_utf8_lossy(listed.target).into_owned();
            let kind = match target.as_str() {
                target if target.contains(".bit:") => Kind::Ours,
                target if target.contains(".exit:") => Kind::OfTor,
                _ => Kind::Ordinary,
            };
            claim(kind, &target)
        };
        self.streams.listed(Some(list), claim, NOW());
    }
}

/// A lookup whatever the claim says but for the name.
fn lookup(id: u64, name: &str) -> Do {
    Do::Lookup(id, claim(Kind::Ours, &format!("{name}:80")))
}

fn onion() -> Answer {
    Answer::Onion("x.onion".to_owned())
}

#[test]
fn an_ordinary_stream_is_attached_and_ours_is_redirected_first() {
    let mut scene = Scene::default();
    scene.open(17, Kind::Ordinary, "a.example:80");
    assert_eq!(scene.run(&[17]), [Do::Attach(17, true)]);
    scene.open(18, Kind::Ours, "a.bit:80");
    assert_eq!(scene.run(&[18]), [lookup(18, "a.bit")]);
    scene.streams.answered(18, onion());
    assert_eq!(scene.run(&[]), [Do::Redirect(18, "x.onion".to_owned())]);
    scene.streams.redirected(18, Existence::Alive, NOW());
    assert_eq!(scene.run(&[]), [Do::Attach(18, true)]);
    assert!(scene.streams.streams.is_empty());
}

#[test]
fn answers_end_a_stream_with_the_reason_that_fits() {
    let failed = |reason| vec![Do::Close(1, reason)];
    let redirected = |host: &str| vec![Do::Redirect(1, host.to_owned())];
    let text = || "why".to_owned();
    let cases = [
        (Kind::Ours, Answer::NoSuchName(text()), failed(2)),
        (Kind::Ours, Answer::NotNow(text()), failed(7)),
        (Kind::OursToResolve, onion(), failed(2)),
        (Kind::OursToResolve, Answer::NotNow(text()), failed(7)),
        (
            Kind::OursToResolve,
            Answer::Address([192, 0, 2, 1].into()),
            redirected("192.0.2.1"),
        ),
        (
            Kind::Ours,
            Answer::Address("2001:db8::1".parse().unwrap()),
            redirected("2001:db8::1"),
        ),
        (Kind::Ours, Answer::Host("a b".to_owned()), failed(1)),
        (Kind::Ours, Answer::Host("a\r\nQUIT".to_owned()), failed(1)),
    ];
    for (kind, answer, expected) in cases {
        let mut scene = Scene::default();
        scene.open(1, kind, "a.bit:80");
        scene.run(&[1]);
        scene.streams.answered(1, answer);
        assert_eq!(scene.run(&[]), expected);
    }
}

#[test]
fn a_stream_that_is_gone_costs_nothing_more() {
    let mut scene = Scene::default();
    scene.open(1, Kind::Ours, "a.bit:80");
    assert!(scene.run(&[]).is_empty());
    scene.open(2, Kind::Ours, "a.bit:80");
    scene.run(&[2]);
    scene.streams.closed(2);
    assert_eq!(scene.run(&[]), [Do::Cancel(2)]);
    scene.streams.answered(2, onion());
    assert!(scene.run(&[]).is_empty());
    scene.open(3, Kind::Ours, "a.bit:80");
    scene.run(&[3]);
    scene.streams.answered(3, onion());
    scene.run(&[]);
    scene.streams.redirected(3, Existence::Gone, NOW());
    assert!(scene.run(&[]).is_empty());
    assert!(scene.streams.streams.is_empty());
}

#[test]
fn a_forged_end_changes_nothing() {
    let mut scene = Scene::default();
    scene.announce(1, Kind::Ours, "a.bit:80");
    scene.streams.closed(1);
    scene.wait(1, "a.bit:80");
    scene.streams.closed(1);
    assert_eq!(scene.run(&[1]), [lookup(1, "a.bit")]);
    scene.streams.closed(1);
    assert!(scene.run(&[1]).is_empty());
    scene.streams.answered(1, onion());
    assert_eq!(scene.run(&[]), [Do::Redirect(1, "x.onion".to_owned())]);
}

/// A stream of a victim, a forged announcement before or after it, and the list
/// that Tor gives.
#[test]
fn a_contested_stream_gets_what_the_list_confirms() {
    for (kind, target) in [
        (Kind::Ordinary, "evil.example:80"),
        (Kind::Ours, "evil.bit:80"),
        // They agree with the true one in the target.
        (Kind::Bad, "bank.bit:80"),
        (Kind::OfTor, "bank.bit:80"),
        (Kind::OursToResolve, "bank.bit:80"),
    ] {
        for forged_first in [true, false] {
            let mut scene = Scene::default();
            if forged_first {
                scene.open(40, kind, target);
            }
            scene.open(40, Kind::Ours, "bank.bit:80");
            if !forged_first {
                scene.open(40, kind, target);
            }
            assert_eq!(scene.run(&[40]), [LIST]);
            // The attacker has a stream of its own whose target holds an item.
            scene.list(&[listed(40, "bank.bit:80", true), listed(40, target, true)]);
            assert!(scene.run(&[40]).is_empty());
            let later = NOW() + AGAIN;
            scene.streams.tick(later);
            assert_eq!(scene.run(&[40]), [LIST]);
            scene.list(&[listed(40, "bank.bit:80", true)]);
            assert_eq!(scene.run(&[40]), [lookup(40, "bank.bit")]);
        }
    }
}

/// What the stream is isolated by is in doubt if two announcements were made.
#[test]
fn a_contested_stream_has_an_id_of_its_own() {
    let forged = Claim {
        client: Some(b"127.0.0.9".to_vec()),
        ..claim(Kind::Ours, "bank.bit:80")
    };
    for count in [1, 8] {
        let mut scene = Scene::default();
        for number in 0..count {
            let client = Some(vec![number]);
            let claim = Claim {
                client,
                ..forged.clone()
            };
            scene.streams.announced(40, claim, NOW());
        }
        scene.open(40, Kind::Ours, "bank.bit:80");
        assert_eq!(scene.run(&[40]), [LIST]);
        let list = [listed(40, "bank.bit:80", true)];
        let claim = |_: &ListedStream<'_>| Claim {
            rest: Vec::new(),
            ..claim(Kind::Ours, "bank.bit:80")
        };
        scene.streams.listed(Some(&list), claim, NOW());
        let todo = scene.streams.take_todo();
        let [Do::Lookup(40, claim)] = todo.as_slice() else {
            panic!("{todo:?}");
        };
        assert_eq!((&claim.client, claim.rest.as_slice()), (&None, &b""[..]));
    }
}

/// The events of a stream whose target holds lines are cut short, and the
/// attacker chooses what they say: both lack what Tor writes behind the target.
#[test]
fn a_stream_that_waits_in_other_words_is_what_the_list_says() {
    for forged_first in [true, false] {
        let mut scene = Scene::default();
        let target = "evil.bit:80 PURPOSE=USER NYM_EPOCH=0";
        scene.announce(9, Kind::Ours, "evil.bit:80");
        if forged_first {
            scene.wait(9, "evil.bit:80");
        }
        let rest = b"PURPOSE=USER NYM_EPOCH=0";
        scene.streams.waits(9, b"evil.bit:80", rest);
        if !forged_first {
            scene.wait(9, "evil.bit:80");
        }
        while scene.run(&[9]) == [LIST] {
            let claim = |_: &ListedStream<'_>| claim(Kind::Bad, target);
            let list = [listed(9, target, true)];
            scene.streams.listed(Some(&list), claim, NOW());
        }
        assert_eq!(scene.done.last(), Some(&Do::Close(9, MISC)));
    }
}

/// What is only known to exist may have been announced again meanwhile.
#[test]
fn nothing_is_done_before_all_that_tor_had_written_was_read() {
    let mut scene = Scene::default();
    scene.open(9, Kind::Ours, "a.bit:80");
    assert_eq!(scene.streams.take_todo(), [Do::Probe(9)]);
    scene.streams.probed(9, Existence::Alive, NOW());
    assert_eq!(scene.streams.take_todo(), [Do::Settle(9)]);
    scene.announce(9, Kind::Ours, "b.bit:80");
    scene.streams.settled(9);
    assert_eq!(scene.run(&[9]), [LIST]);
}

/// The fields that isolate have to be those of the announcement.
#[test]
fn a_stream_that_waits_with_other_fields_is_in_doubt() {
    let mut scene = Scene::default();
    scene.announce(9, Kind::Ours, "a.bit:80");
    scene.streams.waits(9, b"a.bit:80", b"NYM_EPOCH=1");
    assert_eq!(scene.run(&[9]), [LIST]);
}

/// The fields that a lookup of `a.bit` has, if its stream is older than the
/// connection and was announced as something before the list was read.
fn fields_of_an_older_stream(kind: Kind, target: &str) -> Vec<u8> {
    let mut scene = Scene::default();
    scene.streams.has_all = false;
    scene.open(5, kind, target);
    assert_eq!(scene.run(&[5]), [LIST]);
    let list = [listed(5, "a.bit:80", true)];
    let claim = |_: &ListedStream<'_>| Claim {
        rest: Vec::new(),
        ..claim(Kind::Ours, "a.bit:80")
    };
    scene.streams.listed(Some(&list), claim, NOW());
    match scene.streams.take_todo().as_slice() {
        [Do::Lookup(5, claim)] => claim.rest.clone(),
        todo => panic!("{todo:?}"),
    }
}

/// Who announced it before may have made its fields up, even if the target is
/// right.
#[test]
fn fields_from_before_the_list_are_not_kept() {
    assert_eq!(fields_of_an_older_stream(Kind::Ours, "a.bit:80"), b"");
}

/// Until the list was read, an announcement may be one of a stream that is older
/// than the connection.
#[test]
fn what_was_announced_before_the_list_is_in_doubt() {
    let fields = fields_of_an_older_stream(Kind::Ordinary, "a.example:80");
    assert_eq!(fields, b"");
}

#[test]
fn a_stream_that_waits_is_not_forgotten_with_forged_announcements() {
    let mut scene = Scene::default();
    let begin = NOW();
    for number in 0..MAX_CLAIMS {
        let forged = claim(Kind::Ours, &format!("{number}.bit:80"));
        scene.streams.announced(1, forged, begin);
    }
    scene.open(1, Kind::Ours, "a.bit:80");
    let later = begin + ANNOUNCED + AGAIN;
    let other = claim(Kind::Ordinary, "a.example:80");
    scene.streams.announced(2, other, later);
    assert_eq!(scene.streams.take_todo(), [Do::Probe(1)]);
    assert!(scene.streams.begins_list());
    scene.list(&[listed(1, "a.bit:80", true)]);
    scene.streams.probed(1, Existence::Alive, later);
    assert_eq!(scene.run(&[1]), [lookup(1, "a.bit")]);
}

#[test]
fn many_forged_ends_cost_one_question() {
    let mut scene = Scene::default();
    scene.open(1, Kind::Ours, "a.bit:80");
    assert_eq!(scene.run(&[1]), [lookup(1, "a.bit")]);
    for _ in 0..2 {
        for _ in 0..2000 {
            scene.streams.closed(1);
        }
        assert_eq!(scene.streams.take_todo(), [Do::Probe(1)]);
        scene.streams.probed(1, Existence::Alive, NOW());
    }
}

/// Announcements of streams that do not exist do not make others suspect.
#[test]
fn a_flood_of_announcements_leaves_no_doubt() {
    let mut scene = Scene::default();
    let begin = NOW();
    let far = u64::MAX - 100_000;
    for id in far..far + 40_000 {
        scene
            .streams
            .announced(id, claim(Kind::Ours, "a.bit:80"), begin);
        scene.run(&[]);
    }
    scene.open(17, Kind::Ordinary, "a.example:80");
    assert_eq!(scene.run(&[17]), [Do::Attach(17, true)]);
    // A stream that Tor did not leave to us is remembered as one.
    scene.announce(18, Kind::Ordinary, "b.example:80");
    let later = begin + 2 * ANNOUNCED;
    scene
        .streams
        .announced(20, claim(Kind::Ordinary, "c.example:80"), later);
    scene.run(&[18, 20]);
    scene.open(18, Kind::Ours, "evil.bit:80");
    assert_eq!(scene.run(&[18]), [LIST]);
    scene.list(&[listed(18, "b.example:80", false)]);
    assert!(scene.run(&[18]).is_empty());
    scene.open(19, Kind::Ordinary, "c.example:80");
    assert_eq!(scene.run(&[19]), [Do::Attach(19, true)]);
}

/// The attacker announces streams that do not exist yet.
#[test]
fn a_forged_announcement_of_a_later_stream_is_forgotten_with_its_proof() {
    let mut scene = Scene::default();
    for _ in 0..3 {
        scene.open(40, Kind::Ordinary, "evil.example:80");
        assert!(scene.run(&[]).is_empty());
    }
    scene.open(40, Kind::Ours, "bank.bit:80");
    assert_eq!(scene.run(&[40]), [lookup(40, "bank.bit")]);
    // Once it is handled, no other counts.
    scene.open(40, Kind::Ours, "evil.bit:80");
    assert!(scene.run(&[40]).is_empty());
    scene.streams.answered(40, onion());
    scene.run(&[]);
    scene.streams.redirected(40, Existence::Alive, NOW());
    assert_eq!(scene.run(&[]), [Do::Attach(40, true)]);
    scene.announce(40, Kind::Ours, "evil.bit:80");
    scene.wait(40, "evil.bit:80");
    assert_eq!(scene.run(&[40]), [LIST]);
    scene.list(&[listed(40, "x.onion:80", false)]);
    assert!(scene.run(&[40]).is_empty());
}

#[test]
fn streams_from_before_are_believed_only_if_the_list_says_that_they_wait() {
    let mut scene = Scene::default();
    scene.streams.take_over();
    assert_eq!(scene.run(&[]), [LIST]);
    scene.list(&[
        listed(5, "a.example:80", true),
        listed(6, "b.example:80", false),
        listed(7, "a.bit:80", true),
    ]);
    // They are as old as the list: it is read once more.
    assert_eq!(scene.run(&[5, 6, 7]), [LIST]);
    scene.list(&[listed(5, "a.example:80", true), listed(7, "a.bit:80", true)]);
    assert_eq!(scene.run(&[]), [Do::Attach(5, false), lookup(7, "a.bit")]);
    // Another program's open stream is announced anew by an attacker.
    scene.open(6, Kind::Ours, "evil.bit:80");
    assert_eq!(scene.run(&[6]), [LIST]);
    scene.list(&[listed(6, "b.example:80", false)]);
    assert!(scene.run(&[6]).is_empty());
}

/// A stream comes after its proof was asked for, in vain, and before that is
/// known.
#[test]
fn a_stream_that_comes_while_it_is_asked_for_is_listed() {
    for (target, fades) in [
        ("evil.bit:80", false),
        ("bank.bit:80", false),
        ("bank.bit:80", true),
    ] {
        let mut scene = Scene::default();
        match fades {
            false => scene.open(40, Kind::Ours, target),
            true => {
                scene.announce(40, Kind::Ours, target);
                let later = NOW() + 2 * ANNOUNCED;
                scene
                    .streams
                    .announced(41, claim(Kind::Ordinary, "a.example:80"), later);
            }
        }
        assert_eq!(scene.streams.take_todo(), [Do::Probe(40)]);
        scene.open(40, Kind::Ours, "bank.bit:80");
        scene.streams.probed(40, Existence::Gone, NOW());
        let todo = scene.run(&[40]);
        assert_eq!(todo.last(), Some(&LIST), "{target} {fades}");
        scene.list(&[listed(40, "bank.bit:80", true)]);
        assert_eq!(scene.run(&[40]), [lookup(40, "bank.bit")]);
    }
}

/// A target can hold an item of the list with an id of the far future.
#[test]
fn an_item_that_is_forged_leaves_no_doubt() {
    let mut scene = Scene::default();
    scene.streams.take_over();
    scene.run(&[]);
    scene.list(&[
        listed(5, "a.example:80", false),
        listed(u64::MAX, "a:1", true),
        listed(u64::MAX - 1, "a:1", false),
    ]);
    assert!(scene.run(&[5]).is_empty());
    scene.open(6, Kind::Ordinary, "b.example:80");
    assert_eq!(scene.run(&[6]), [Do::Attach(6, true)]);
    scene.open(4, Kind::Ordinary, "b.example:80");
    assert_eq!(scene.run(&[4]), [LIST]);
}

/// Whatever is asked of a list that was sent before, only a later one can say.
#[test]
fn a_list_says_nothing_of_what_came_after_it_was_asked_for() {
    let mut scene = Scene::default();
    scene.open(17, Kind::Ordinary, "a.example:80");
    assert_eq!(scene.run(&[17]), [Do::Attach(17, true)]);
    scene.wait(99, "b.example:80");
    assert_eq!(scene.run(&[]), [LIST]);
    // Its circuit fails after Tor has written the list, and before that is read.
    scene.wait(17, "a.example:80");
    assert!(scene.run(&[]).is_empty());
    scene.list(&[listed(17, "a.example:80", false)]);
    assert_eq!(scene.run(&[]), [LIST]);
    scene.list(&[listed(17, "a.example:80", true)]);
    assert_eq!(scene.run(&[]), [Do::Attach(17, false)]);
    // The same with a stream that is contested meanwhile.
    scene.wait(99, "b.example:80");
    assert_eq!(scene.run(&[]), [LIST]);
    scene.open(18, Kind::Ours, "a.bit:80");
    scene.open(18, Kind::Ours, "evil.bit:80");
    assert!(scene.run(&[18]).is_empty());
    scene.list(&[]);
    assert_eq!(scene.run(&[]), [LIST]);
    scene.list(&[listed(18, "a.bit:80", true)]);
    assert_eq!(scene.run(&[]), [lookup(18, "a.bit")]);
}

#[test]
fn a_stream_that_tor_does_not_redirect_is_closed() {
    let mut scene = Scene::default();
    scene.streams.take_over();
    scene.run(&[]);
    scene.list(&[]);
    scene.open(1, Kind::Ours, "a.bit:80");
    scene.run(&[1]);
    scene.streams.answered(1, onion());
    scene.run(&[]);
    scene.streams.redirected(1, Existence::Refused, NOW());
    assert_eq!(scene.run(&[]), [Do::Close(1, 1)]);
}

#[test]
fn a_stream_that_waits_again_is_attached_unless_its_target_is_ours() {
    let mut scene = Scene::default();
    scene.open(1, Kind::Ordinary, "a.example:80");
    scene.run(&[1]);
    for (item, expected) in [
        (listed(1, "a.example:80", true), vec![Do::Attach(1, false)]),
        (listed(1, "a.example:80", false), vec![]),
        (listed(1, "a.bit:80", true), vec![]),
    ] {
        scene.wait(1, "a.example:80");
        assert_eq!(scene.run(&[]), [LIST]);
        scene.list(&[item]);
        assert_eq!(scene.run(&[]), expected);
    }
}

#[test]
fn tors_own_streams_are_left_alone() {
    let mut scene = Scene::default();
    let target = "127.0.0.1.$00.exit:1";
    scene.announce(9, Kind::OfTor, target);
    scene.open(9, Kind::Ours, "evil.bit:80");
    assert_eq!(scene.run(&[9]), [LIST]);
    scene.list(&[listed(9, target, true)]);
    assert!(scene.run(&[9]).is_empty());
}

#[test]
fn disturbed_steps_are_repeated_and_in_the_end_given_up() {
    let mut scene = Scene::default();
    scene.open(1, Kind::Ours, "a.bit:80");
    let mut now = NOW();
    for _ in 0..5 {
        assert_eq!(scene.streams.take_todo(), [Do::Probe(1)]);
        scene.streams.probed(1, Existence::Unclear, now);
        assert!(scene.streams.take_todo().is_empty());
        now = scene.streams.next_tick().unwrap();
        scene.streams.tick(now);
    }
    scene.run(&[1]);
    scene.streams.answered(1, onion());
    let redirect = Do::Redirect(1, "x.onion".to_owned());
    let begin = now;
    while now <= begin + DISTURBED {
        assert_eq!(scene.streams.take_todo(), std::slice::from_ref(&redirect));
        scene.streams.redirected(1, Existence::Unclear, now);
        now = scene.streams.next_tick().unwrap();
        scene.streams.tick(now);
    }
    scene.streams.take_todo();
    scene.streams.redirected(1, Existence::Unclear, now);
    assert_eq!(scene.streams.take_todo(), [Do::Close(1, 1)]);
}

/// However often the attacker has the list read, a contested stream has its 20
/// seconds.
#[test]
fn lists_that_others_cause_do_not_use_up_the_time_of_a_stream() {
    let mut scene = Scene::default();
    scene.open(40, Kind::Ours, "evil.bit:80");
    scene.open(40, Kind::Ours, "bank.bit:80");
    assert_eq!(scene.run(&[40]), [LIST]);
    let list = [
        listed(40, "bank.bit:80", true),
        listed(40, "evil.bit:80", true),
    ];
    for id in 100..3100 {
        scene.wait(id, "x.example:80");
        scene.list(&list);
        assert!(!scene.run(&[]).contains(&Do::Close(40, 1)));
    }
    scene.list(&[listed(40, "bank.bit:80", true)]);
    assert!(scene.run(&[]).contains(&lookup(40, "bank.bit")));
}

#[test]
fn virtual_addresses_lead_back_to_their_names() {
    let address: IpAddr = [127, 192, 0, 1].into();
    let is_ours = |name: &str| name.ends_with(".bit");
    let entry = |name: &str| (address, name.to_owned());
    for (mappings, expected) in [
        (vec![entry("a.bit")], lookup(1, "a.bit")),
        (vec![entry("a.onion")], Do::Attach(1, true)),
        (vec![], Do::Close(1, 1)),
        (vec![entry("a.bit"), entry("evil.bit")], Do::Close(1, 1)),
    ] {
        let mut scene = Scene::default();
        scene.open(1, Kind::Virtual, "127.192.0.1:80");
        assert_eq!(scene.run(&[1]), [Do::Mappings]);
        scene.streams.mapped(Some(&mappings), is_ours, NOW());
        assert_eq!(scene.run(&[]), [expected]);
    }
}

#[test]
fn announcements_without_end_cost_bounded_memory() {
    let mut scene = Scene::default();
    for id in 0..100_000 {
        scene.announce(id, Kind::Ours, "a.bit:80");
        for number in 0..8 {
            scene.announce(id, Kind::Ours, &format!("{number}.bit:80"));
        }
    }
    assert!(scene.streams.streams.len() <= 2 * MAX_STREAMS);
    assert_eq!(scene.streams.streams[&99_999].claims.len(), MAX_CLAIMS);
    for id in 0..100_000 {
        scene.wait(id, "other.bit:80");
    }
    assert!(scene.streams.unexpected.len() <= MAX_STREAMS);
}
