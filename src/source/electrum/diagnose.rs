//! What the source reports about itself: `check`, the progress of the first
//! synchronisation, and a new checkpoint.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::discovery::DISCOVERED;
use super::fetch::Backend;
use super::servers::Server;
use super::state_dir::{SET_STATE_DIRECTORY, Storage};
use super::sync::{Ledger, NEWEST, NotReadyError, Status, UnprovenHeaders};
use crate::chain::network::{Checkpoint, RETARGET_INTERVAL};
use crate::chain::sample::SAMPLE_SIZE;
use crate::config::settings::ProxyAddress;
use crate::isolation::IsolationId;
use crate::snapshot::{FetchError, FetchErrorKind};
use crate::source::Bounds;
use crate::source::diagnosis::{Finding, Health, Milestone, MilestoneError, Progress, Stage};
use crate::text::Age;

/// How long to wait for the first sign of any server. Where none comes, nobody
/// waits as long as a first synchronisation may take.
pub(super) const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until lookups would work or the time is up, and reports.
pub(super) fn check(
    backend: &Backend,
    storage: &Storage,
    proxy: Option<&ProxyAddress>,
    servers: &[Server],
    bounds: &Bounds,
) -> Vec<Finding> {
    // The reason for a failure is found below.
    let works = wait_until_usable(&backend.ledger, bounds, SILENCE_TIMEOUT).is_ok();
    let status = backend.ledger.status();
    let operators = operators(&status, servers, works, proxy.is_some());
    let headers = headers(&status, operators.health == Health::Fail);
    let mut found = vec![operators, headers, state(storage)];
    let mut result = None;
    if works {
        match connect(backend, bounds) {
            Ok(connect) => {
                found.push(can_ask(&connect));
                result = Some(summary(&connect, age(&backend.ledger)));
            }
            Err(failure) => found.push(Finding::fail(
                "lookups",
                failure.to_string(),
                "try again with a greater --timeout, or name other servers with electrum-server",
            )),
        }
    }
    found.push(match proxy {
        Some(proxy) if !has_heard(&status) => Finding::warn(
            "proxy",
            format!("{proxy}: nothing has come through it yet"),
            "see above whether it is the proxy or the servers",
        ),
        Some(proxy) => Finding::ok(
            "proxy",
            format!("{proxy}, with credentials of their own for each connection"),
        ),
        None => Finding::warn(
            "proxy",
            "none: servers see who asks",
            "set proxy to Tor's SOCKS port, such as 127.0.0.1:9050",
        ),
    });
    found.extend(result);
    found
}

/// Waits until lookups may rely on the headers; returns the newest height.
/// Gives up if no server has sent anything after `silence`.
pub(super) fn wait_until_usable(
    ledger: &Ledger,
    bounds: &Bounds,
    silence: Duration,
) -> Result<u32, FetchError> {
    let first = Bounds {
        deadline: bounds.deadline.min(Instant::now() + silence),
        ..bounds.clone()
    };
    match ledger.wait(&first) {
        Err(_) if has_heard(&ledger.status()) => ledger.wait(bounds),
        settled => settled,
    }
}

/// Whether any server has sent anything about its chain.
fn has_heard(status: &Status) -> bool {
    status.target > 0 || !status.operators.is_empty()
}

