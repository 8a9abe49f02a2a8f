//! The library as other programs embed it: only names of the crate root.

use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ncprop279::{
    Absence, Answer, Bounds, FetchError, FetchErrorKind, Fetched, IsolationId, Level, Log, NameKey,
    ResolveError, Resolver, Source, SourceReply, WhoCanAct,
};

use crate::support::PATIENCE;

/// Values by name key. `d/held` waits until it is released, `d/down` fails, and
/// every fetch is recorded.
#[derive(Clone, Default)]
struct Names(Arc<Shared>);

#[derive(Default)]
struct Shared {
    values: HashMap<&'static str, &'static str>,
    fetches: Mutex<Vec<(String, String)>>,
    is_released: Mutex<bool>,
    released: Condvar,
}

impl Names {
    fn new(values: &[(&'static str, &'static str)]) -> Self {
        Self(Arc::new(Shared {
            values: values.iter().copied().collect(),
            ..Shared::default()
        }))
    }

    fn fetches(&self) -> Vec<(String, String)> {
        self.0.fetches.lock().unwrap().clone()
    }

    fn release(&self) {
        *self.0.is_released.lock().unwrap() = true;
        self.0.released.notify_all();
    }
}

impl Source for Names {
    fn fetch(
        &self,
        isolation: &IsolationId,
        key: &NameKey,
        bounds: &Bounds,
    ) -> Result<SourceReply, FetchError> {
        let id = isolation.as_str().unwrap_or_default().to_owned();
        let fetch = (id, key.as_str().to_owned());
        self.0.fetches.lock().unwrap().push(fetch);
        match key.as_str() {
            "d/down" => return Err(FetchError::new(FetchErrorKind::Credentials, "refused")),
            "d/held" => {
                let left = bounds.deadline.saturating_duration_since(Instant::now());
                let held = self.0.is_released.lock().unwrap();
                let waited = self
                    .0
                    .released
                    .wait_timeout_while(held, left, |is_released| !*is_released);
                drop(waited.unwrap());
            }
            _ => {}
        }
        let value = self.0.values.get(key.as_str());
        Ok(match value {
            Some(value) => Fetched::Value(value.as_bytes().into()),
            None => Fetched::Absent(Absence::NeverExisted),
        }
        .into())
    }
}

