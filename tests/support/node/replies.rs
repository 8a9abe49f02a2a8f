//! What the recorded servers make of a call, and the words they say.

use std::collections::HashMap;
use std::sync::OnceLock;

use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{Request, Response};
use super::{Flavour, Reply};

/// How a Core from before the options object begins its help text.
pub const HELP: &str = "name_show \"name\"\n\nLook up the current data for the given name.";

/// A reply in `tests/data/`.
#[derive(Deserialize)]
struct Recording {
    status: String,
    headers: Vec<(String, String)>,
    body: String,
}

fn recordings(flavour: Flavour) -> &'static HashMap<String, Recording> {
    static ALL: OnceLock<[HashMap<String, Recording>; 3]> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        [
            include_str!("../../data/namecoin-core-31.99.json"),
            include_str!("../../data/electrum-nmc-4.0.6.json"),
            include_str!("../../data/electrum-nmc-4.1.0.json"),
        ]
        .map(|text| serde_json::from_str(text).unwrap())
    });
    match flavour {
        Flavour::Core | Flavour::ConsensusJ | Flavour::OldCore => &all[0],
        Flavour::Electrum406 => &all[1],
        Flavour::Electrum410 => &all[2],
    }
}

/// A JSON-RPC call and what its server makes of it.
pub struct Call {
    flavour: Flavour,
    pub method: String,
    pub params: Value,
    id: Value,
    is_version_2: bool,
    pub key: Option<String>,
    /// The name as it was sent, for the reply.
    name: String,
    pub stream: Option<String>,
    value_is_hex: bool,
    /// The recorded reply with which the server refuses it.
    pub refusal: Option<String>,
}

impl Call {
    pub fn read(flavour: Flavour, request: &Request) -> Self {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let params = body["params"].clone();
        let (name, options) = if params.is_array() {
            (params[0].clone(), params[1].clone())
        } else if params["identifier"].is_string() {
            (params["identifier"].clone(), params["options"].clone())
        } else {
            (params["name"].clone(), params["options"].clone())
        };
        let name = name.as_str().unwrap_or_default().to_owned();
        let method = body["method"].as_str().unwrap_or_default().to_owned();
        let key = (method == "name_show").then(|| {
            if options["nameEncoding"] == "hex" {
                let bytes = HEX.decode(name.as_bytes()).unwrap_or_default();
                String::from_utf8_lossy(&bytes).into_owned()
            } else {
                name.clone()
            }
        });
        let mut call = Self {
            flavour,
            method,
            id: body["id"].clone(),
            is_version_2: body["jsonrpc"] == "2.0",
            key,
            name,
            stream: options["streamID"].as_str().map(str::to_owned),
            value_is_hex: options["valueEncoding"] == "hex",
            refusal: None,
            params,
        };
        call.refusal = call.refuse(&body, &request.path).map(str::to_owned);
        call
    }

