//! Questions to one name server over one connection of their own: DNS over TCP
//! through the proxy (RFC 7766).

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RecordType};
use thiserror::Error;

use super::message::{self, Extensions, Lame, Sent};
use crate::config::settings::{NodeAddress, ProxyAddress};
use crate::source::transport::socks::SocksError;
use crate::source::transport::tcp::Bounded;
use crate::source::transport::{self, OpenError, Until};

/// How long all replies may take after the first byte.
const REST: Duration = Duration::from_secs(5);

/// The port of name servers.
const PORT: u16 = 53;

/// What became of one question.
pub type Heard = Result<Message, Lame>;

/// What a server said.
#[derive(Debug)]
pub struct Exchange {
    /// The questions as they were sent.
    sent: Vec<Sent>,
    /// By the position of the question, as bytes; `None` where no reply came. They
    /// are decoded when they are judged: decoded, they can take many times as much
    /// memory, and a server may keep us waiting for the last.
    replies: Vec<Option<Vec<u8>>>,
    /// Why replies are missing.
    pub failure: Option<ServerError>,
    /// Whether the questions were sent.
    pub was_sent: bool,
}

/// Why a server did not answer. Each says what happened, without a name, in
/// words that follow "a name server".
#[derive(Debug, Error)]
pub enum ServerError {
    /// The proxy cannot be used, whatever the server. Says why.
    #[error("{0}")]
    Proxy(OpenError),
    /// The proxy cannot connect to the server.
    #[error("could not be reached ({0})")]
    Unreachable(&'static str),
    /// The connection broke.
    #[error("closed the connection")]
    Closed,
    /// The server did not answer in time.
    #[error("did not answer in time")]
    TimedOut,
    /// A question is too long for a message.
    #[error("could not be asked, as the question is too long")]
    Question,
}

impl Exchange {
    fn failed(count: usize, failure: ServerError) -> Self {
        Self {
            sent: Vec::new(),
            replies: (0..count).map(|_| None).collect(),
            failure: Some(failure),
            was_sent: false,
        }
    }

    /// The replies, decoded.
    pub fn heard(&self) -> Vec<Option<Heard>> {
        heard(&self.replies, &self.sent)
    }
}

/// Asks a server all questions at once, and waits for its replies. They may come
/// in any order.
pub fn exchange(
    server: &str,
    proxy: &ProxyAddress,
    questions: &[(Name, RecordType)],
    extensions: Extensions,
    until: Until<'_>,
) -> Exchange {
    let count = questions.len();
    let Some((sent, bytes)) = encode(questions, extensions) else {
        return Exchange::failed(count, ServerError::Question);
    };
    let target = NodeAddress {
        host: server.to_owned(),
        port: PORT,
    };
    let tcp = match transport::open(&target, Some(proxy), until) {
        Ok(tcp) => tcp,
        Err(error) => return Exchange::failed(count, error.into()),
    };
    let mut stream = Bounded { tcp: &tcp, until };
    if let Err(error) = stream.write_all(&bytes) {
        return Exchange::failed(count, error.kind().into());
    }
    let mut exchange = Exchange::failed(count, ServerError::Closed);
    exchange.was_sent = true;
    let mut stream = Hurried {
        stream,
        has_begun: false,
    };
    exchange.failure = collect(&mut stream, &sent, &mut exchange.replies).err();
    exchange.sent = sent;
    exchange
}

/// Replies, which have to be there soon after they begin: a server that answers
/// one question may never answer another.
struct Hurried<'a> {
    stream: Bounded<'a>,
    has_begun: bool,
}

impl Read for Hurried<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(into)?;
        if !self.has_begun {
            self.has_begun = true;
            let until = &mut self.stream.until;
            until.deadline = until.deadline.min(Instant::now() + REST);
        }
        Ok(count)
    }
}

/// All questions as they are sent; `None` if one is too long for a message.
fn encode(
    questions: &[(Name, RecordType)],
    extensions: Extensions,
) -> Option<(Vec<Sent>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut sent: Vec<Sent> = Vec::new();
    while let Some((name, kind)) = questions.get(sent.len()) {
        let (one, query) = message::query(name, *kind, extensions)?;
        // The id alone says which question a reply answers.
        if sent.iter().any(|other| other.has_id_of(&one)) {
            continue;
        }
        bytes.extend(u16::try_from(query.len()).ok()?.to_be_bytes());
        bytes.extend(query);
        sent.push(one);
    }
    Some((sent, bytes))
}

