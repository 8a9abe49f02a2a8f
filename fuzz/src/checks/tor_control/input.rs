//! The bytes of the fuzzer as choices: what the victim asks for, and what the
//! attacker writes into a target.

use super::super::input::Input;
use super::tor::{Fields, Tor};

/// The longest host that a client can ask for.
const MAX_HOST: usize = 255;

/// Names, each with a verdict of its own (`promises::verdict`).
pub const HOSTS: [&str; 16] = [
    "a.bit",
    "x.example",
    "b.bit",
    "A.BIT",
    "c.bit.",
    "gone.bit",
    "late.bit",
    "odd.bit",
    "192.0.2.1",
    "2001:db8::5",
    "x.auto.bit",
    "127.192.0.0",
    "127.192.0.1",
    "now.bit",
    "evil.bit",
    "evil.example",
];

const CLIENTS: [Option<&str>; 4] = [
    Some("127.0.0.1"),
    Some("127.0.0.2"),
    Some("/run/my tor/socks"),
    None,
];

const USERS: [&str; 3] = ["", "u", "v \\\"w\\\\"];

const PROTOCOLS: [&str; 3] = ["SOCKS5", "HTTPCONNECT", "DNS"];

const DEFAULT: &str = "SOCKS_USERNAME,SOCKS_PASSWORD,CLIENTADDR,SESSION_GROUP,NYM_EPOCH";

const BY: [&str; 7] = [
    DEFAULT,
    "SOCKS_USERNAME,SOCKS_PASSWORD,CLIENTADDR,DESTADDR,SESSION_GROUP,NYM_EPOCH",
    "NYM_EPOCH",
    "CLIENT_PROTOCOL,DESTPORT,NYM_EPOCH",
    "",
    "NYM_EPOCH,NEW_KIND",
    "SESSION_GROUP,NYM_EPOCH",
];

impl Input<'_> {
    pub fn host(&mut self) -> &'static str {
        HOSTS[self.below(HOSTS.len())]
    }

    pub fn fields(&mut self, epoch: u32) -> Fields {
        let choice = self.byte();
        // Most streams of a program look alike.
        let (user, by) = match choice {
            0..=127 => (0, 0),
            _ => (self.below(USERS.len()), self.below(BY.len())),
        };
        Fields {
            client: CLIENTS[usize::from(choice % 4)],
            user: USERS[user],
            protocol: PROTOCOLS[usize::from(choice / 4) % 3],
            epoch,
            group: [-4, -5][usize::from(choice / 16) % 2],
            by: BY[by],
        }
    }

    /// An id that a stream has, or will have soon.
    fn id(&mut self, tor: &Tor) -> u64 {
        let choice = u64::from(self.byte());
        match choice {
            0..=127 => tor.next + choice % 5,
            128..=250 => tor.next.saturating_sub(1 + choice % 8),
            251 => 0,
            _ => u64::MAX - choice % 3,
        }
    }

    /// A host that holds lines of the attacker's own.
    pub fn raw_host(&mut self, tor: &Tor) -> Vec<u8> {
        let mut host = Vec::new();
        for _ in 0..1 + self.below(6) {
            self.piece(tor, &mut host);
        }
        // Tor takes it for the end.
        host.retain(|byte| *byte != 0);
        host.truncate(MAX_HOST);
        host
    }

    fn piece(&mut self, tor: &Tor, host: &mut Vec<u8>) {
        const LINES: [&str; 16] = [
            "250 OK",
            "552 Unknown stream \"17\"",
            "552 Unknown circuit \"none\"",
            "551 x",
            "555 x",
            "250-stream-status=",
            "250+stream-status=",
            ".",
            "x",
            "",
            "650 OK",
            "650 SIGNAL NEWNYM",
            "650 SIGNAL RELOAD",
            "650-__LeaveStreamsUnattached=0",
            "650-AutomapHostsOnResolve=0",
            "650 STREAM",
        ];
        const STATUSES: [&str; 5] = ["NEW", "CONTROLLER_WAIT", "NEWRESOLVE", "CLOSED", "DETACHED"];
        const PURPOSES: [&str; 3] = ["USER", "DIR_FETCH", "DNS_REQUEST"];
        if !host.is_empty() {
            host.extend(b"\r\n");
        }
        match self.below(8) {
            0 => host.extend(LINES[self.below(LINES.len())].bytes()),
            1 => {
                let count = self.below(32);
                host.extend(self.bytes(count));
            }
            2 => {
                let (id, asked) = (self.id(tor), self.host());
                let status = STATUSES[self.below(3)];
                host.extend(format!("{id} {status} 0 {asked}:80").bytes());
            }
            3 => {
                let asked = self.host();
                host.extend(format!("127.192.0.{} {asked} NEVER", self.below(3)).bytes());
            }
            4 => {
                // What the event says of the attacker's own stream.
                let (asked, rest) = (self.host(), self.rest(tor));
                let purpose = PURPOSES[self.below(PURPOSES.len())];
                host.extend(format!("{asked}:80 PURPOSE={purpose} {rest}").bytes());
            }
            5 => host.extend(self.host().bytes()),
            _ => {
                let (id, asked) = (self.id(tor), self.host());
                let choice = self.byte();
                let status = STATUSES[usize::from(choice) % STATUSES.len()];
                let rest = self.rest(tor);
                let fields = match (status, choice / 16) {
                    (_, 15) => String::new(),
                    ("NEW" | "NEWRESOLVE", choice) => {
                        let source = CLIENTS[usize::from(choice) % CLIENTS.len()];
                        let source = source.map(|source| format!("SOURCE_ADDR={source}:47942 "));
                        let purpose = PURPOSES[usize::from(choice / 5)];
                        format!(" {}PURPOSE={purpose} {rest}", source.unwrap_or_default())
                    }
                    _ => format!(" {rest}"),
                };
                let port = [80, 0][usize::from(choice) / 128];
                host.extend(format!("650 STREAM {id} {status} 0 {asked}:{port}{fields}").bytes());
            }
        }
    }

    /// The fields of the victim's streams, or fewer, for want of room.
    fn rest(&mut self, tor: &Tor) -> String {
        match self.below(3) {
            0 => "NYM_EPOCH=0 ISO_FIELDS=NYM_EPOCH".to_owned(),
            _ => self.fields(tor.epoch).rest(),
        }
    }
}
