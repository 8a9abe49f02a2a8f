//! Resolves names from a `HashMap`, under two isolation ids.
//!
//! `cargo run --example embed`

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};

use ncprop279::{
    Absence, Bounds, FetchError, Fetched, IsolationId, NameKey, Resolver, Source, SourceReply,
};

/// Values by name key, as they are in the chain.
struct Names(HashMap<&'static str, &'static str>);

impl Source for Names {
    fn fetch(
        &self,
        isolation: &IsolationId,
        key: &NameKey,
        _bounds: &Bounds,
    ) -> Result<SourceReply, FetchError> {
        let id = isolation.as_str().unwrap_or("none");
        println!("  {id} fetches {key}");
        let fetched = match self.0.get(key.as_str()) {
            Some(value) => Fetched::Value(value.as_bytes().into()),
            None => Fetched::Absent(Absence::NeverExisted),
        };
        Ok(fetched.into())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let names = Names(HashMap::from([
        ("d/example", r#"{"ip":"93.184.216.34"}"#),
        ("d/alias", r#"{"alias":"example.bit."}"#),
    ]));
    let resolver = Resolver::builder(names).build()?;
    for id in ["tab-1", "tab-1", "tab-2"] {
        let activity = IsolationId::parse(id.as_bytes())?;
        for name in ["example.bit", "alias.bit", "missing.bit", "example.com"] {
            let deadline = Instant::now() + Duration::from_secs(20);
            match resolver.resolve(&activity, name, deadline) {
                Ok(answer) => println!("{id}: {name} is {answer}"),
                Err(error) => println!("{id}: {error} ({:?} can act)", error.who_can_act()),
            }
        }
    }
    Ok(())
}
