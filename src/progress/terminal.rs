//! The one way to stderr: lines above the bars, and bars below the lines.

use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing_subscriber::fmt::MakeWriter;

/// What the person asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminalOptions {
    /// Only errors.
    pub quiet: bool,
    /// No bars and no lines of progress.
    pub no_progress: bool,
    /// Log lines are JSON: everything that is said becomes an event, so that stderr can be read line by line.
    pub json: bool,
}

/// Stderr, with or without bars. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Terminal {
    bars: MultiProgress,
    interactive: bool,
    color: bool,
    options: TerminalOptions,
}

impl Terminal {
    /// Looks at stderr and the environment: bars only on a terminal, colors only where [`NO_COLOR`](https://no-color.org) is not set.
    pub fn new(options: TerminalOptions) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let interactive = io::stderr().is_terminal() && !dumb;
        let color = interactive && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let target = if interactive && !options.quiet && !options.no_progress {
            ProgressDrawTarget::stderr_with_hz(8)
        } else {
            ProgressDrawTarget::hidden()
        };
        Self { bars: MultiProgress::with_draw_target(target), interactive, color, options }
    }

    /// Whether bars are drawn.
    pub fn has_bars(&self) -> bool {
        self.interactive && !self.options.json && self.shows_progress()
    }

    /// Whether progress is shown at all.
    pub fn shows_progress(&self) -> bool {
        !self.options.quiet && !self.options.no_progress
    }

    /// Whether to use colors.
    pub fn has_color(&self) -> bool {
        self.color
    }

    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Takes the bars away while something else is written to the screen.
    pub fn suspended<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// Writes text for the person, unless quiet was asked for.
    pub fn say(&self, text: &str) {
        if self.options.json {
            tracing::info!("{}", text.trim_end());
        } else if !self.options.quiet {
            self.write(text.as_bytes());
        }
    }

    /// Writes text in any case.
    pub fn insist(&self, text: &str) {
        if self.options.json {
            tracing::warn!("{}", text.trim_end());
        } else {
            self.write(text.as_bytes());
        }
    }

    /// Whether everything is said as JSON.
    pub fn is_json(&self) -> bool {
        self.options.json
    }

    fn write(&self, text: &[u8]) {
        // Where stderr is gone, there is nobody left to tell.
        self.bars.suspend(|| {
            let mut stderr = io::stderr().lock();
            let _ = stderr.write_all(text);
            if text.last() != Some(&b'\n') {
                let _ = stderr.write_all(b"\n");
            }
            let _ = stderr.flush();
        });
    }
}

/// Collects one event and writes it whole.
pub struct EventWriter {
    terminal: Terminal,
    text: Vec<u8>,
}

impl Write for EventWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.terminal.write(&self.text);
        }
    }
}

impl<'a> MakeWriter<'a> for Terminal {
    type Writer = EventWriter;

    fn make_writer(&'a self) -> EventWriter {
        EventWriter { terminal: self.clone(), text: Vec::new() }
    }
}
