//! A stand-in for Tor: a SOCKS5 server that writes down what it is asked, and
//! does with each host what a test says.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use super::PATIENCE;
use super::socks::Request;

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Manner {
    /// It is sent these bytes as the reply, and the connection is closed.
    Says(Vec<u8>),
    /// A stream leads there.
    Leads(SocketAddr),
    /// A stream leads there once so many bytes have arrived.
    LeadsAfter(usize, SocketAddr),
    /// There is no reply.
    Stalls,
    /// A stream begins, and nothing comes of it.
    Opens,
    /// A stream begins, says so much, and is closed.
    Breaks(&'static [u8]),
}

/// A whole reply with a code.
pub fn reply(code: u8) -> Vec<u8> {
    vec![5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

/// What one connection asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub request: Request,
    /// What arrived before the reply was sent.
    pub early: Vec<u8>,
    pub closed: bool,
}

impl Asked {
    /// The credentials as text.
    pub fn credentials(&self) -> Option<(String, String)> {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let credentials = self.request.credentials.as_ref();
        credentials.map(|(user, password)| (text(user), text(password)))
    }
}

struct State {
    manners: HashMap<String, Manner>,
    /// What becomes of other hosts.
    otherwise: Manner,
    asked: Vec<Asked>,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

pub struct Tor {
    address: String,
    shared: Shared,
}

impl Tor {
    /// It refuses hosts that nothing else is said of.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self::accepting(address, move || Ok(listener.accept()?.0))
    }

    /// At a Unix socket.
    pub fn on_unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let address = format!("unix:{}", path.display());
        // The type of TCP streams holds a Unix socket as well.
        let accept = move || Ok(OwnedFd::from(listener.accept()?.0).into());
        Self::accepting(address, accept)
    }

    fn accepting(
        address: String,
        accept: impl Fn() -> std::io::Result<TcpStream> + Send + 'static,
    ) -> Self {
        let shared: Shared = Arc::new((
            Mutex::new(State {
                manners: HashMap::new(),
                otherwise: Manner::Says(reply(1)),
                asked: Vec::new(),
            }),
            Condvar::new(),
        ));
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            loop {
                let Ok(client) = accept() else { continue };
                let shared = Arc::clone(&state);
                // A connection that breaks is the test's affair.
                let serve = move || serve(client, &shared);
                // Thousands of streams lead here.
                let small = thread::Builder::new().stack_size(128 << 10);
                small.spawn(serve).unwrap();
            }
        });
        Self { address, shared }
    }

    /// It leads every host to one address.
    pub fn leading_to(upstream: SocketAddr) -> Self {
        let tor = Self::start();
        tor.state().otherwise = Manner::Leads(upstream);
        tor
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap()
    }

    /// What becomes of a host from now on.
    pub fn on(&self, host: &str, manner: Manner) {
        self.state().manners.insert(host.to_owned(), manner);
    }

    /// All that was asked for.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// What was asked for a host.
    pub fn asked_for(&self, host: &str) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(|one| one.request.host_text() == host);
        asked
    }

    /// Waits until what was asked fits.
    #[track_caller]
    pub fn wait(&self, what: &str, fits: impl Fn(&[Asked]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state();
        while !fits(&state.asked) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let story = format!("{:#?}", state.asked);
                drop(state);
                panic!("{what}: {story}");
            }
            state = self.shared.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Nothing that it saw ends in `.bit`, whatever bytes follow.
    #[track_caller]
    pub fn assert_no_bit(&self) {
        for asked in self.asked() {
            let host = asked.request.host.to_ascii_lowercase();
            let has_bit = host.windows(4).any(|part| part == b".bit");
            assert!(!has_bit && host != b"bit", "{asked:?}");
        }
    }
}

fn serve(mut client: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let request = Request::read(&mut client)?;
    let (manner, at) = {
        let mut state = shared.0.lock().unwrap();
        let found = state.manners.get(&request.host_text());
        let manner = found.unwrap_or(&state.otherwise).clone();
        state.asked.push(Asked {
            request,
            ..Asked::default()
        });
        (manner, state.asked.len() - 1)
    };
    shared.1.notify_all();
    let done = treat(client, manner, |early| {
        shared.0.lock().unwrap().asked[at].early.extend(early);
        shared.1.notify_all();
    });
    shared.0.lock().unwrap().asked[at].closed = true;
    shared.1.notify_all();
    done
}

fn treat(
    mut client: TcpStream,
    manner: Manner,
    mut came_early: impl FnMut(&[u8]),
) -> std::io::Result<()> {
    let opened = reply(0);
    match manner {
        Manner::Opens => {
            client.write_all(&opened)?;
            client.read_to_end(&mut Vec::new()).map(drop)
        }
        Manner::Says(reply) => {
            client.write_all(&reply)?;
            client.shutdown(Shutdown::Write)?;
            // Read out, so that the reply is not discarded.
            client.read_to_end(&mut Vec::new()).map(drop)
        }
        Manner::Stalls => client.read_to_end(&mut Vec::new()).map(drop),
        Manner::Breaks(words) => {
            client.write_all(&opened)?;
            client.write_all(words)
        }
        Manner::Leads(upstream) => {
            let server = TcpStream::connect(upstream)?;
            client.write_all(&opened)?;
            splice(&client, &server);
            Ok(())
        }
        Manner::LeadsAfter(count, upstream) => {
            let mut early = vec![0; count];
            client.read_exact(&mut early)?;
            came_early(&early);
            let mut server = TcpStream::connect(upstream)?;
            server.write_all(&early)?;
            client.write_all(&opened)?;
            splice(&client, &server);
            Ok(())
        }
    }
}

/// Passes bytes on both ways, each until its end.
fn splice(one: &TcpStream, other: &TcpStream) {
    thread::scope(|scope| {
        for (mut from, mut to) in [(one, other), (other, one)] {
            let copy = move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            };
            let small = thread::Builder::new().stack_size(128 << 10);
            small.spawn_scoped(scope, copy).unwrap();
        }
    });
}

/// A server that sends back what it receives, to its end.
pub fn echo() -> SocketAddr {
    listen(|mut stream| {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count) = stream.read(&mut bytes) {
            if count == 0 || stream.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
    })
}

/// A web server with one page.
pub fn web(text: &'static str) -> SocketAddr {
    listen(move |mut stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
            head.push(byte[0]);
        }
        let length = text.len();
        let page = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
        );
        let _ = stream.write_all(page.as_bytes());
    })
}

/// A server that treats each connection in one way, and then closes it.
pub fn listen(treat: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let treat = Arc::new(treat);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let treat = Arc::clone(&treat);
            let small = thread::Builder::new().stack_size(128 << 10);
            small.spawn(move || treat(stream)).unwrap();
        }
    });
    address
}