fn id(text: &str) -> IsolationId {
    IsolationId::parse(text.as_bytes()).unwrap()
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

const ONION: &str = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";

#[test]
fn each_kind_of_answer_and_error() {
    let names = Names::new(&[
        ("d/address", r#"{"ip":"93.184.216.34"}"#),
        (
            "d/onion",
            r#"{"tor":"2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"}"#,
        ),
        ("d/host", r#"{"alias":"example.com."}"#),
        ("d/empty", "{}"),
    ]);
    let resolver = Resolver::builder(names).build().unwrap();
    let resolve = |name| resolver.resolve(&id("a"), name, soon());
    assert_eq!(
        resolve("address.bit"),
        Ok(Answer::Address("93.184.216.34".parse().unwrap()))
    );
    assert_eq!(resolve("onion.bit"), Ok(Answer::Onion(ONION.into())));
    assert_eq!(resolve("host.bit"), Ok(Answer::Host("example.com".into())));
    assert_eq!(resolve("host.bit").unwrap().to_string(), "example.com");
    for (name, who, is_transient) in [
        ("example.com", WhoCanAct::Caller, false),
        ("a..bit", WhoCanAct::Caller, false),
        ("missing.bit", WhoCanAct::Owner, false),
        ("empty.bit", WhoCanAct::Owner, false),
        ("down.bit", WhoCanAct::Configuration, true),
    ] {
        let error = resolve(name).unwrap_err();
        assert_eq!(error.who_can_act(), who, "{name}: {error}");
        assert_eq!(error.is_transient(), is_transient, "{name}: {error}");
        let error: Box<dyn std::error::Error> = Box::new(error);
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn ids_share_nothing_and_each_keeps_its_own() {
    let names = Names::new(&[("d/a", r#"{"ip":"93.184.216.34"}"#)]);
    let resolver = Resolver::builder(names.clone()).build().unwrap();
    for user in ["one", "one", "two"] {
        resolver.resolve(&id(user), "a.bit", soon()).unwrap();
    }
    let fetch = |user: &str| (user.to_owned(), "d/a".to_owned());
    assert_eq!(names.fetches(), [fetch("one"), fetch("two")]);
}

#[test]
fn a_resolver_that_keeps_nothing_fetches_again() {
    let names = Names::new(&[("d/a", r#"{"ip":"93.184.216.34"}"#)]);
    let resolver = Resolver::builder(names.clone())
        .keep(Duration::ZERO, Duration::ZERO)
        .build()
        .unwrap();
    for _ in 0..2 {
        resolver.resolve(&id("one"), "a.bit", soon()).unwrap();
    }
    assert_eq!(names.fetches().len(), 2);
}

#[test]
fn onion_services_only() {
    let names = Names::new(&[("d/a", r#"{"ip":"93.184.216.34"}"#)]);
    let resolver = Resolver::builder(names).only_onion(true).build().unwrap();
    let error = resolver.resolve(&id("one"), "a.bit", soon()).unwrap_err();
    assert!(matches!(error, ResolveError::NotFound(_)), "{error}");
}

#[test]
fn a_source_that_hangs_ends_at_the_deadline() {
    let names = Names::new(&[]);
    let resolver = Resolver::builder(names.clone()).build().unwrap();
    let deadline = Instant::now() + Duration::from_millis(50);
    let error = resolver.resolve(&id("one"), "held.bit", deadline);
    let error = error.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(error.who_can_act(), WhoCanAct::Source);
    names.release();
}

#[test]
fn lookups_need_not_be_waited_for() {
    let names = Names::new(&[("d/held", r#"{"ip":"93.184.216.34"}"#)]);
    let resolver = Resolver::builder(names.clone()).build().unwrap();
    let (sender, receiver) = channel();
    let user = id("one");
    for name in ["held.bit", "example.com"] {
        let sender = sender.clone();
        resolver.resolve_then(&user, name, soon(), move |result| {
            sender.send((name, result)).unwrap();
        });
    }
    let (first, result) = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first, "example.com");
    assert_eq!(result, Err(ResolveError::NotInZone("example.com".into())));
    names.release();
    let (second, result) = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!(second, "held.bit");
    assert!(result.is_ok(), "{result:?}");
}

/// The callback is dropped without a call, which closes its channel.
#[test]
fn a_cancelled_lookup_gives_no_answer() {
    let names = Names::new(&[("d/held", r#"{"ip":"93.184.216.34"}"#)]);
    let resolver = Resolver::builder(names.clone()).build().unwrap();
    let (sender, receiver) = sync_channel(1);
    let lookup = resolver.resolve_then(&id("one"), "held.bit", soon(), move |result| {
        sender.send(result).unwrap();
    });
    resolver.cancel(lookup);
    let ended = receiver.recv_timeout(PATIENCE);
    assert_eq!(ended, Err(RecvTimeoutError::Disconnected));
    names.release();
    // The lookup of another query is not affected.
    resolver.resolve(&id("one"), "held.bit", soon()).unwrap();
}

/// Whoever takes an answer runs on a thread that keeps the deadlines of all.
#[test]
fn a_panic_in_a_callback_costs_nobody_else_an_answer() {
    let names = Names::new(&[("d/a", r#"{"ip":"93.184.216.34"}"#)]);
    let resolver = Resolver::builder(names.clone()).build().unwrap();
    let soon_over = || Instant::now() + Duration::from_millis(50);
    let (sender, receiver) = channel::<()>();
    resolver.resolve_then(&id("one"), "held.bit", soon_over(), move |_| {
        let _closed_by_the_panic = sender;
        panic!("this panic is meant");
    });
    let ended = receiver.recv_timeout(PATIENCE);
    assert_eq!(ended, Err(RecvTimeoutError::Disconnected));
    let error = resolver.resolve(&id("two"), "held.bit", soon_over());
    assert!(error.unwrap_err().is_transient());
    names.release();
    resolver.resolve(&id("two"), "a.bit", soon()).unwrap();
}

#[test]
fn a_log_is_made_of_what_the_root_exports() {
    let (sender, lines) = channel();
    let log = Log::new(Level::Debug, move |_, line| {
        drop(sender.send(line.to_owned()))
    });
    let names = Names::new(&[("d/a", r#"{"ip":"93.184.216.34"}"#)]);
    let resolver = Resolver::builder(names).log(log).build().unwrap();
    resolver.resolve(&id("one"), "a.bit", soon()).unwrap();
    drop(resolver);
    let lines: Vec<String> = lines.try_iter().collect();
    assert!(!lines.is_empty());
    assert!(!lines.concat().contains("d/a"), "{lines:?}");
}
