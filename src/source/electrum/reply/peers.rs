//! Which other servers a server names.

use serde_json::value::RawValue;

use super::shape::Bounded;
use super::{ReplyError, parse};

/// The longest reply that is looked at, in bytes, and the most servers in it.
/// Honest servers name some dozens.
const MAX_LENGTH: usize = 256 << 10;
const MAX_SERVERS: usize = 1_000;

/// The most features of one server.
const MAX_FEATURES: usize = 16;

/// A server that another one names, in the words of that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its IP address as far as the other knows, or its host once more.
    pub ip: String,
    /// A host name, an onion service or an IP address.
    pub host: String,
    /// Versions and ports, such as `v1.4.2`, `s50002` and `t50001`.
    pub features: Vec<String>,
}

/// The servers in a reply to `server.peers.subscribe`. Entries of another form
/// are passed over.
///
/// # Errors
/// The reply is no list, or longer than it can honestly be.
pub fn peers(result: &str) -> Result<Vec<Named>, ReplyError> {
    if result.len() > MAX_LENGTH {
        return Err(ReplyError::TooLong);
    }
    let entries = parse::<Bounded<&RawValue, MAX_SERVERS>>(result)?.whole()?;
    Ok(entries.into_iter().filter_map(named).collect())
}

fn named(entry: &RawValue) -> Option<Named> {
    type Entry = (String, String, Bounded<String, MAX_FEATURES>);
    let (ip, host, features) = serde_json::from_str::<Entry>(entry.get()).ok()?;
    Some(Named {
        ip,
        host,
        features: features.whole().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_electrumx_names_them() {
        let read = peers(
            r#"[["203.0.114.1","a.example",["v1.4.2","p10000","s50002","t50001"]],
                ["x.onion","x.onion",["v1.4","t"]]]"#,
        );
        let [one, other] = read.unwrap().try_into().unwrap();
        assert_eq!(
            (one.ip.as_str(), one.host.as_str()),
            ("203.0.114.1", "a.example")
        );
        assert_eq!(one.features, ["v1.4.2", "p10000", "s50002", "t50001"]);
        assert_eq!((other.host.as_str(), other.features.len()), ("x.onion", 2));
        assert_eq!(peers("[]"), Ok(Vec::new()));
    }

    #[test]
    fn entries_of_another_form_are_passed_over() {
        let many = vec!["\"s1\""; MAX_FEATURES + 1].join(",");
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        for entry in [
            "null",
            "7",
            "{}",
            "[]",
            r#"["i","h"]"#,
            r#"["i","h",[],[]]"#,
            r#"["i","h","s1"]"#,
            r#"["i",7,[]]"#,
            r#"["i","h",[7]]"#,
            r#"[null,"h",["s1"]]"#,
            &format!(r#"["i","h",[{many}]]"#),
            &format!(r#"["i","h",{deep}]"#),
            &deep,
        ] {
            let reply = format!(r#"[{entry},["i","good",["s1"]]]"#);
            let read = peers(&reply).unwrap();
            let [good] = read.as_slice() else {
                panic!("{read:?}")
            };
            assert_eq!(good.host, "good");
        }
    }

    #[test]
    fn replies_that_no_server_needs_are_refused() {
        let entry = r#"["i","h",["s1"]]"#;
        let list = |count: usize| format!("[{}]", vec![entry; count].join(","));
        assert_eq!(peers(&list(MAX_SERVERS)).unwrap().len(), MAX_SERVERS);
        assert_eq!(peers(&list(MAX_SERVERS + 1)), Err(ReplyError::TooMany));
        let long = format!(r#"["{}"]"#, "x".repeat(MAX_LENGTH));
        assert_eq!(peers(&long), Err(ReplyError::TooLong));
        for result in ["null", "{}", "\"x\"", "1", ""] {
            assert_eq!(peers(result), Err(ReplyError::Form), "{result}");
        }
    }
}
