//! Finding two operators among many dead servers: the model, with a clock that
//! the test moves, and the same with threads.

use rand::seq::SliceRandom;

use super::*;
use crate::source::electrum::sync::connect::DialSchedule;

/// As many servers of as many operators as are listed publicly.
const LISTED: [(&str, u16); 7] = [
    ("a", 16),
    ("b", 16),
    ("c", 5),
    ("d", 3),
    ("e", 2),
    ("f", 2),
    ("g", 1),
];

fn at(operator: &str, port: u16, host: &str) -> Server {
    let mut server = server(operator);
    server.address.host = format!("{operator}.{host}");
    server.address.port = port;
    server
}

fn listed() -> Vec<Server> {
    let servers = LISTED.iter().flat_map(|&(operator, count)| {
        (0..count).map(move |port| {
            let host = if port < 4 { "onion" } else { "example" };
            at(operator, port, host)
        })
    });
    servers.collect()
}

/// How long it takes until both of these are connected to: 5 s each, while all
/// the others hang.
fn time(record: &TrackRecord, alive: &[&Server], random: &mut StdRng) -> Duration {
    let begin = Instant::now();
    let mut now = begin;
    let order = record.order(&listed(), |_| false, |_| false, random);
    let mut schedule = DialSchedule::new(order, now);
    let mut running: Vec<(Instant, Server)> = Vec::new();
    let mut found = BTreeSet::new();
    while found.len() < alive.len() {
        while let Some(server) = schedule.due(now) {
            let takes = match alive.contains(&&server) {
                true => Duration::from_secs(5),
                false => record.limit(&server),
            };
            running.push((now + takes, server));
        }
        running.sort_by_key(|(end, _)| *end);
        let (end, server) = running.first().cloned().unwrap();
        match schedule.next_start().filter(|start| *start < end) {
            Some(start) => now = start,
            None => {
                now = end;
                running.remove(0);
                schedule.ended(now);
                if alive.contains(&&server) {
                    found.insert(server.operator.clone());
                    schedule.skip(|other| other.operator == server.operator);
                }
            }
        }
    }
    now - begin
}

/// Whichever two of the 45 they are.
#[test]
fn two_live_servers_of_45_are_found_within_75_seconds() {
    let servers = listed();
    assert_eq!(servers.len(), 45);
    let record = TrackRecord::default();
    let mut times = Vec::new();
    for seed in 0..4 {
        let mut random = StdRng::from_seed([seed; 32]);
        for (number, one) in servers.iter().enumerate() {
            for other in &servers[..number] {
                if one.operator != other.operator {
                    times.push(time(&record, &[one, other], &mut random));
                }
            }
        }
    }
    times.sort();
    let median = times[times.len() / 2];
    let longest = *times.last().unwrap();
    assert!(median <= Duration::from_secs(50), "{median:?}");
    assert!(longest <= Duration::from_secs(75), "{longest:?}");
}

#[test]
fn servers_that_failed_less_are_tried_first_and_an_onion_that_worked_before_others() {
    let mut random = StdRng::from_seed([1; 32]);
    let mut record = TrackRecord::default();
    let servers = listed();
    let [onion, clear] = [0, 5].map(|at| servers[at].clone());
    for server in &servers {
        record.failed(server);
    }
    record.worked(&clear);
    assert_eq!(
        record.order(&servers, |_| false, |_| false, &mut random)[0],
        clear
    );
    record.worked(&onion);
    let order = record.order(&servers, |_| false, |_| false, &mut random);
    assert_eq!(order[..2], [onion.clone(), clear.clone()]);
    // One of each operator after the other.
    let next: BTreeSet<_> = order[2..9].iter().map(|one| &one.operator).collect();
    assert!(next.len() >= 6, "{next:?}");
    let order = record.order(&servers, |server| *server == onion, |_| false, &mut random);
    assert_eq!((&order[0], &order[44]), (&clear, &onion));
}

#[test]
fn servers_that_are_known_to_answer_are_tried_before_others() {
    use Standing::{Alive, Dead};
    let mut random = StdRng::from_seed([1; 32]);
    let mut servers = listed();
    servers.iter_mut().for_each(|server| server.standing = Dead);
    servers[20].standing = Alive;
    let good = servers[40].clone();
    let order = TrackRecord::default().order(&servers, |_| false, |one| *one == good, &mut random);
    assert_eq!(order[..2], [good, servers[20].clone()]);
}

