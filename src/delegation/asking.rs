//! Questions to whichever server of a zone answers: two at most at a time, drawn
//! at random, the next after a short wait.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use hickory_proto::rr::{Name, RecordType};
use rand::seq::SliceRandom;

use super::exchange::{Exchange, Heard, ServerError, exchange};
use super::message::{Extensions, Lame};
use crate::config::settings::ProxyAddress;
use crate::platform;
use crate::source::transport::{CANCEL_CHECK_INTERVAL, Until};
use crate::source::{Bounds, Cancel};

/// How many servers are asked at a time.
const AT_A_TIME: usize = 2;

/// After this time without an answer a second server is asked.
const NEXT_SERVER: Duration = Duration::from_secs(3);

/// How long one server has, its connection through Tor included.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often each server is asked if there is nobody else to ask: through another
/// exit relay it may be heard better.
pub const ROUNDS: usize = 3;

/// Connections for one fetch.
const MAX_CONNECTIONS: u8 = 16;

/// Asks servers until all questions are settled or a bound is reached.
pub trait Ask {
    /// Asks servers of one zone until all questions are settled, each server up to
    /// `rounds` times.
    ///
    /// # Errors
    /// A question is still open, and no server is left.
    fn ask(
        &mut self,
        servers: &[String],
        questions: &[(Name, RecordType)],
        extensions: Extensions,
        rounds: usize,
        judge: Judge<'_>,
    ) -> Result<(), AskError>;

    /// How many messages were sent.
    fn sent(&self) -> u8;
}

/// Asks servers through the proxy.
pub struct Asking<'a> {
    proxy: &'a Arc<ProxyAddress>,
    bounds: &'a Bounds,
    messages: u8,
    sent: u8,
    connections: u8,
}

/// Why a zone could not be asked.
#[derive(Debug)]
pub enum AskError {
    /// The proxy cannot be used, so no server can be asked.
    Proxy(ServerError),
    /// The time is up.
    TimedOut,
    /// All servers were asked in vain. Holds what the last one did.
    Servers(String),
}

/// An attempt to ask one server.
struct Attempt {
    server: String,
    extensions: Extensions,
    /// Which of the questions, by their positions.
    asked: Vec<usize>,
}

/// What takes the replies of one server: the server, and for each question its
/// position and the reply.
pub type Judge<'j> = &'j mut dyn FnMut(&str, Vec<(usize, Heard)>) -> Judgement;

/// What a judge says of the replies of one server.
#[derive(Debug, Default)]
pub struct Judgement {
    /// The positions of the questions that need not be asked again.
    pub settled: Vec<usize>,
    /// Why others have to be, in words that follow "a name server".
    pub why_not: Option<String>,
}

impl<'a> Asking<'a> {
    /// Will send up to `messages` through `proxy`.
    pub fn new(proxy: &'a Arc<ProxyAddress>, bounds: &'a Bounds, messages: u8) -> Self {
        Self {
            proxy,
            bounds,
            messages,
            sent: 0,
            connections: 0,
        }
    }
}

