//! Showing a run while it goes on.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::figures::{Shown, Watch};
use super::lines;
use super::screen::screen;
use super::terminal::Terminal;
use super::title::title;

/// How often the screen is drawn.
const SCREEN_EVERY: Duration = Duration::from_millis(125);
/// How often figures are looked at where there is no screen: often enough to say which stage is the
/// bottleneck.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a line is written where there is no screen.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Runs `work` and shows its figures: on a screen where there is a terminal, as a line every few
/// seconds elsewhere.
pub async fn show<T>(terminal: &Terminal, shown: Shown, work: impl Future<Output = T>) -> T {
    if !terminal.shows_progress() {
        return work.await;
    }
    let showing = async {
        if terminal.has_screen() {
            draw_again_and_again(terminal, Watch::new(shown)).await;
        } else {
            say_now_and_then(terminal, Watch::new(shown)).await;
        }
    };
    tokio::select! {
        biased;
        result = work => result,
        () = showing => unreachable!("what is shown has no end"),
    }
}

async fn draw_again_and_again(terminal: &Terminal, mut watch: Watch) {
    /// However the run ends.
    struct Clear<'a>(&'a Terminal);
    impl Drop for Clear<'_> {
        fn drop(&mut self) {
            self.0.clear();
        }
    }
    let _clear = Clear(terminal);
    let mut ticks = interval(SCREEN_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // Without the signal, the next tick sees the new size.
    let mut resized = signal(SignalKind::window_change()).ok();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Some(()) = async { resized.as_mut()?.recv().await } => {}
        }
        let figures = watch.look();
        terminal.draw(screen(&figures, Terminal::size()), title(&figures));
    }
}

async fn say_now_and_then(terminal: &Terminal, mut watch: Watch) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut said = Instant::now();
    loop {
        ticks.tick().await;
        let figures = watch.look();
        if said.elapsed() >= LINE_EVERY {
            said = Instant::now();
            if terminal.is_json() {
                lines::event(&figures);
            } else if let Some(line) = lines::line(&figures) {
                terminal.say(&line);
            }
        }
    }
}