/// Reads replies until there is one to each question.
///
/// # Errors
/// Some have none. Those that came count nevertheless.
pub fn collect(
    stream: &mut impl Read,
    sent: &[Sent],
    replies: &mut [Option<Vec<u8>>],
) -> Result<(), ServerError> {
    // A server that floods us with replies to other questions ends the exchange.
    for _ in 0..2 * sent.len() {
        let mut length = [0; 2];
        read(stream, &mut length)?;
        let mut bytes = vec![0; u16::from_be_bytes(length).into()];
        read(stream, &mut bytes)?;
        let at = message::position(&bytes, sent);
        let reply = at.and_then(|at| replies.get_mut(at));
        if let Some(reply) = reply.filter(|reply| reply.is_none()) {
            *reply = Some(bytes);
        }
        if replies.iter().all(Option::is_some) {
            return Ok(());
        }
    }
    Err(ServerError::Closed)
}

/// Decodes replies.
pub fn heard(replies: &[Option<Vec<u8>>], sent: &[Sent]) -> Vec<Option<Heard>> {
    let replies = replies.iter().enumerate().map(|(at, bytes)| {
        let (bytes, question) = (bytes.as_ref()?, sent.get(at)?);
        Some(message::read(bytes, question))
    });
    replies.collect()
}

fn read(stream: &mut impl Read, into: &mut [u8]) -> Result<(), ServerError> {
    stream.read_exact(into).map_err(|error| error.kind().into())
}

impl From<ErrorKind> for ServerError {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Closed,
        }
    }
}

impl From<OpenError> for ServerError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Socks(SocksError::Unreachable(why)) => Self::Unreachable(why),
            OpenError::Socks(SocksError::Io(error)) => error.kind().into(),
            other => Self::Proxy(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read a byte at a time.
    struct Slow(Vec<u8>);

    impl Read for Slow {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() || into.is_empty() {
                return Ok(0);
            }
            into[0] = self.0.remove(0);
            Ok(1)
        }
    }

    fn framed(messages: &[&[u8]]) -> Slow {
        let mut bytes = Vec::new();
        for message in messages {
            bytes.extend((message.len() as u16).to_be_bytes());
            bytes.extend(*message);
        }
        Slow(bytes)
    }

    fn two_questions() -> (Vec<Sent>, Vec<Vec<u8>>) {
        let name = Name::from_ascii("a.bit.").unwrap();
        let kinds = [RecordType::A, RecordType::AAAA];
        let queries = kinds.map(|kind| message::query(&name, kind, Extensions::Padded).unwrap());
        // A query with the bit of a response is a reply without records.
        let replies = queries.iter().map(|(_, query)| {
            let mut reply = query.clone();
            reply[2] |= 0x84;
            reply
        });
        let replies = replies.collect();
        let sent = queries.into_iter().map(|(sent, _)| sent).collect();
        (sent, replies)
    }

    #[test]
    fn replies_come_in_any_order_and_others_are_ignored() {
        let (sent, bytes) = two_questions();
        let mut other = bytes[0].clone();
        other[0] ^= 0xff;
        let mut stream = framed(&[&bytes[1], &other, b"", &bytes[0]]);
        let mut replies = vec![None, None];
        collect(&mut stream, &sent, &mut replies).unwrap();
        for reply in heard(&replies, &sent) {
            assert!(reply.unwrap().is_ok());
        }
    }

    #[test]
    fn what_came_before_the_end_counts() {
        let (sent, bytes) = two_questions();
        let mut stream = framed(&[&bytes[1]]);
        stream.0.extend([0xff, 0xff, 0, 1, 2]);
        let mut replies = vec![None, None];
        let error = collect(&mut stream, &sent, &mut replies).unwrap_err();
        assert!(matches!(error, ServerError::Closed));
        assert!(replies[0].is_none() && replies[1].is_some());
    }

    #[test]
    fn a_flood_of_other_replies_ends() {
        let (sent, bytes) = two_questions();
        let mut other = bytes[0].clone();
        other[0] ^= 0xff;
        let flood: Vec<&[u8]> = vec![&other; 100];
        let mut replies = vec![None, None];
        let mut stream = framed(&flood);
        assert!(collect(&mut stream, &sent, &mut replies).is_err());
        let read = 100 - stream.0.len() / (2 + other.len());
        assert_eq!(read, 2 * sent.len());
    }

    #[test]
    fn the_first_reply_to_a_question_counts() {
        let (sent, bytes) = two_questions();
        let mut failing = bytes[0].clone();
        failing[3] |= 2;
        let mut stream = framed(&[&bytes[0], &failing, &bytes[1]]);
        let mut replies = vec![None, None];
        collect(&mut stream, &sent, &mut replies).unwrap();
        assert!(heard(&replies, &sent).iter().flatten().all(Result::is_ok));
    }
}