impl Ask for Asking<'_> {
    fn sent(&self) -> u8 {
        self.sent
    }

    fn ask(
        &mut self,
        servers: &[String],
        questions: &[(Name, RecordType)],
        extensions: Extensions,
        rounds: usize,
        judge: Judge<'_>,
    ) -> Result<(), AskError> {
        let mut open: Vec<usize> = (0..questions.len()).collect();
        let mut queue = queue(servers, extensions, rounds);
        let cancel = Cancelling(Cancel::new());
        let (sender, receiver) = channel();
        let mut running = 0;
        let mut next_at = Instant::now();
        let mut last = match (servers, self.may_send(open.len())) {
            ([], _) => "has no address that Tor can connect to",
            (_, false) => "would have to be asked more often than is permitted",
            _ => "was not asked",
        }
        .to_owned();
        while !open.is_empty() {
            self.check(&cancel)?;
            let may_start = running == 0 || (running < AT_A_TIME && Instant::now() >= next_at);
            if may_start && self.may_send(open.len()) && !queue.is_empty() {
                let (server, extensions) = queue.remove(0);
                let attempt = Attempt {
                    server,
                    extensions,
                    asked: open.clone(),
                };
                self.start(attempt, questions, &cancel.0, &sender)?;
                running += 1;
                next_at = Instant::now() + NEXT_SERVER;
                continue;
            }
            if running == 0 {
                return Err(AskError::Servers(last));
            }
            let Some((attempt, exchange)) = self.wait(&receiver, next_at, running)? else {
                continue;
            };
            running -= 1;
            // If this one has not answered everything, the next need not wait.
            next_at = Instant::now();
            if !exchange.was_sent {
                self.sent = self.sent.saturating_sub(count(attempt.asked.len()));
            }
            if let Some(ServerError::Proxy(error)) = exchange.failure {
                return Err(AskError::Proxy(ServerError::Proxy(error)));
            }
            if let Some(failure) = &exchange.failure {
                last = failure.to_string();
            }
            let (mut replies, lame) = sort(&attempt, &exchange);
            if let Some(lame) = lame {
                last = lame.to_string();
                if lame == Lame::NoEdns && attempt.extensions == Extensions::Padded {
                    for (server, extensions) in &mut queue {
                        if *server == attempt.server {
                            *extensions = Extensions::None;
                        }
                    }
                    queue.insert(0, (attempt.server.clone(), Extensions::None));
                }
            }
            replies.retain(|(position, _)| open.contains(position));
            let judgement = judge(&attempt.server, replies);
            open.retain(|position| !judgement.settled.contains(position));
            last = judgement.why_not.unwrap_or(last);
        }
        Ok(())
    }
}

impl Asking<'_> {
    fn may_send(&self, questions: usize) -> bool {
        let left = self.messages.saturating_sub(self.sent);
        usize::from(left) >= questions && self.connections < MAX_CONNECTIONS
    }

    /// Sets the flag of the attempts if nobody waits any more.
    fn check(&self, cancel: &Cancelling) -> Result<(), AskError> {
        let is_late = Instant::now() >= self.bounds.deadline;
        if self.bounds.cancel.is_set() || is_late {
            cancel.0.set();
            return Err(AskError::TimedOut);
        }
        Ok(())
    }

    fn start(
        &mut self,
        attempt: Attempt,
        questions: &[(Name, RecordType)],
        cancel: &Cancel,
        sender: &Sender<(Attempt, Exchange)>,
    ) -> Result<(), AskError> {
        let (sender, cancel) = (sender.clone(), cancel.clone());
        let proxy = Arc::clone(self.proxy);
        let asked = attempt.asked.iter().filter_map(|at| questions.get(*at));
        let asked: Vec<_> = asked.cloned().collect();
        let deadline = self.bounds.deadline.min(Instant::now() + PATIENCE);
        self.sent = self.sent.saturating_add(count(asked.len()));
        self.connections = self.connections.saturating_add(1);
        let ask = move || {
            let until = Until {
                deadline,
                cancel: &cancel,
            };
            let heard = exchange(&attempt.server, &proxy, &asked, attempt.extensions, until);
            // Nobody waits if another server was faster.
            drop(sender.send((attempt, heard)));
        };
        match platform::thread("name server").spawn(ask) {
            Ok(_) => Ok(()),
            Err(error) => Err(AskError::Servers(format!(
                "could not be asked, as no thread can be started ({})",
                error.kind()
            ))),
        }
    }

    /// Waits for an attempt to end, until the next may begin.
    fn wait(
        &self,
        receiver: &Receiver<(Attempt, Exchange)>,
        next_at: Instant,
        running: usize,
    ) -> Result<Option<(Attempt, Exchange)>, AskError> {
        let now = Instant::now();
        let mut patience = CANCEL_CHECK_INTERVAL;
        if running < AT_A_TIME {
            let until_next = next_at.saturating_duration_since(now);
            if !until_next.is_zero() {
                patience = patience.min(until_next);
            }
        }
        match receiver.recv_timeout(patience) {
            Ok(ended) => Ok(Some(ended)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            // We hold a sender ourselves.
            Err(RecvTimeoutError::Disconnected) => Err(AskError::TimedOut),
        }
    }
}

/// Ends what is still under way when nobody waits for it any more.
struct Cancelling(Cancel);

