//! Logs each request for a name at the level of `-vv`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Bounds, Learned, Source, SourceReply};
use crate::isolation::IsolationId;
use crate::log::{Level, Log};
use crate::snapshot::{FetchError, NameKey};
use crate::text::Milliseconds;

/// Logs that a request begins. Its number is unique in the life of the process.
pub fn begin(log: &Log, number: u64, isolation: &IsolationId, key: &NameKey) {
    let key = log.key(isolation, key);
    log.debug(format_args!("request {number} asks for {key}"));
}

/// Logs how a request ended, and how long it took.
pub fn end(log: &Log, number: u64, result: &Result<SourceReply, FetchError>, time: Duration) {
    if !log.is_enabled(Level::Debug) {
        return;
    }
    let time = Milliseconds(time);
    let end = match result {
        Ok(reply) => reply.fetched.summary(),
        Err(failure) => format!("{} ({failure})", failure.kind.words()),
    };
    log.debug(format_args!("request {number} ended after {time}: {end}"));
}

/// A source that logs each request.
pub struct LoggedSource {
    source: Arc<dyn Source>,
    log: Log,
    requests: AtomicU64,
}

impl LoggedSource {
    /// Logs the requests of `source` to `log`.
    pub fn new(source: Arc<dyn Source>, log: Log) -> Self {
        Self {
            source,
            log,
            requests: AtomicU64::new(0),
        }
    }
}

impl Source for LoggedSource {
    fn fetch(
        &self,
        isolation: &IsolationId,
        key: &NameKey,
        bounds: &Bounds,
    ) -> Result<SourceReply, FetchError> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        begin(&self.log, number, isolation, key);
        let begun = Instant::now();
        let result = self.source.fetch(isolation, key, bounds);
        end(&self.log, number, &result, begun.elapsed());
        result
    }

    fn forget(&self, isolation: &IsolationId) {
        self.source.forget(isolation);
    }

    fn start(&self) {
        self.source.start();
    }

    fn on_learned(&self, learned: Learned) {
        self.source.on_learned(learned);
    }

    fn poll(&self) -> Option<bool> {
        self.source.poll()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::snapshot::Fetched;
    use crate::source::Cancel;

    /// Notes which methods are called.
    #[derive(Default)]
    struct Calls(Mutex<Vec<&'static str>>);

    impl Calls {
        fn note(&self, call: &'static str) {
            self.0.lock().unwrap().push(call);
        }
    }

    impl Source for Calls {
        fn fetch(
            &self,
            _: &IsolationId,
            _: &NameKey,
            _: &Bounds,
        ) -> Result<SourceReply, FetchError> {
            self.note("fetch");
            Ok(SourceReply {
                keep_at_most: Some(Duration::from_secs(9)),
                ..Fetched::Value(b"{}"[..].into()).into()
            })
        }
        fn forget(&self, _: &IsolationId) {
            self.note("forget");
        }
        fn start(&self) {
            self.note("start");
        }
        fn on_learned(&self, _: Learned) {
            self.note("on_learned");
        }
        fn poll(&self) -> Option<bool> {
            self.note("poll");
            Some(true)
        }
    }

    #[test]
    fn every_call_reaches_the_source() {
        let calls = Arc::new(Calls::default());
        let logged = LoggedSource::new(Arc::clone(&calls) as Arc<dyn Source>, Log::silent());
        let (id, key) = (IsolationId::shared(), NameKey::new("d/a").unwrap());
        let now = Instant::now();
        let bounds = Bounds {
            due: now,
            deadline: now,
            cancel: Cancel::new(),
        };
        logged.on_learned(Box::new(|_, _, _| {}));
        logged.start();
        let reply = logged.fetch(&id, &key, &bounds).unwrap();
        assert_eq!(reply.keep_at_most, Some(Duration::from_secs(9)));
        assert_eq!(logged.poll(), Some(true));
        logged.forget(&id);
        assert_eq!(
            *calls.0.lock().unwrap(),
            ["on_learned", "start", "fetch", "poll", "forget"]
        );
    }
}