fn operators(status: &Status, servers: &[Server], works: bool, is_proxied: bool) -> Finding {
    let known: BTreeSet<_> = servers.iter().map(|server| &server.operator).collect();
    let heard = status.operators.join(", ");
    if !works && let Some(missing) = missing(status) {
        return Finding::fail(
            "servers",
            missing,
            "block headers count when servers of two operators have sent them: see that each \
             server runs and that its address is right, try again later, or name another in its \
             place with electrum-server",
        );
    }
    match (status.operators.len(), known.len()) {
        (0, _) if status.trouble.is_none() && has_heard(status) => Finding::ok(
            "servers",
            "block headers are arriving; chains are compared at the end",
        ),
        (0, _) => Finding::fail(
            "servers",
            status
                .trouble
                .clone()
                .unwrap_or_else(|| match status.silent.join(", ") {
                    silent if silent.is_empty() => "none has answered yet".to_owned(),
                    silent => format!("{silent} does not answer"),
                }),
            match is_proxied {
                true => {
                    "is Tor running, and is proxy its SOCKS port (9050; Tor Browser: 9150)? \
                     With __LeaveStreamsUnattached 1 in torrc StemNS must run too. \
                     Otherwise try again later, or name other servers with electrum-server"
                }
                false => "try again later, or name other servers with electrum-server",
            },
        ),
        (_, 1) => Finding::warn(
            "servers",
            format!("{heard} alone answers, and alone says which names exist"),
            "name a server of somebody else with electrum-server",
        ),
        (1, _) if works => Finding::warn(
            "servers",
            format!(
                "{heard} alone answers: it cannot make values up, but it could hide a name or \
                 its newest value"
            ),
            "try again later, or name a server of somebody else with electrum-server",
        ),
        (1, _) => Finding::fail(
            "servers",
            match &status.trouble {
                Some(trouble) => format!("{heard} answers; another operator must too. {trouble}"),
                None => format!("{heard} answers; another operator must too"),
            },
            "try again later, or name other servers with electrum-server",
        ),
        _ if status.operators.iter().any(|one| one == DISCOVERED) => Finding::warn(
            "servers",
            format!(
                "{heard} answer: the other might run the discovered one: they cannot make values \
                 up, but could hide a name or its newest value"
            ),
            "try again later, or name a server of somebody else with electrum-server",
        ),
        _ => Finding::ok("servers", format!("{heard} answer")),
    }
}

/// Who answers and who does not, if too few operators do.
fn missing(status: &Status) -> Option<String> {
    let is_enough = status.met.len() >= status.needed;
    if status.met.is_empty() || is_enough || status.silent.is_empty() {
        return None;
    }
    let (met, silent) = (status.met.join(", "), status.silent.join(", "));
    let answers = match status.silent.len() {
        1 => format!("{met} answers, {silent} does not"),
        _ => format!("{met} answers, none of {silent} does"),
    };
    Some(match &status.trouble {
        Some(trouble) => format!("{answers}. {trouble}"),
        None => answers,
    })
}

/// `is_short` if missing servers have already been reported.
fn headers(status: &Status, is_short: bool) -> Finding {
    let tip = status.tip.unwrap_or_default();
    match &status.obstacle {
        None => Finding::ok("headers", format!("verified up to block {tip}")),
        Some(NotReadyError::Trouble(_)) => {
            Finding::fail("headers", "none can be fetched", "see the servers above")
        }
        Some(obstacle) if is_short || !has_heard(status) => {
            Finding::fail("headers", obstacle.to_string(), "see the servers above")
        }
        Some(obstacle) => Finding::fail(
            "headers",
            obstacle.to_string(),
            "wait: a first synchronisation takes some minutes; a greater --timeout lets check wait \
             longer",
        ),
    }
}

/// Opens the connections that an isolation id would have, asks nothing on them,
/// and returns their servers.
fn connect(backend: &Backend, bounds: &Bounds) -> Result<Vec<Server>, FetchError> {
    let isolation = IsolationId::shared();
    let servers = (0..backend.pool.slots())
        .map(|index| {
            let link = backend.pool.slot(&isolation, index, bounds)?;
            Ok(link.server().clone())
        })
        .collect();
    backend.pool.forget(&isolation);
    servers
}

fn can_ask(servers: &[Server]) -> Finding {
    let servers: Vec<_> = servers.iter().map(Server::to_string).collect();
    let text = format!("an isolation id can ask {}", servers.join(" and "));
    Finding::ok("lookups", text)
}

/// How names are looked up at these servers, and how old the newest block is.
fn summary(servers: &[Server], age: Age) -> Finding {
    let operators: BTreeSet<_> = servers.iter().map(|one| one.operator.as_str()).collect();
    let operators: Vec<_> = operators.into_iter().collect();
    Finding::result(match operators.as_slice() {
        [only] => format!(
            "at one operator ({only}), which cannot make values up, but could hide a name or its \
             newest value; the newest block is {age}"
        ),
        all if all.contains(&DISCOVERED) => format!(
            "at two operators ({}), of which one might run the other: they cannot make values up, \
             but could hide a name or its newest value; the newest block is {age}",
            all.join(", ")
        ),
        all => format!(
            "at two operators ({}), whose answers are compared; the newest block is {age}",
            all.join(", ")
        ),
    })
}