    /// The table of dialects.
    fn refuse(&self, body: &Value, path: &str) -> Option<&'static str> {
        let is_positional = self.params.is_array();
        let length = self.params.as_array().map_or(0, Vec::len);
        let has = |key: &str| !self.params[key].is_null();
        if path != "/" || !body.is_object() {
            return Some("invalid request");
        }
        if self.flavour == Flavour::OldCore && self.method == "name_show" && length != 1 {
            return Some(HELP);
        }
        match (self.flavour.is_electrum(), self.method.as_str()) {
            (true, "getinfo") => None,
            (true, "getconfig") if has("key") => None,
            (false, "name_show") => match &body["jsonrpc"] {
                Value::Null => None,
                version if version == "1.0" || version == "2.0" => None,
                _ => Some("bad version"),
            }
            .or((!is_positional && (!has("name") || has("identifier")))
                .then_some("unknown parameter"))
            .or((self.flavour == Flavour::ConsensusJ
                && (!is_positional || length > 1))
                .then_some("unknown parameter")),
            (true, "name_show") => {
                if body["id"].is_null() {
                    Some("invalid request")
                } else if is_positional && length > 1 && self.params[1].is_object() {
                    Some("positional options")
                } else if !is_positional && has("name") {
                    Some("name key")
                } else {
                    None
                }
            }
            (true, _) => Some("invalid request"),
            (false, _) => Some("unknown method"),
        }
    }

    fn find(&self, name: &str) -> &'static Recording {
        let all = recordings(self.flavour);
        let version = if self.is_version_2 { "2.0" } else { "1.0" };
        all.get(&format!("{name} {version}"))
            .or_else(|| all.get(&format!("{name} 1.0")))
            .or_else(|| all.get(name))
            .unwrap_or_else(|| panic!("{:?} never said {name:?}", self.flavour))
    }

    /// The recorded reply, with the id of this call.
    pub fn recorded(&self, name: &str) -> Response {
        let recording = self.find(name);
        let mut body = recording.body.clone();
        for (old, colon) in [
            ("\"id\":1", ":"),
            ("\"id\": 1", ": "),
            ("\"id\": \"x\"", ": "),
        ] {
            body = body.replacen(old, &format!("\"id\"{colon}{}", self.id), 1);
        }
        Response::Whole {
            status: recording.status.clone(),
            headers: recording.headers.clone(),
            body: body.into_bytes(),
        }
    }

    /// The recorded reply with other content.
    fn changed(&self, name: &str, change: impl FnOnce(&mut Value)) -> Response {
        let recording = self.find(name);
        let mut body: Value = serde_json::from_str(&recording.body).unwrap();
        body["id"] = self.id.clone();
        change(&mut body);
        Response::Whole {
            status: recording.status.clone(),
            headers: recording.headers.clone(),
            body: body.to_string().into_bytes(),
        }
    }

    pub fn unauthorized(&self, tried: bool) -> Response {
        self.recorded(if tried && self.flavour.is_electrum() {
            "forbidden"
        } else {
            "unauthorized"
        })
    }

    pub fn getinfo(&self, heights: Option<(i64, i64)>) -> Response {
        self.changed("getinfo", |body| match heights {
            Some((blockchain, server)) => {
                body["result"]["blockchain_height"] = json!(blockchain);
                body["result"]["server_height"] = json!(server);
            }
            None => {
                let result = body["result"].as_object_mut().unwrap();
                result.remove("blockchain_height");
                result.remove("server_height");
            }
        })
    }

    /// The value of a setting, in the form of the recorded replies.
    pub fn getconfig(&self, value: Value) -> Response {
        self.changed("getinfo", |body| body["result"] = value)
    }

    fn found(&self, value: &[u8], change: impl FnOnce(&mut Value)) -> Response {
        self.changed("found", |body| {
            let result = &mut body["result"];
            result["name"] = json!(self.name);
            if self.value_is_hex {
                result["value"] = json!(HEX.encode(value));
            } else if value.is_ascii() {
                result["value"] = json!(String::from_utf8_lossy(value));
                result["name_encoding"] = json!("ascii");
                result["value_encoding"] = json!("ascii");
            } else {
                // As Core does.
                result.as_object_mut().unwrap().remove("value");
                result["value_error"] = json!("invalid data for ascii");
            }
            change(result);
        })
    }

    pub fn reply(&self, reply: Reply) -> Response {
        match reply {
            Reply::Value(value) => self.found(&value, |_| {}),
            Reply::ExpiredValue(value) => self.found(&value, |result| {
                result["expired"] = json!(true);
                result["expires_in"] = json!(-47);
            }),
            Reply::Spoilt(member, wrong) => self.found(b"{}", |result| {
                if wrong.is_null() {
                    result.as_object_mut().unwrap().remove(member);
                } else {
                    result[member] = wrong;
                }
            }),
            Reply::Recorded(name) => self.recorded(name),
            Reply::Error(code, message) => self.changed("never existed", |body| {
                body["error"] = json!({"code": code, "message": message});
            }),
            Reply::Http(status, body) => Response::Whole {
                status: status.into(),
                headers: vec![("Content-Type".into(), "text/plain".into())],
                body: body.into_bytes(),
            },
            Reply::Close | Reply::Hang => Response::Close,
            // The wait is over.
            Reply::Half => Response::Half(Box::new(self.found(br#"{"ip":"6.6.6.6"}"#, |_| {}))),
        }
    }
}
