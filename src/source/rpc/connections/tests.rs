//! When connections close, with a clock of ours and with the real one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;

use super::*;

fn address(host: &str) -> NodeAddress {
    NodeAddress {
        host: host.to_owned(),
        port: 9050,
    }
}

fn id(text: &str) -> IsolationId {
    IsolationId::parse(text.as_bytes()).unwrap()
}

fn lookup(text: &str) -> Purpose {
    Purpose::Lookup(id(text))
}

fn proxied(linger: Range<u64>) -> Proxied {
    let proxy = ProxyAddress::Tcp(address("127.0.0.1"));
    Proxied::new(&address("node.onion"), &proxy, linger)
}

/// A request that is made at one moment and has ended at another.
fn request(proxied: &Proxied, purpose: &Purpose, begin: Instant, end: Instant) {
    let carrier = proxied.borrow(purpose, begin);
    proxied.give_back(purpose, carrier, end);
}

/// How many keep connections after those that are due were closed.
fn kept(proxied: &Proxied, now: Instant) -> usize {
    let mut sets = proxied.lock();
    sets.close(now);
    sets.active.len() + sets.forgotten.len()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// When the connections of so many ids close that all made a request at the
/// same moment.
fn ends(proxied: &Proxied, count: usize, begin: Instant) -> Vec<Duration> {
    for n in 0..count {
        request(proxied, &lookup(&n.to_string()), begin, begin);
    }
    let mut ends = Vec::new();
    loop {
        let due = proxied.lock().next_due();
        let Some(due) = due else {
            return ends;
        };
        let before = kept(proxied, due - Duration::from_nanos(1));
        assert_eq!(kept(proxied, due), before - 1, "closed together");
        ends.push(due - begin);
    }
}

#[test]
fn each_closes_at_a_moment_of_its_own() {
    let ends = ends(&proxied(0..1 << 40), 20, Instant::now());
    assert_eq!(ends.len(), 20);
}

/// As drawn for the real thing: between 25 and 85 seconds after the request,
/// and over all of that time.
#[test]
fn idle_connections_close_within_a_minute_after_they_are_of_no_use() {
    let begin = Instant::now();
    let mut halves = [0; 2];
    for n in 0..50 {
        let proxied = proxied(LINGER);
        request(&proxied, &lookup(&n.to_string()), begin, begin);
        let due = proxied.lock().next_due().unwrap() - begin;
        assert!(
            due >= MAX_IDLE_AGE && due < MAX_IDLE_AGE + seconds(60),
            "{due:?}"
        );
        halves[usize::from(due > MAX_IDLE_AGE + seconds(30))] += 1;
    }
    assert!(halves.iter().all(|count| *count > 5), "{halves:?}");
}

#[test]
fn the_time_counts_from_the_end_of_the_last_request() {
    let proxied = proxied(10_000..10_001);
    let begin = Instant::now();
    let carrier = proxied.borrow(&lookup("a"), begin);
    assert_eq!(kept(&proxied, begin + seconds(600)), 1, "under way");
    proxied.give_back(&lookup("a"), carrier, begin + seconds(600));
    assert_eq!(kept(&proxied, begin + seconds(609)), 1);
    let again = begin + seconds(609);
    request(&proxied, &lookup("a"), again, again);
    assert_eq!(kept(&proxied, begin + seconds(618)), 1);
    assert_eq!(kept(&proxied, begin + seconds(619)), 0);
}

#[test]
fn a_forgotten_id_gets_others_and_the_old_ones_close_later() {
    let proxied = proxied(85_000..85_001);
    let begin = Instant::now();
    let first = proxied.borrow(&lookup("a"), begin);
    proxied.forget(&id("a"), begin);
    assert_eq!(kept(&proxied, begin + seconds(60)), 1, "under way");
    let second = proxied.borrow(&lookup("a"), begin);
    assert!(!Arc::ptr_eq(&first.in_use, &second.in_use));
    proxied.give_back(&lookup("a"), first, begin);
    assert_eq!(kept(&proxied, begin + seconds(60)), 1, "the second");
    proxied.give_back(&lookup("a"), second, begin);
    // Forgetting delays nothing.
    proxied.forget(&id("a"), begin + seconds(84));
    assert_eq!(kept(&proxied, begin + seconds(85)), 0);
}

#[test]
fn no_more_keep_connections_than_permitted() {
    let proxied = proxied(LINGER);
    let begin = Instant::now();
    for n in 0..3 * MAX_KEPT {
        request(&proxied, &lookup(&n.to_string()), begin, begin);
        if n % 2 == 0 {
            proxied.forget(&id(&n.to_string()), begin);
        }
    }
    let sets = proxied.lock();
    assert_eq!(sets.active.len() + sets.forgotten.len(), MAX_KEPT);
}

/// The connections themselves, seen from their other end: they close one
/// after the other, though all ids made their request at once.
#[test]
fn the_other_end_sees_them_close_one_by_one() {
    const IDS: usize = 8;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = ProxyAddress::Tcp(NodeAddress {
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().unwrap().port(),
    });
    let (sender, closed) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let sender = sender.clone();
            thread::spawn(move || sender.send(until_closed(stream)));
        }
    });
    let node = address("node.onion");
    let proxied = Arc::new(Proxied::new(&node, &proxy, 100..2_000));
    let connections = Connections::Proxied(Arc::clone(&proxied));
    for n in 0..IDS {
        let purpose = lookup(&n.to_string());
        let carrier = connections.borrow(&purpose);
        let answer = carrier.agent.get("http://node.onion/").call();
        assert_eq!(answer.unwrap().body_mut().read_to_string().unwrap(), "ok");
        connections.give_back(&purpose, carrier);
    }
    let closed = closed.iter().take(IDS);
    let mut closed: Vec<Instant> = closed.map(Option::unwrap).collect();
    closed.sort_unstable();
    let apart = closed.windows(2).map(|pair| pair[1] - pair[0]);
    let apart = apart.filter(|gap| *gap > Duration::from_millis(10)).count();
    assert!(apart >= IDS / 2, "{closed:?}");
    let mut sets = proxied.lock();
    assert!(sets.is_watched && sets.active.is_empty());
    sets.close(Instant::now());
}

/// A proxy and the node behind it, for one request.
fn until_closed(mut stream: TcpStream) -> Option<Instant> {
    stream.set_read_timeout(Some(seconds(20))).unwrap();
    stream
        .write_all(&[5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
        .unwrap();
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .unwrap();
    let rest = stream.read_to_end(&mut Vec::new());
    rest.is_ok().then(Instant::now)
}