/// How old the newest block is. One may be ahead of the clock.
fn age(ledger: &Ledger) -> Age {
    let headers = ledger.headers();
    let time = headers.tip().map_or(0, |(_, header)| header.time);
    Age {
        seconds: ledger.now().saturating_sub(time.into()),
    }
}

fn state(storage: &Storage) -> Finding {
    match storage {
        Storage::Directory(path) => {
            Finding::ok("state", format!("headers are kept in {}", path.display()))
        }
        Storage::InUse(path, why) => Finding::warn(
            "state",
            format!("nothing is written to {}: {why}", path.display()),
            "nothing has to be done if that process is the plugin",
        ),
        Storage::ReadOnly(path, why) => Finding::warn(
            "state",
            format!("nothing is written to {}: {why}", path.display()),
            "block headers are not kept: let this user write there, or set state-directory to \
             another directory",
        ),
        Storage::Memory(why) => Finding::warn(
            "state",
            format!("headers are not kept: {why}"),
            SET_STATE_DIRECTORY,
        ),
    }
}

/// How many blocks a new checkpoint has on top of it: two weeks of work.
const CHECKPOINT_DEPTH: u32 = RETARGET_INTERVAL;

/// Waits until lookups could rely on the chain, and takes the newest block that
/// is deep enough.
pub(super) fn milestone(ledger: &Ledger, bounds: &Bounds) -> Result<Milestone, MilestoneError> {
    wait_until_usable(ledger, bounds, SILENCE_TIMEOUT).map_err(|failure| match failure.kind {
        FetchErrorKind::NotReady => MilestoneError::NotReady(failure),
        _ => MilestoneError::Unreachable(failure),
    })?;
    let is_sampled = ledger.is_sampled();
    let operators = ledger.status().operators;
    let headers = ledger.headers();
    let start = headers.checkpoint().height;
    let tip = headers.tip().map_or(start, |(tip, _)| tip);
    let found = tip.checked_sub(CHECKPOINT_DEPTH).and_then(|height| {
        let since = headers.work_up_to(height)?;
        let total = headers.total_work_up_to(height);
        Some(Milestone {
            checkpoint: Checkpoint {
                height,
                hash: headers.hash(height)?,
            },
            work: total.unwrap_or(since),
            work_since: total.is_none().then_some(start),
            is_sampled,
            has_discovered: operators.iter().any(|one| one == DISCOVERED),
            operators,
        })
    });
    found.ok_or(MilestoneError::TooShallow {
        tip,
        checkpoint: start,
        depth: CHECKPOINT_DEPTH,
    })
}

/// The approximate size of a header with its AuxPoW in a reply, in bytes.
const FULL_HEADER_SIZE: u64 = 4_000;

/// The progress of the first synchronisation; `None` once lookups can rely on
/// the headers. `bytes` have been received so far.
pub(super) fn progress(ledger: &Ledger, bytes: u64) -> Option<Progress> {
    let status = ledger.status();
    status.obstacle.as_ref()?;
    let unproven = ledger.unproven();
    let headers = Headers::of(ledger, status.target, unproven);
    let (stage, done, total) = match unproven {
        UnprovenHeaders::Sampled { proven, drawn } => {
            (Stage::Proving, number(proven), number(drawn))
        }
        UnprovenHeaders::None if status.target == 0 => (
            Stage::Searching,
            number(status.met.len().min(status.needed)),
            number(status.needed),
        ),
        UnprovenHeaders::None if headers.are_all() => (
            Stage::Comparing,
            number(status.operators.len().min(status.needed)),
            number(status.needed),
        ),
        _ => (Stage::Fetching, headers.there, headers.needed),
    };
    let later = match unproven {
        UnprovenHeaders::None => 0,
        UnprovenHeaders::Fetched { .. } => number(SAMPLE_SIZE).saturating_add(NEWEST.into()),
        UnprovenHeaders::Sampled { .. } => NEWEST.into(),
    };
    Some(Progress {
        stage,
        done,
        total,
        bytes,
        later: later.saturating_mul(FULL_HEADER_SIZE),
    })
}

/// How many headers there are, and how many there have to be.
struct Headers {
    there: u64,
    needed: u64,
}