impl Drop for Cancelling {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// The servers in the order in which they are asked: all of them in random
/// order, then again.
fn queue(servers: &[String], extensions: Extensions, rounds: usize) -> Vec<(String, Extensions)> {
    let mut queue = Vec::new();
    for _ in 0..rounds {
        let mut round = servers.to_vec();
        round.shuffle(&mut rand::rng());
        queue.extend(round.into_iter().map(|server| (server, extensions)));
    }
    queue
}

/// The usable replies by the positions of their questions, and what is wrong
/// with one of the others.
fn sort(attempt: &Attempt, exchange: &Exchange) -> (Vec<(usize, Heard)>, Option<Lame>) {
    let replies = attempt.asked.iter().copied().zip(exchange.heard());
    let mut lame = None;
    let replies = replies.filter_map(|(position, reply)| {
        let reply = reply?;
        if let Err(error) = &reply {
            lame = Some(*error);
        }
        Some((position, reply))
    });
    (replies.collect(), lame)
}

fn count(questions: usize) -> u8 {
    u8::try_from(questions).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    use super::*;
    use crate::config::settings::NodeAddress;

    const SERVERS: [&str; 4] = ["ns1.net", "ns2.net", "ns3.net", "ns4.net"];

    fn servers() -> Vec<String> {
        SERVERS.map(str::to_owned).to_vec()
    }

    /// A proxy that is gone.
    fn nobody() -> Arc<ProxyAddress> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Arc::new(ProxyAddress::Tcp(NodeAddress::local(port)))
    }

    fn bounds(time: Duration) -> Bounds {
        let deadline = Instant::now() + time;
        Bounds {
            due: deadline,
            deadline,
            cancel: Cancel::new(),
        }
    }

    /// The error of two questions to `servers`, and to how many of them connections
    /// were opened.
    fn ask(bounds: &Bounds, messages: u8, servers: &[String]) -> (AskError, u8) {
        let proxy = nobody();
        let mut asking = Asking::new(&proxy, bounds, messages);
        let name = Name::from_ascii("example.bit.").unwrap();
        let questions = [RecordType::A, RecordType::AAAA].map(|kind| (name.clone(), kind));
        let mut judge = |_: &str, _: Vec<(usize, Heard)>| Judgement::default();
        let padded = Extensions::Padded;
        let error = asking.ask(servers, &questions, padded, ROUNDS, &mut judge);
        assert_eq!(asking.sent(), 0);
        (error.unwrap_err(), asking.connections)
    }

    #[test]
    fn without_its_proxy_no_other_server_is_tried() {
        let bounds = bounds(Duration::from_secs(30));
        let (error, connections) = ask(&bounds, 16, &servers());
        assert!(matches!(error, AskError::Proxy(_)), "{error:?}");
        assert_eq!(connections, 1);
    }

    #[test]
    fn nobody_is_asked_when_nobody_waits() {
        let cancelled = bounds(Duration::from_secs(30));
        cancelled.cancel.set();
        for bounds in [cancelled, bounds(Duration::ZERO)] {
            let (error, connections) = ask(&bounds, 16, &servers());
            assert!(matches!(error, AskError::TimedOut), "{error:?}");
            assert_eq!(connections, 0);
        }
    }

    /// Two questions are asked at once, or not at all.
    #[test]
    fn nobody_is_asked_when_there_are_too_few_messages_left() {
        let bounds = bounds(Duration::from_secs(30));
        for (messages, servers) in [(1, servers()), (16, Vec::new())] {
            let (error, connections) = ask(&bounds, messages, &servers);
            assert!(matches!(error, AskError::Servers(_)), "{error:?}");
            assert_eq!(connections, 0);
        }
    }

    #[test]
    fn every_server_has_its_turn_in_every_round_in_random_order() {
        let mut orders = BTreeSet::new();
        for _ in 0..50 {
            let queue = queue(&servers(), Extensions::Padded, ROUNDS);
            assert_eq!(queue.len(), ROUNDS * SERVERS.len());
            for round in queue.chunks(SERVERS.len()) {
                let order: Vec<_> = round.iter().map(|(server, _)| server.clone()).collect();
                let mut sorted = order.clone();
                sorted.sort();
                assert_eq!(sorted, servers());
                orders.insert(order);
            }
        }
        assert!(orders.len() > 5, "{orders:?}");
    }
}
