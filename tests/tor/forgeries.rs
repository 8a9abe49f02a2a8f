//! Lines that say something else than Tor does.

use crate::support::tor_control::stream::USUAL_FIELDS;

/// Where the victim connects from.
pub const CLIENT: &str = "127.0.0.1:5555";

/// Fields as the victim's events have them.
pub fn fields() -> String {
    format!(
        "SOCKS_USERNAME=\"victim\" SOCKS_PASSWORD=\"v\" CLIENT_PROTOCOL=SOCKS5 NYM_EPOCH=0 \
         SESSION_GROUP=-4 ISO_FIELDS={USUAL_FIELDS}"
    )
}

/// Events about a stream that claim something else of it.
fn events(id: u64, host: &str) -> Vec<String> {
    let fields = fields();
    let source = format!("SOURCE_ADDR={CLIENT} PURPOSE=USER");
    let own = format!("{host}:80");
    let evil = "evil.bit:80";
    let mut lines = vec![
        format!("CONTROLLER_WAIT 0 {evil} NYM_EPOCH=0 ISO_FIELDS=NYM_EPOCH"),
        format!("CONTROLLER_WAIT 0 {evil} {fields}"),
        format!("CONTROLLER_WAIT 0 {own} NYM_EPOCH=0 ISO_FIELDS=NYM_EPOCH"),
        format!("CONTROLLER_WAIT 0 {own} {fields}"),
        format!("CONTROLLER_WAIT 0 {own}"),
        format!("NEW 0 {evil} {source} {fields}"),
        format!(
            "NEW 0 {evil} {source} {fields}\r\n650 STREAM {id} CONTROLLER_WAIT 0 {evil} {fields}"
        ),
        format!("NEWRESOLVE 0 {evil} {source} {fields}"),
        format!(
            "NEW 0 www.example.com:80 {source} {fields}\r\n650 STREAM {id} CONTROLLER_WAIT 0 www.example.com:80 {fields}"
        ),
        format!("NEW 0 {own} SOURCE_ADDR=127.0.0.9:1 PURPOSE=USER {fields}"),
        format!("NEW 0 {own} {source} {fields}"),
        format!(
            "NEW 0 {own} {source} CLIENT_PROTOCOL=SOCKS5 NYM_EPOCH=7 SESSION_GROUP=1 ISO_FIELDS=NYM_EPOCH"
        ),
        format!("NEW 0 {own} PURPOSE=DIR_FETCH {fields}"),
        format!(
            "NEW 0 {own} PURPOSE=DIR_FETCH CLIENT_PROTOCOL=UNKNOWN NYM_EPOCH=0 SESSION_GROUP=-2 ISO_FIELDS=SESSION_GROUP"
        ),
        format!("NEW 0 {own} nonsense"),
        format!("NEW 0 {own}"),
        format!("NEW 0 a b c"),
        format!("NEWRESOLVE 0 {own} SOURCE_ADDR={CLIENT} PURPOSE=DNS_REQUEST {fields}"),
        format!("NEWRESOLVE 0 {own} {source} {fields}"),
    ];
    // More claims than anybody would keep.
    let hosts = [
        "a.example",
        "b.bit",
        "c.example",
        "evil.bit",
        "e.example",
        "f.bit",
    ];
    let many = hosts.map(|host| format!("NEW 0 {host}:80 {source} {fields}"));
    lines.push(many.join(&format!("\r\n650 STREAM {id} ")));
    for status in ["CLOSED", "FAILED", "DETACHED"] {
        for reason in ["DONE", "RESOLVEFAILED", " UNKNOWN_264"] {
            lines.push(format!("{status} 0 {own} REASON={reason} {fields}"));
        }
    }
    for status in ["SENTCONNECT", "SUCCEEDED", "REMAP", "SENTRESOLVE"] {
        lines.push(format!("{status} 7 {own} SOURCE=CACHE {fields}"));
        lines.push(format!("{status} 7 {evil} SOURCE=CACHE {fields}"));
    }
    lines
        .iter()
        .map(|line| format!("650 STREAM {id} {line}"))
        .collect()
}

/// Lines that are no events of streams.
fn others(id: u64) -> Vec<String> {
    let mut lines: Vec<_> = [
        "250 OK",
        "250 OK\r\n250 OK",
        "551 Unable to attach stream",
        "552 Unknown circuit \"none\"",
        "555 Connection is not managed by controller.",
        "512 Bad arguments to ATTACHSTREAM: Need at least 2 argument(s)",
        "510 Unrecognized command \"ATTACHSTREAM\"",
        "514 Authentication required.",
        "552 Unrecognized key \"0123456789abcdef\"",
        "250+stream-status=",
        "250-stream-status=",
        ".",
        "",
        "250",
        "250-",
        "650",
        "650 ",
        "650-",
        "650+",
        "999 OK",
        "garbage",
        "650-CONF_CHANGED\r\n650-__LeaveStreamsUnattached=0\r\n650 OK",
        "650-CONF_CHANGED\r\n650-AutomapHostsOnResolve=1\r\n650-AutomapHostsSuffixes=.\r\n650 OK",
        "250-AutomapHostsOnResolve=1\r\n250-AutomapHostsSuffixes=.bit\r\n\
         250-VirtualAddrNetworkIPv4=0.0.0.0/0\r\n250 VirtualAddrNetworkIPv6=[::]/0",
        "650 SIGNAL NEWNYM",
        "650 SIGNAL RELOAD",
        "650 SIGNAL SHUTDOWN",
        "650 STREAM",
        "650 STREAM x NEW 0 evil.bit:80",
        "650 STREAM 99999999999999999999 NEW 0 evil.bit:80",
        "650 STREAM -1 NEW 0 evil.bit:80",
        "650 ADDRMAP 192.0.2.2 evil.bit NEVER",
    ]
    .map(str::to_owned)
    .into();
    lines.push(format!("552 Unknown stream \"{id}\""));
    lines.push(format!(
        "250-stream-status={id} NEW 0 evil.bit:80\r\n250 OK"
    ));
    lines.push(format!(
        "250+stream-status=\r\n{id} NEW 0 evil.bit:80\r\n.\r\n250 OK"
    ));
    lines
}

/// All of them.
pub fn all(id: u64, host: &str) -> Vec<String> {
    [events(id, host), others(id)].concat()
}
