//! The terminal's title, which a person sees without looking at the window: the share that is done.

use super::figures::Figures;
use super::line::cut;

/// Longer ones are cut off by whatever shows them.
const COLUMNS: usize = 60;

/// Keeps the title that the terminal has.
pub(super) const KEEP: &str = "\u{1b}[22;0t";
/// Clears the title, and puts the kept one back where the terminal can.
pub(super) const RESTORE: &str = "\u{1b}]0;\u{7}\u{1b}[23;0t";

/// `37 % langfuse-events 202511`
pub(super) fn title(figures: &Figures) -> String {
    let share = figures.whole_percent().map(|percent| format!("{percent} % ")).unwrap_or_default();
    let waiting = if figures.waiting.is_empty() { "" } else { ", waiting" };
    cut(&format!("{share}{}{waiting}", figures.name), COLUMNS)
}

/// The sequence that sets it.
pub(super) fn set(title: &str) -> String {
    format!("\u{1b}]0;{title}\u{7}")
}

/// Whether this kind of terminal has a title; the others would print it.
pub(super) fn has_title(term: Option<&str>) -> bool {
    !matches!(term, None | Some("" | "dumb" | "linux" | "vt100" | "vt220" | "cons25"))
}