impl Headers {
    fn of(ledger: &Ledger, target: u32, unproven: UnprovenHeaders) -> Self {
        let chain = ledger.headers();
        let checkpoint = chain.checkpoint().height;
        let (lowest, tip) = match (chain.lowest(), chain.tip()) {
            (Some(lowest), Some((tip, _))) => (lowest, tip),
            _ => (checkpoint.saturating_add(1), checkpoint),
        };
        let tip = match unproven {
            UnprovenHeaders::Fetched { tip: linked } => tip.max(linked),
            _ => tip,
        };
        let target = target.max(tip);
        let base = chain.lowest_needed(target).min(lowest);
        let count =
            |from: u32, to: u32| u64::from(to).saturating_add(1).saturating_sub(from.into());
        Self {
            there: count(lowest, tip),
            needed: count(base, target),
        }
    }

    fn are_all(&self) -> bool {
        self.there >= self.needed
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::chain::headers::Headers;
    use crate::chain::network::Network;
    use crate::chain::testing;
    use crate::source::electrum::testing::bounds;

    fn hour() -> Bounds {
        bounds(Duration::from_secs(3600))
    }

    #[test]
    fn nothing_is_waited_for_where_nothing_comes() {
        let headers = Headers::new(Network::Regtest, Network::Regtest.checkpoint());
        let ledger = Ledger::new(headers, 1, || 0);
        let (bounds, (done, ended)) = (hour(), mpsc::channel());
        thread::scope(|scope| {
            scope.spawn(|| {
                done.send(wait_until_usable(&ledger, &bounds, Duration::from_millis(10)).is_ok())
            });
            let ended = ended.recv_timeout(Duration::from_secs(20));
            bounds.cancel.set();
            assert_eq!(ended, Ok(false));
        });
        // What is on the way is waited for.
        ledger.raise_target(300);
        let bounds = hour();
        thread::scope(|scope| {
            scope.spawn(|| done.send(wait_until_usable(&ledger, &bounds, Duration::ZERO).is_ok()));
            assert!(ended.recv_timeout(Duration::from_millis(300)).is_err());
            bounds.cancel.set();
            assert_eq!(ended.recv_timeout(Duration::from_secs(20)), Ok(false));
        });
    }

    #[test]
    fn each_stage_counts_its_own() {
        let headers = Headers::new(Network::Regtest, Network::Regtest.checkpoint());
        let ledger = Ledger::new(headers, 2, || 0);
        let reported = |bytes| {
            let progress = progress(&ledger, bytes)?;
            assert_eq!(progress.bytes, bytes);
            Some((
                progress.stage,
                progress.done,
                progress.total,
                progress.later,
            ))
        };
        assert_eq!(reported(0), Some((Stage::Searching, 0, 2, 0)));
        for operator in ["a", "b", "c"] {
            ledger.met(operator);
        }
        assert_eq!(reported(10), Some((Stage::Searching, 2, 2, 0)));
        // The genesis is not there yet.
        ledger.raise_target(5000);
        assert_eq!(reported(20), Some((Stage::Fetching, 0, 5001, 0)));
        let (sample, newest) = (500 * FULL_HEADER_SIZE, 144 * FULL_HEADER_SIZE);
        ledger.set_unproven(UnprovenHeaders::Fetched { tip: 400 });
        let expected = (Stage::Fetching, 400, 5001, sample + newest);
        assert_eq!(reported(30), Some(expected));
        let (proven, drawn) = (25, 487);
        ledger.set_unproven(UnprovenHeaders::Sampled { proven, drawn });
        assert_eq!(reported(40), Some((Stage::Proving, 25, 487, newest)));
        // Somebody's chain is longer than anybody has said.
        ledger.set_unproven(UnprovenHeaders::Fetched { tip: u32::MAX });
        let all = u64::from(u32::MAX);
        let expected = (Stage::Fetching, all, all + 1, sample + newest);
        assert_eq!(reported(50), Some(expected));
    }

    #[test]
    fn there_is_none_once_lookups_work() {
        let ledger = Ledger::new(testing::regtest(100), 2, || 0);
        let reported = || progress(&ledger, 0).map(|one| (one.stage, one.done, one.total));
        ledger.raise_target(250);
        assert_eq!(reported(), Some((Stage::Fetching, 100, 251)));
        ledger.change(|headers| *headers = testing::regtest(251));
        assert_eq!(reported(), Some((Stage::Comparing, 0, 2)));
        ledger.answered("a");
        assert_eq!(reported(), Some((Stage::Comparing, 1, 2)));
        ledger.answered("b");
        assert_eq!(reported(), None);
    }
}
