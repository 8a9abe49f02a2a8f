//! A verdict to be given again.

use std::sync::OnceLock;

use super::Verdict;

/// A verdict that is kept for the next query of its kind, with the bytes that
/// clients read, so that they are made once.
#[derive(Debug)]
pub struct Answer {
    verdict: Verdict,
    written: OnceLock<Box<[u8]>>,
}

impl Answer {
    /// An answer that nobody has written yet.
    pub fn new(verdict: Verdict) -> Self {
        Self {
            verdict,
            written: OnceLock::new(),
        }
    }

    /// The verdict itself.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The bytes that `write` makes of the verdict, or made of it before.
    pub fn written(&self, write: impl FnOnce(&Verdict) -> Box<[u8]>) -> &[u8] {
        self.written.get_or_init(|| write(&self.verdict))
    }

    /// Bytes that the answer keeps on the heap, those that are written of it
    /// included: the status and the text. No verdict that is kept holds
    /// anything that has to be escaped.
    pub fn weight(&self) -> usize {
        let text = match &self.verdict {
            Verdict::Onion(onion) => onion.as_str().len(),
            Verdict::Address(_) => MAX_ADDRESS,
            Verdict::Host(text) | Verdict::NotInZone(text) | Verdict::NotFound(text) => text.len(),
            Verdict::Unknown(failure) => failure.message.len(),
        };
        size_of::<Self>() + 2 * text + PUNCTUATION
    }
}

/// The longest address as text.
const MAX_ADDRESS: usize = 39;

/// The status, spaces, quotes and the end of the line.
const PUNCTUATION: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{FailureKind, FetchFailure};

    /// The text stands in the verdict and in what is written of it.
    #[test]
    fn an_answer_weighs_its_text_twice() {
        let weight = |verdict: Verdict| Answer::new(verdict).weight();
        let bare = size_of::<Answer>() + PUNCTUATION;
        let failure = FetchFailure::new(FailureKind::TimedOut, "four");
        for verdict in [
            Verdict::Host("four".into()),
            Verdict::NotInZone("four".into()),
            Verdict::NotFound("four".into()),
            Verdict::Unknown(failure),
        ] {
            assert_eq!(weight(verdict), bare + 8);
        }
        let address = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff";
        let longest = 2 * (address.len() + 1);
        assert_eq!(
            weight(Verdict::Address(address.parse().unwrap())),
            bare + longest
        );
    }
}