/// Dead onions do not come before servers of which nothing is known either.
#[test]
fn onions_are_no_better_before_one_has_worked() {
    let mut random = StdRng::from_seed([2; 32]);
    let record = TrackRecord::default();
    let first = |random: &mut StdRng| {
        let order = record.order(&listed(), |_| false, |_| false, random);
        let first = order.iter().find(|server| server.operator == "a");
        first.unwrap().address.is_onion()
    };
    let onions = (0..400).filter(|_| first(&mut random)).count();
    assert!((50..150).contains(&onions), "a quarter: {onions}");
}

#[test]
fn limits_grow_with_failures_and_shrink_with_success() {
    let (mut record, server) = (TrackRecord::default(), server("a"));
    let limit = |record: &TrackRecord| record.limit(&server).as_secs();
    assert_eq!(limit(&record), 15);
    for seconds in [30, 60, 60, 60] {
        record.failed(&server);
        assert_eq!(limit(&record), seconds);
    }
    record.worked(&server);
    assert_eq!(limit(&record), 15);
}

/// Forty hang until they are not wanted any more; two work.
#[test]
fn those_that_hang_do_not_hold_up_the_others() {
    let chain = trunk(20);
    let names: Vec<String> = (0..42).map(|number| format!("o{number}")).collect();
    let mut hosts: Vec<_> = names.iter().map(|name| Host::new(name, &chain)).collect();
    for host in &hosts[2..] {
        host.hangs.store(true, SeqCst);
    }
    hosts.shuffle(&mut StdRng::from_seed([3; 32]));
    // The two are among the first that are tried.
    let mut sim = Simulation::new(&hosts);
    for host in hosts.iter().filter(|host| host.hangs.load(SeqCst)).take(34) {
        sim.driver.record.failed(&host.server);
    }
    let begun = Instant::now();
    assert!(sim.connect_and_compare());
    assert!(begun.elapsed() < Duration::from_secs(12));
    assert_eq!(sim.ledger.status().operators, ["o0", "o1"]);
    assert!(
        sim.net.backed_off.lock().unwrap().is_empty(),
        "nobody failed"
    );
}

/// They connect, and that is all: each is replaced by the next at once.
#[test]
fn servers_whose_chain_cannot_be_compared_are_replaced() {
    let chain = trunk(20);
    let names = ["a", "b", "c", "d", "e", "f"];
    let hosts = names.map(|name| Host::new(name, &chain));
    for host in &hosts[..4] {
        host.set(&parted(&chain, 10, 12, 1));
        host.play(|_, _, _, _| Some(Err(PeerError::TimedOut)));
    }
    let mut sim = Simulation::new(&hosts);
    assert!(sim.connect_and_compare(), "at the first attempt");
    assert_eq!(sim.ledger.status().operators, ["e", "f"]);
    let backed_off: BTreeSet<_> = {
        let backed_off = sim.net.backed_off.lock().unwrap();
        backed_off.iter().map(|one| one.operator.clone()).collect()
    };
    assert!(
        backed_off
            .iter()
            .all(|one| ["a", "b", "c", "d"].contains(&one.as_str()))
    );
    assert!(hosts.iter().all(|host| host.opened() <= 2));
}

/// Of an operator with several addresses, one that is alive is enough.
#[test]
fn several_servers_of_an_operator_are_tried() {
    let chain = trunk(20);
    let mut hosts: Vec<_> = (0..6)
        .map(|port| Host::at(at("a", port, "example"), &chain))
        .collect();
    hosts.push(Host::new("b", &chain));
    for host in &hosts[..5] {
        host.is_down.store(true, SeqCst);
    }
    let mut sim = Simulation::new(&hosts);
    assert!(sim.connect_and_compare());
    assert_eq!(sim.ledger.status().operators, ["a", "b"]);
}

