//! The progress bar, drawn by [`indicatif`] into a string that the screen shows as one of its lines.
//!
//! `indicatif` does not draw on the terminal itself: after tmux has wrapped lines at a new width, it
//! moves the cursor up by too few rows and leaves torn lines behind.

use std::io;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::sync::Mutex;

/// The length of a full bar for `indicatif`, in which a share is counted.
const WHOLE: u64 = 10_000;

/// A bar in brackets, `columns` wide, filled to `share`.
pub(super) fn bar(share: f64, columns: usize) -> String {
    let line = OneLine::new(columns + 2);
    // An invalid template gives the default style.
    let style = ProgressStyle::with_template(&format!("[{{bar:{columns}}}]"))
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(
        Some(WHOLE),
        ProgressDrawTarget::term_like(Box::new(line.clone())),
    );
    bar.set_style(style.progress_chars("=> "));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a whole"
    )]
    bar.set_position((share.clamp(0.0, 1.0) * WHOLE as f64) as u64);
    bar.tick();
    let text = line.text();
    bar.finish_and_clear();
    text
}

/// A terminal of one line that keeps the last text written to it.
#[derive(Clone, Debug)]
struct OneLine {
    columns: u16,
    text: Arc<Mutex<String>>,
}

impl OneLine {
    fn new(columns: usize) -> Self {
        Self { columns: u16::try_from(columns).unwrap_or(u16::MAX), text: Arc::default() }
    }

    fn text(&self) -> String {
        self.with(|text| text.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn with<T>(&self, change: impl FnOnce(&mut String) -> T) -> T {
        change(&mut self.text.lock())
    }
}

impl TermLike for OneLine {
    fn width(&self) -> u16 {
        self.columns
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.write_str(line)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.with(|kept| kept.push_str(text));
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.with(String::clear);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_filled_to_its_share_at_a_fixed_width() {
        assert_eq!(bar(0.0, 10), "[          ]");
        assert_eq!(bar(0.5, 10), "[=====>    ]");
        assert_eq!(bar(0.999, 10), "[=========>]");
        assert_eq!([bar(1.0, 10), bar(7.0, 10)], ["[==========]", "[==========]"]);
        for thousandths in 0..=1000 {
            assert_eq!(bar(f64::from(thousandths) / 1000.0, 23).chars().count(), 25);
        }
    }
}
