//! Whether an Electrum-NMC node asks its servers for each isolation id
//! separately.
//!
//! Its 4.0 line does, if it has a proxy and is not confined to one server. An
//! answer does not show it, but the node's settings do.

use serde_json::Value;

use super::Node;
use super::connections::Purpose;
use super::dialect;
use super::reply::{self, Reply};
use super::sync::Info;
use crate::snapshot::FetchFailure;
use crate::source::Bounds;

/// What keeps different ids apart at the servers, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolating {
    /// Each id has a server connection of its own.
    Yes,
    /// The version knows no isolation ids.
    OtherVersion,
    /// There is no proxy.
    NoProxy,
    /// It is confined to one server.
    OneServer,
    /// The node does not say how it is set.
    Untold,
}

impl Isolating {
    /// Asks a node that has said this of itself.
    ///
    /// # Errors
    /// It did not answer. That it answers with an error is no failure.
    pub fn of(node: &Node, info: &Info, bounds: &Bounds) -> Result<Self, FetchFailure> {
        if !info.is_of_4_0() {
            return Ok(Self::OtherVersion);
        }
        let proxy = setting(node, "proxy", bounds)?;
        let one_server = setting(node, "oneserver", bounds)?;
        Ok(Self::with(proxy.as_ref(), one_server.as_ref()))
    }

    /// What the settings of the 4.0 line mean; `None` for one that it does not
    /// tell.
    fn with(proxy: Option<&Value>, one_server: Option<&Value>) -> Self {
        match (proxy, one_server) {
            (Some(Value::Null), _) => Self::NoProxy,
            (Some(Value::String(proxy)), _) if is_none(proxy) => Self::NoProxy,
            (_, Some(Value::Bool(true))) => Self::OneServer,
            (Some(Value::String(_)), Some(Value::Null | Value::Bool(false))) => Self::Yes,
            _ => Self::Untold,
        }
    }

    /// What is true of a node of this version.
    pub fn text(self, info: &Info) -> String {
        let version = info.version.as_deref().unwrap_or("of unknown version");
        let links = "it looks up names of different activities over the same server \
                     connections, which links them";
        match self {
            Self::Yes => "each isolation id has a server connection of its own".to_owned(),
            Self::OtherVersion => {
                format!("this Electrum-NMC ({version}) ignores isolation ids: {links}")
            }
            Self::NoProxy => format!(
                "this Electrum-NMC ({version}) has no proxy and so ignores isolation ids: {links}"
            ),
            Self::OneServer => {
                format!(
                    "this Electrum-NMC ({version}) asks one server only and so ignores isolation ids: {links}"
                )
            }
            Self::Untold => format!(
                "this Electrum-NMC ({version}) does not say whether it has a proxy and more servers than one; without \
                 either it ignores isolation ids"
            ),
        }
    }

    /// What to do; empty if nothing.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Yes => "",
            Self::OtherVersion => "use Namecoin Core, or Electrum-NMC 4.0.6",
            Self::NoProxy => {
                "start it with --proxy socks5:127.0.0.1:9050 (Tor Browser's port is 9150)"
            }
            Self::OneServer => {
                "start it without --oneserver, after electrum-nmc setconfig -o oneserver false"
            }
            Self::Untold => "see electrum-nmc getconfig proxy and electrum-nmc getconfig oneserver",
        }
    }
}

/// Whether Electrum's text for a proxy means that there is none.
fn is_none(proxy: &str) -> bool {
    proxy.trim().is_empty() || proxy.eq_ignore_ascii_case("none")
}

/// A setting of the node, null if it is not set; `None` if the node refuses to
/// tell. It may hold a password and is never shown.
fn setting(node: &Node, key: &str, bounds: &Bounds) -> Result<Option<Value>, FetchFailure> {
    let (_, answer) = node.call(&dialect::getconfig(key), &Purpose::Node, bounds)?;
    let refuses = matches!(Reply::parse(&answer.body), Some(Reply::Error(_)));
    if answer.status == 503 && !refuses {
        // Passing trouble.
        node.parse(&answer)?;
    }
    Ok(reply::plain_result(&answer.body))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_settings_count() {
        let socks = json!("socks5:127.0.0.1:9050::");
        for (proxy, one_server, expected) in [
            (Some(socks.clone()), Some(json!(null)), Isolating::Yes),
            (Some(socks.clone()), Some(json!(false)), Isolating::Yes),
            (Some(socks.clone()), Some(json!(true)), Isolating::OneServer),
            (None, Some(json!(true)), Isolating::OneServer),
            (Some(json!(null)), Some(json!(null)), Isolating::NoProxy),
            (Some(json!("None")), Some(json!(true)), Isolating::NoProxy),
            (Some(json!("")), None, Isolating::NoProxy),
            (Some(socks.clone()), None, Isolating::Untold),
            (Some(socks), Some(json!("yes")), Isolating::Untold),
            (Some(json!(true)), Some(json!(null)), Isolating::Untold),
            (None, Some(json!(null)), Isolating::Untold),
            (None, None, Isolating::Untold),
        ] {
            let found = Isolating::with(proxy.as_ref(), one_server.as_ref());
            assert_eq!(found, expected, "{proxy:?} {one_server:?}");
        }
    }
}
