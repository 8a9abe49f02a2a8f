//! What a plugin's answer means (`spec/naming-plugins.md`, "Answers").

use std::net::IpAddr;

use super::protocol::{reason, word};
use crate::address::{host_name, is_public};
use crate::naming::answer::Answer;
use crate::naming::names::Suffixes;
use crate::onion::OnionAddress;

/// What becomes of the query that a plugin has answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// This is its answer.
    Final(Answer),
    /// It is asked again after a pause, if there is time. Holds the reason.
    Again(String),
}

/// Which answers may be passed on.
#[derive(Debug)]
pub struct Rules {
    /// The names that no answer may lead to.
    pub suffixes: std::sync::Arc<Suffixes>,
    /// Whether only onion services may be answered.
    pub only_onion: bool,
}

impl Rules {
    /// What a status and the text behind it mean.
    pub fn read(&self, status: Option<u8>, text: &str) -> Reply {
        match status {
            Some(0) => Reply::Final(match self.usable(word(text).0) {
                Ok(answer) => answer,
                Err(why) => Answer::NoSuchName(format!(
                    "the answer of the naming plugin cannot be used: {why}"
                )),
            }),
            Some(1 | 4) => Reply::Again(reason(text)),
            _ => Reply::Final(Answer::NoSuchName(reason(text))),
        }
    }

    /// The same rules as for values of our own resolver. The error never repeats
    /// the text.
    fn usable(&self, text: &str) -> Result<Answer, String> {
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let answer = if let Ok(address) = inner.unwrap_or(text).parse::<IpAddr>() {
            match is_public(address) {
                true => Answer::Address(address),
                false => return Err("the address is internal".to_owned()),
            }
        } else if is_onion(text) {
            let onion = OnionAddress::parse(text).map_err(|error| error.to_string())?;
            Answer::Onion(onion.into_string())
        } else {
            Answer::Host(host_name(text).map_err(|error| error.to_string())?)
        };
        match answer {
            Answer::Onion(host) | Answer::Host(host) if self.suffixes.is_ours(host.as_bytes()) => {
                Err("the host name would have to be resolved again".to_owned())
            }
            Answer::Address(_) | Answer::Host(_) if self.only_onion => {
                Err("it is no onion service, and only these are wanted".to_owned())
            }
            answer => Ok(answer),
        }
    }
}

/// Whether a text is meant as an onion service.
fn is_onion(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let last = text.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("onion")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::PluginCommand;

    const ONION: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion";

    fn rules(only_onion: bool) -> Rules {
        let plugin = PluginCommand {
            suffix: "test".to_owned(),
            command: String::new(),
        };
        Rules {
            suffixes: std::sync::Arc::new(Suffixes::new(&[plugin])),
            only_onion,
        }
    }

    #[test]
    fn usable_answers_are_passed_on() {
        for (text, expected) in [
            ("192.0.2.1", Answer::Address("192.0.2.1".parse().unwrap())),
            (
                "[2001:db8::1]",
                Answer::Address("2001:db8::1".parse().unwrap()),
            ),
            (
                "2001:db8::1 more",
                Answer::Address("2001:db8::1".parse().unwrap()),
            ),
            (
                "WWW.Example.com.",
                Answer::Host("www.example.com".to_owned()),
            ),
            (&ONION.to_uppercase(), Answer::Onion(ONION.to_owned())),
        ] {
            assert_eq!(rules(false).read(Some(0), text), Reply::Final(expected));
        }
    }

    #[test]
    fn unusable_answers_are_no_such_name() {
        let bad_onion = ONION.replacen('7', "6", 1);
        for text in [
            "",
            "127.0.0.1",
            "::1",
            "[::ffff:10.0.0.1]",
            "0x7f.1",
            "[192.0.2.1",
            &bad_onion,
            "x.onion",
            "onion",
            "a.bit",
            "A.Bit.",
            "a.bit.onion",
            "a.test",
            "test",
            "a.exit",
            "localhost",
            "a.local",
            "\u{1b}[31m.com",
            "a\u{fc}.com",
            "a..com",
            "host:80",
            "http://a.com/",
            &"a.".repeat(128),
        ] {
            let reply = rules(false).read(Some(0), text);
            let Reply::Final(Answer::NoSuchName(why)) = reply else {
                panic!("{text}: {reply:?}");
            };
            assert!(why.starts_with("the answer of the naming plugin cannot be used: "));
            assert!(
                why.bytes()
                    .all(|byte| byte == b' ' || byte.is_ascii_graphic())
            );
        }
    }

    #[test]
    fn only_onion_services_if_so_set() {
        let of = |text| rules(true).read(Some(0), text);
        assert!(matches!(of(ONION), Reply::Final(Answer::Onion(_))));
        for text in ["192.0.2.1", "example.com"] {
            assert!(matches!(of(text), Reply::Final(Answer::NoSuchName(_))));
        }
    }

    #[test]
    fn failures_pass_or_do_not() {
        for status in [Some(1), Some(4)] {
            let reply = rules(false).read(status, "\"busy\"");
            assert_eq!(reply, Reply::Again("busy".to_owned()));
        }
        for status in [Some(2), Some(3), Some(5), Some(255), None] {
            let reply = rules(false).read(status, "\"gone\"");
            assert_eq!(reply, Reply::Final(Answer::NoSuchName("gone".to_owned())));
        }
    }
}
