//! What stderr shows of a command: its lines, and below them a bar.

use std::io::{IsTerminal, Write, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};

use super::meter::Reading;
use super::words;

/// Columns that a bar needs with its brackets; with fewer there are words only.
const BAR: usize = 12;

/// Columns where the terminal does not say how many it has.
const WIDTH: usize = 80;

/// Standard error. Lines and the bar go through it, so that neither is written
/// into the other.
pub struct Screen {
    /// `None` where there can be no bar.
    bar: Option<Mutex<Option<ProgressBar>>>,
}

impl Screen {
    /// A screen that has a bar if stderr is a terminal which can show one.
    /// `is_plain` if the user wants none.
    pub fn new(is_plain: bool) -> Self {
        let has_bar = !is_plain && stderr().is_terminal() && !console::is_dumb();
        Self {
            bar: has_bar.then(Mutex::default),
        }
    }

    /// A screen without a bar.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self { bar: None }
    }

    /// Whether there can be a bar.
    pub fn has_bar(&self) -> bool {
        self.bar.is_some()
    }

    /// Writes a line, above the bar if there is one.
    pub fn line(&self, text: &str) {
        let write = || drop(writeln!(stderr(), "{text}"));
        match self.lock().as_deref() {
            Some(Some(bar)) => bar.suspend(write),
            _ => write(),
        }
    }

    /// Shows the bar, or changes it.
    pub(super) fn show(&self, reading: &Reading) {
        let Some(mut shown) = self.lock() else { return };
        // The last column stays free: some terminals begin a new line in it.
        let columns = Term::stderr().size_checked();
        let columns = columns.map_or(WIDTH, |(_, columns)| columns.into());
        let columns = columns.saturating_sub(1);
        let text = words::fitting(reading, columns);
        let progress = &reading.progress;
        let has_bar = progress.total > 0 && columns.saturating_sub(text.len()) >= BAR;
        // The text is a part of the style, so that it never appears beside a
        // bar that was made for another. It has no braces.
        let template = match has_bar {
            true => format!("{text} [{{bar:{}}}]", columns - text.len() - 3),
            false => text,
        };
        let Ok(style) = ProgressStyle::with_template(&template) else {
            return;
        };
        let style = style.progress_chars("=> ");
        let bar = match &mut *shown {
            Some(bar) => {
                bar.set_style(style);
                bar
            }
            none => none.insert(ProgressBar::no_length().with_style(style)),
        };
        bar.update(|state| {
            state.set_len(progress.total.max(1));
            state.set_pos(progress.done.min(progress.total));
        });
    }

    /// Removes the bar.
    pub(super) fn clear(&self) {
        if let Some(bar) = self.lock().as_deref_mut().and_then(Option::take) {
            bar.finish_and_clear();
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Option<ProgressBar>>> {
        let bar = self.bar.as_ref()?;
        Some(bar.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
