//! `ncprop279 check serve`: whether what listens at `--proxy` is Tor, whether
//! clients could connect to this machine's ports, and whether Tor could be
//! controlled. No request leaves it: Tor is asked for nothing that needs the
//! network.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};

use crate::config::settings::{
    ControlAddress, ListenAddress, NodeAddress, ProxyAddress, Secret, ServeSettings,
};
use crate::door::tor::diagnosis::diagnose;
use crate::door::tor::{AuthenticationError, ControlError};
use crate::source::Bounds;
use crate::source::diagnosis::{Finding, PROXY_REMEDY, proxy_trouble};
use crate::source::transport::tcp::Bounded;
use crate::source::transport::{self, Until};

/// How long a port on this machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most bytes of a page that are read.
const MAX_PAGE: u64 = 4096;

/// What the page of our own port says (`door/socks/http.rs`).
const OURS: &str = "the SOCKS port of ncprop279";

/// What Tor answers to a browser that takes its SOCKS port for an HTTP proxy.
const TORS: &str = "Tor is not an HTTP Proxy";

/// What to do about a port that is no control port.
const CONTROL_REMEDY: &str = "set --tor-control to Tor's control port, such as 127.0.0.1:9051 \
                              with ControlPort 9051 in torrc";

/// The user name that this program shows Tor for streams whose own credentials
/// do not say everything (`spec/socks.md`).
const FOLDED_USER: &[u8] = b"<torS0X>0";

/// What was found of Tor, of each listener and of each control port. Without a
/// listener nothing goes to Tor's SOCKS port but lookups and questions to name
/// servers, for which it is examined elsewhere.
pub fn findings(serve: &ServeSettings, bounds: &Bounds) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !serve.socks.is_empty() {
        findings.push(tor(&serve.tor, bounds));
    }
    let listeners = serve.socks.iter();
    findings.extend(listeners.map(|address| listener(address, bounds)));
    let password = serve.control_password.as_ref();
    let controls = serve.control.iter();
    findings.extend(controls.map(|address| control(address, password, bounds)));
    findings
}

fn until(bounds: &Bounds) -> Until<'_> {
    Until {
        deadline: bounds.deadline.min(Instant::now() + PATIENCE),
        cancel: &bounds.cancel,
    }
}

//------------ Tor -----------------------------------------------------------

fn tor(proxy: &ProxyAddress, bounds: &Bounds) -> Finding {
    if let Some(trouble) = proxy_trouble(proxy, bounds) {
        return Finding {
            label: "Tor",
            ..trouble
        };
    }
    let page = page(proxy, bounds).unwrap_or_default();
    if page.contains(OURS) {
        let what = format!("{proxy} is the port of an ncprop279, not Tor's");
        return Finding::fail("Tor", what, PROXY_REMEDY);
    }
    match resolve(proxy, bounds) {
        Resolved::Refused | Resolved::Nothing if !page.contains(TORS) => not_tor(proxy),
        Resolved::Address | Resolved::Refused => Finding::ok(
            "Tor",
            format!(
                "{proxy} is Tor's SOCKS port and takes user names and passwords; that it isolates \
                 by them, as it does by default, cannot be tested from here"
            ),
        ),
        Resolved::Nothing => Finding::fail(
            "Tor",
            format!("{proxy} is Tor's SOCKS port, but Tor leaves requests unanswered"),
            "start the naming client that they wait for, or remove __LeaveStreamsUnattached \
             from torrc and reload Tor",
        ),
        Resolved::NotAdmitted => Finding::warn(
            "Tor",
            format!(
                "{proxy} refuses the user name <torS0X>0, by which this program keeps apart \
                 clients of HTTP and of further listeners; those clients would get errors"
            ),
            "update Tor, or use SOCKS5 at the first listener only",
        ),
    }
}

fn not_tor(proxy: &ProxyAddress) -> Finding {
    Finding::warn(
        "Tor",
        format!("{proxy} is a SOCKS5 proxy, but probably not Tor"),
        "set --proxy to Tor's SOCKS port; another proxy may not keep streams apart, nor reach \
         onion services",
    )
}

/// What comes of RESOLVE, a request that only Tor knows, for an address, which
/// Tor answers by itself.
enum Resolved {
    Address,
    Refused,
    /// No answer in time.
    Nothing,
    /// The credentials were refused.
    NotAdmitted,
}

