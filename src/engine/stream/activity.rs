//! What the tasks of a pipeline are at: how many at this moment, and for how long together. From
//! this follows which stage is the bottleneck.

use std::time::{Duration, Instant};

use super::counters::Counter;

/// What a task can be at.
#[derive(Debug, Default)]
pub struct Activities {
    /// Readers that wait for the server's rows.
    pub reading: Activity,
    /// Readers that frame rows, look up their keys and put batches together.
    pub enriching: Activity,
    /// Readers that wait for rows that are looked up late.
    pub looking_up: Activity,
    /// Readers that wait for room in the queue.
    pub queueing: Activity,
    /// Readers that wait because of the limit of rows a second.
    pub throttling: Activity,
    /// Inserters that wait for a batch.
    pub idling: Activity,
    /// Inserters whose batch is under way, pauses between attempts included.
    pub inserting: Activity,
}

/// One thing that a task can be at.
#[derive(Debug, Default)]
pub struct Activity {
    tasks: Counter,
    microseconds: Counter,
}

/// A task is at it until this is dropped.
pub(super) struct Busy<'a> {
    activity: &'a Activity,
    began: Instant,
}

impl Activity {
    /// How many tasks are at it now.
    pub fn tasks(&self) -> u64 {
        self.tasks.get()
    }

    /// How long tasks were at it, all together; what has not ended yet is not in it.
    pub fn time(&self) -> Duration {
        Duration::from_micros(self.microseconds.get())
    }

    pub(super) fn begin(&self) -> Busy<'_> {
        self.tasks.add(1);
        Busy { activity: self, began: Instant::now() }
    }

    /// A task is at it for as long as this takes, or until it is given up.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let _busy = self.begin();
        work.await
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.activity.tasks.take(1);
        self.activity
            .microseconds
            .add(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_are_counted_while_they_are_at_it() {
        let activity = Activity::default();
        let pause = tokio::time::sleep(Duration::from_millis(5));
        tokio::select! {
            biased;
            () = activity.during(std::future::pending()) => {}
            () = async { assert_eq!(activity.tasks(), 1); pause.await } => {}
        }
        assert!(
            activity.tasks() == 0 && activity.time() >= Duration::from_millis(5),
            "{activity:?}"
        );
    }
}
