//! What a node answers.

use ncprop279::config::settings::{Credentials, DialectSetting, NodeAddress, RpcSettings};
use ncprop279::fuzzing::rpc as fuzzing;
use ncprop279::isolation::IsolationId;
use ncprop279::log::Log;
use ncprop279::snapshot::{FetchError, Fetched, NameKey};
use ncprop279::source::rpc::RpcSource;

/// What must appear in no message, each long enough not to do so by chance.
const LABEL: &str = "hidden-label";
const ISOLATION: &str = "hidden-activity";
const USER: &str = "hidden-user";
const PASSWORD: &str = "hidden-password";

const DIALECTS: [DialectSetting; 3] = [
    DialectSetting::Core,
    DialectSetting::ElectrumNmc,
    DialectSetting::ConsensusJ,
];

/// The HTTP statuses that an answer may have, by its first byte.
const STATUSES: [u16; 8] = [200, 500, 404, 401, 403, 503, 302, 204];

/// A node at this port that no name is ever asked of without a time limit.
pub(super) fn source(port: u16, dialect: DialectSetting) -> RpcSource {
    let settings = RpcSettings {
        address: NodeAddress {
            host: "127.0.0.1".to_owned(),
            port,
        },
        credentials: Credentials::Password {
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
        },
        dialect,
        proxy: None,
    };
    RpcSource::new(&settings, Log::silent())
}

/// What is asked, and on whose behalf.
pub(super) fn question() -> (IsolationId, NameKey) {
    let isolation = IsolationId::parse(ISOLATION.as_bytes()).expect("an id");
    let key = NameKey::new(&format!("d/{LABEL}")).expect("a key");
    (isolation, key)
}

/// A failure is told in one line, without anything that was asked or proven.
pub(super) fn check_failure(failure: &FetchError) {
    let message = failure.to_string();
    assert!(super::is_printable(&message), "{message:?}");
    assert!(message.len() < 400, "{message}");
    let lower = message.to_ascii_lowercase();
    for secret in [LABEL, ISOLATION, USER, PASSWORD] {
        assert!(!lower.contains(secret), "{message}");
    }
}

/// Any bytes as the body of an HTTP answer, whose status the first byte
/// chooses: in no dialect is there a panic, a message that tells what was asked,
/// or a value that the body does not hold.
pub fn rpc(data: &[u8]) {
    let Some((first, body)) = data.split_first() else {
        return;
    };
    let status = STATUSES[usize::from(first % 8)];
    let source = source(9, DialectSetting::Core);
    let (isolation, key) = question();
    for dialect in DIALECTS {
        let answer = (status, body);
        match fuzzing::take(
            &source,
            answer,
            dialect,
            &isolation,
            &key,
            &super::expired(),
        ) {
            Ok(Some(Fetched::Value(value))) => {
                assert_eq!(status, 200);
                check_value(body, &value);
            }
            // A name cannot be absent on the word of something else than a
            // JSON-RPC answer.
            Ok(_) => assert!(fuzzing::info(body).is_some()),
            Err(failure) => check_failure(&failure),
        }
    }
    if let Some((_, _, words)) = fuzzing::info(body) {
        assert!(words.chars().count() < 300, "{words}");
    }
    if let Some(setting) = fuzzing::setting(body) {
        assert!(!setting.is_object() && !setting.is_array(), "{setting}");
    }
}

/// A value stands in the answer as text or in hexadecimal.
fn check_value(body: &[u8], value: &[u8]) {
    #[derive(serde::Deserialize)]
    struct Answer {
        result: Members,
    }
    #[derive(serde::Deserialize)]
    struct Members {
        value: String,
    }
    let Answer { result } = serde_json::from_slice(body).expect("an answer");
    let hex = data_encoding::HEXLOWER_PERMISSIVE.decode(result.value.as_bytes());
    assert!(result.value.as_bytes() == value || hex.is_ok_and(|bytes| bytes == value));
}
