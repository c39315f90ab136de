//! Showing a run while it goes on.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::bars::Bars;
use super::lines::Lines;
use super::terminal::Terminal;
use crate::pipeline::Counters;

/// How often bars are redrawn.
const BARS_EVERY: Duration = Duration::from_millis(125);

/// Runs `work` and shows its counters: as bars on a terminal, as a line every few seconds elsewhere.
pub async fn show<T>(terminal: &Terminal, counters: Arc<Counters>, dry_run: bool, work: impl Future<Output = T>) -> T {
    if !terminal.shows_progress() {
        return work.await;
    }
    let mut bars = terminal.has_bars().then(|| Bars::new(terminal, dry_run));
    let mut lines = Lines::new(dry_run);
    let mut ticks = interval(if bars.is_some() { BARS_EVERY } else { Lines::EVERY });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.reset();
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => {
                if let Some(bars) = bars { bars.finish(terminal, &counters); }
                return result;
            }
            _ = ticks.tick() => match &mut bars {
                Some(bars) => bars.draw(&counters),
                None => if let Some(line) = lines.line(&counters) { terminal.say(&line) },
            },
        }
    }
}