/// A liar that is always the first to connect does not keep others out.
#[test]
fn a_slow_honest_server_is_found_behind_a_quick_liar() {
    let chain = trunk(20);
    let hosts = ["a", "liar", "slow"].map(|name| Host::new(name, &chain));
    hosts[1].set(&parted(&chain, 10, 12, 1));
    hosts[1].play(|_, _, _, _| Some(Err(PeerError::Lied("nonsense".into()))));
    hosts[2].hangs.store(true, SeqCst);
    let mut sim = Simulation::new(&hosts);
    let slow = Arc::clone(&hosts[2]);
    let net = Arc::clone(&sim.net);
    // It comes about once the liar has been found out.
    let waiting = std::thread::spawn(move || {
        for _ in 0..2000 {
            if !net.banned.lock().unwrap().is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        slow.hangs.store(false, SeqCst);
    });
    assert!(sim.connect_and_compare(), "at the first attempt");
    waiting.join().unwrap();
    assert_eq!(sim.ledger.status().operators, ["a", "slow"]);
    assert!(hosts[1].opened() <= 2);
}

/// Hosts of these operators, of which none is trusted before it was met twice.
fn untrusted(names: &[&str]) -> Vec<Arc<Host>> {
    let chain = trunk(3);
    let hosts = names.iter().map(|name| Host::new(name, &chain));
    hosts
        .inspect(|host| host.is_stranger.store(true, SeqCst))
        .collect()
}

fn opened(hosts: &[Arc<Host>]) -> usize {
    hosts.iter().map(|host| host.opened()).sum()
}

/// Requests for headers.
fn asked(hosts: &[Arc<Host>]) -> usize {
    hosts.iter().map(|host| host.requests().len()).sum()
}

/// Lets the next look come at once, so many times.
fn probe(sim: &mut Simulation, times: usize) {
    for _ in 0..times {
        sim.driver.next_probe = sim.driver.next_probe.map(|_| Instant::now());
        sim.driver.probe();
    }
}

#[test]
fn strangers_are_met_until_eight_are_trusted() {
    let hosts = untrusted(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
    let mut sim = Simulation::new(&hosts);
    // What gives the headers becomes trusted by that.
    assert!(sim.connect_and_compare());
    assert_eq!(opened(&hosts), 4);
    let before = asked(&hosts);
    let first = Instant::now();
    probe(&mut sim, 1);
    assert_eq!(opened(&hosts), 4, "the others have time");
    assert!(sim.driver.next_probe.unwrap() >= first + Duration::from_secs(120));
    probe(&mut sim, 6);
    assert_eq!(opened(&hosts), 16, "two connections to each");
    probe(&mut sim, 10);
    assert_eq!(opened(&hosts), 16);
    assert_eq!(asked(&hosts), before, "nothing is fetched from the others");
}

/// While lookups lack an operator it is looked for at once, and soon again if
/// it cannot be reached.
#[test]
fn an_operator_that_is_missing_is_looked_for() {
    let hosts = untrusted(&["a", "b"]);
    hosts[0].is_stranger.store(false, SeqCst);
    hosts[1].is_down.store(true, SeqCst);
    let mut sim = Simulation::new(&hosts);
    sim.driver.record.worked(&hosts[0].server);
    probe(&mut sim, 1);
    let soon = Instant::now() + Duration::from_secs(30);
    assert!(sim.driver.next_probe.unwrap() <= soon);
    hosts[1].is_down.store(false, SeqCst);
    probe(&mut sim, 1);
    assert_eq!([hosts[0].opened(), hosts[1].opened()], [0, 2]);
}

/// Servers that need no certificate may be dead all the same.
#[test]
fn trust_that_was_never_exercised_is_not_enough() {
    let chain = trunk(3);
    let mut hosts: Vec<_> = (0..9)
        .map(|number| Host::new(&format!("dead{number}"), &chain))
        .collect();
    for host in &hosts {
        host.is_down.store(true, SeqCst);
    }
    hosts.extend(untrusted(&["a", "b", "c"]));
    let mut sim = Simulation::new(&hosts);
    while !sim.connect_and_compare() {}
    probe(&mut sim, 11);
    assert!(hosts[9..].iter().all(|host| host.opened() >= 2));
}

#[test]
fn there_is_a_pause_between_two_looks() {
    let hosts = untrusted(&["a", "b", "c"]);
    let mut sim = Simulation::new(&hosts);
    (0..5).for_each(|_| sim.driver.probe());
    assert_eq!(opened(&hosts), 2);
}