fn resolve(proxy: &ProxyAddress, bounds: &Bounds) -> Resolved {
    let until = until(bounds);
    let ask = || -> io::Result<Resolved> {
        let tcp = transport::connect(proxy, until)?;
        let mut stream = Bounded { tcp: &tcp, until };
        stream.write_all(&[5, 1, 2])?;
        stream.read_exact(&mut [0; 2])?;
        let length = u8::try_from(FOLDED_USER.len()).unwrap_or_default();
        stream.write_all(&[&[1, length], FOLDED_USER, &[1, b'0']].concat())?;
        let mut status = [0; 2];
        stream.read_exact(&mut status)?;
        if status != [1, 0] {
            return Ok(Resolved::NotAdmitted);
        }
        stream.write_all(&[5, 0xF0, 0, 1, 127, 0, 0, 1, 0, 0])?;
        let mut reply = [0; 8];
        stream.read_exact(&mut reply)?;
        Ok(match reply {
            [5, 0, _, 1, 127, 0, 0, 1] => Resolved::Address,
            _ => Resolved::Refused,
        })
    };
    match ask() {
        Ok(resolved) => resolved,
        Err(error) if error.kind() == ErrorKind::TimedOut => Resolved::Nothing,
        Err(_) => Resolved::Refused,
    }
}

/// What a port answers to a browser that asks it for a web page.
fn page(port: &ProxyAddress, bounds: &Bounds) -> io::Result<String> {
    let until = until(bounds);
    let tcp: TcpStream = transport::connect(port, until)?;
    let mut stream = Bounded { tcp: &tcp, until };
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut page = Vec::new();
    // The beginning will do, if it then hangs or breaks off.
    let _ = stream.take(MAX_PAGE).read_to_end(&mut page);
    Ok(String::from_utf8_lossy(&page).into_owned())
}

//------------ Tor's control port --------------------------------------------

fn control(address: &ControlAddress, password: Option<&Secret>, bounds: &Bounds) -> Finding {
    const LABEL: &str = "control";

    let error = match diagnose(address, password, until(bounds)) {
        Ok(found) if found.leaves_streams => {
            let what = format!(
                "{} is Tor's control port, but connections wait for a naming client already",
                found.address
            );
            let remedy = "no action is needed if that is another ncprop279 serve that you want; \
                          otherwise stop it, or StemNS, and reload Tor; remove \
                          __LeaveStreamsUnattached if torrc has it";
            return Finding::warn(LABEL, what, remedy);
        }
        Ok(found) => {
            let what = format!(
                "{} is Tor's control port and lets this program in",
                found.address
            );
            return Finding::ok(LABEL, what);
        }
        Err(error) => error,
    };
    let place = match address {
        ControlAddress::Auto => "Tor's control port".to_owned(),
        ControlAddress::At(address) => format!("Tor's control port {address}"),
    };
    let kind = match &error {
        ControlError::Connect(error)
        | ControlError::Authentication(AuthenticationError::Io(error)) => Some(error.kind()),
        _ => None,
    };
    let known = match kind {
        Some(ErrorKind::TimedOut) => Some(("does not answer in time", CONTROL_REMEDY)),
        Some(ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Some((
            "cannot be used: nothing listens there",
            "start Tor, or set --tor-control to its control port",
        )),
        _ => None,
    };
    if let Some((what, remedy)) = known {
        return Finding::fail(LABEL, format!("{place} {what}"), remedy);
    }
    // Messages say what happened, then what to do.
    let text = error.to_string();
    let (what, remedy) = text.split_once("; ").unwrap_or((&text, CONTROL_REMEDY));
    Finding::fail(LABEL, format!("{place} cannot be used: {what}"), remedy)
}

//------------ The listeners -------------------------------------------------

fn listener(address: &ListenAddress, bounds: &Bounds) -> Finding {
    let attempt = match address {
        ListenAddress::Tcp(address) => TcpListener::bind(address).map(drop),
        ListenAddress::Unix(path) => could_bind(path),
    };
    let Err(error) = attempt else {
        return Finding::ok("listener", format!("{address} is free for clients"));
    };
    let remedy = "set --socks-listen to another";
    if error.kind() != ErrorKind::AddrInUse {
        let what = format!("{address} cannot be listened on: {error}");
        return Finding::fail("listener", what, remedy);
    }
    let page = on_this_machine(address).and_then(|port| page(&port, bounds).ok());
    match page.is_some_and(|page| page.contains(OURS)) {
        true => Finding::warn(
            "listener",
            format!("ncprop279 is already running at {address}"),
            "no action is needed if that is intended; otherwise stop it, or set --socks-listen \
             to another address",
        ),
        false => {
            let what = format!("another program listens on {address}");
            Finding::fail("listener", what, format!("{remedy}, or stop that program"))
        }
    }
}

/// Whether a Unix socket could be made at a path, without making it.
fn could_bind(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(ErrorKind::AlreadyExists.into()),
        // One that nobody listens on any more is replaced.
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            _ => return Err(ErrorKind::AddrInUse.into()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Where to connect to what listens at an address, if that is on this machine.
fn on_this_machine(address: &ListenAddress) -> Option<ProxyAddress> {
    let address = match address {
        ListenAddress::Unix(path) => return Some(ProxyAddress::Unix(path.clone())),
        ListenAddress::Tcp(address) => address,
    };
    let ip = match address.ip() {
        ip if ip.is_loopback() => ip,
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        _ => return None,
    };
    Some(ProxyAddress::Tcp(NodeAddress {
        host: ip.to_string(),
        port: SocketAddr::port(address),
    }))
}
