//! That a name has no value is said by two operators, whatever becomes of an
//! isolation id's connections meanwhile (spec/electrum.md, section 4.9).

use crate::support::electrum::Electrum;
use crate::support::electrum::Version::V1_15;
use crate::support::electrum::chain::Chain;
use crate::support::electrum::lies::Lie;
use crate::support::electrum_plugin::{FIRST_METHODS, ip, is_transient, ready, server};

/// Ids that keep connections; the next takes the place of the first.
const IDS: usize = 90;

fn chain() -> Chain {
    let mut chain = Chain::new();
    chain.mine(10);
    chain.register("d/example", ip("192.0.2.1"));
    chain.mine(20);
    chain
}

fn wait_asked(server: &Electrum, times: usize) {
    server.wait("it is asked", |log| {
        let requests = log.iter().flat_map(|connection| &connection.requests);
        let asked = requests.filter(|request| FIRST_METHODS.contains(&request.method.as_str()));
        asked.count() >= times
    });
}

/// One server hides the name, and the connections to the other break. The id
/// has lost its seats to others by then, and with them the memory of who
/// answered, so that the hiding server is asked again in the other's place.
#[test]
fn one_operator_that_is_asked_twice_is_one_operator() {
    let chain = chain();
    let [hiding, honest] = [(); 2].map(|()| server(V1_15, &chain));
    let mut plugin = ready(&[&hiding, &honest], &["--max-lookups=128", "--timeout=12"]);
    hiding.lie(Lie::Hidden);
    honest.lie_in(FIRST_METHODS[0], Lie::Silent);
    plugin.send("RESOLVE 1 example.bit victim");
    wait_asked(&hiding, 1);
    wait_asked(&honest, 1);
    for other in 0..IDS {
        plugin.send(&format!("RESOLVE {} example.bit other{other}", other + 2));
    }
    wait_asked(&honest, IDS + 1);
    honest.lie_in(FIRST_METHODS[0], Lie::CutLine);
    honest.disconnect();
    let answer = plugin.answer("1");
    assert!(is_transient(&answer), "{answer}");
}
