//! The task that asks.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::questions::{Answer, questions, sample, together};
use super::sample::Sample;
use crate::clickhouse::{Connection, Error, Settings, TableName};

/// Between two samples.
pub const INTERVAL: Duration = Duration::from_secs(2);
/// A server that needs longer for such a question has other worries.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is watched.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The target.
    pub table: TableName,
    /// Its engine.
    pub engine: String,
    /// The id of the partition that is filled, where there is one; else all count that are written
    /// to.
    pub partition_id: Option<String>,
}

/// Watches the target's server until it is dropped.
#[derive(Debug)]
pub struct Monitor {
    samples: watch::Receiver<Sample>,
    task: JoinHandle<()>,
}

impl Monitor {
    /// Begins to watch.
    pub fn start(connection: Connection, watched: Watched, every: Duration) -> Self {
        let (sender, samples) = watch::channel(Sample::unknown());
        let task = tokio::spawn(watch_until_nobody_listens(connection, watched, every, sender));
        Self { samples, task }
    }

    /// The newest sample.
    pub fn sample(&self) -> Sample {
        self.samples.borrow().clone()
    }

    /// For waiting for the next one.
    pub fn subscribe(&self) -> watch::Receiver<Sample> {
        self.samples.clone()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch_until_nobody_listens(
    connection: Connection,
    watched: Watched,
    every: Duration,
    sender: watch::Sender<Sample>,
) {
    let mut asker = Asker { connection, watched, began: Instant::now(), refused: Vec::new() };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if sender.send(asker.sample().await).is_err() {
            return;
        }
    }
}

struct Asker {
    connection: Connection,
    watched: Watched,
    began: Instant,
    /// The questions, by their place, that this server or this user's rights do not let be asked.
    refused: Vec<usize>,
}

impl Asker {
    async fn sample(&mut self) -> Sample {
        // Times of parts are whole seconds.
        let questions = questions(&self.watched, self.began.elapsed().as_secs() + 1);
        let allowed = questions
            .iter()
            .enumerate()
            .filter(|(place, _)| !self.refused.contains(place))
            .map(|(_, question)| question);
        match self.ask(&together(allowed)).await {
            Ok(answers) => sample(answers),
            Err(Some(error)) if !error.is_no_response() => self.sample_one_by_one(&questions).await,
            Err(_) => Sample::unknown(),
        }
    }

    /// Asks each question by itself, and remembers which were refused.
    async fn sample_one_by_one(&mut self, questions: &[String]) -> Sample {
        let (mut answers, mut refused) = (Vec::new(), Vec::new());
        for (place, question) in questions.iter().enumerate() {
            match self.ask(question).await {
                Ok(more) => answers.extend(more),
                Err(_) => refused.push(place),
            }
        }
        // Where none was answered, it is not the rights that lack.
        self.refused = if refused.len() == questions.len() { Vec::new() } else { refused };
        sample(answers)
    }

    /// The answers; `None` where they did not come in time.
    async fn ask(&self, sql: &str) -> Result<Vec<Answer>, Option<Error>> {
        let settings = Settings::read();
        let answers =
            match timeout(PATIENCE, self.connection.rows_with("monitor", sql, &settings)).await {
                Ok(answers) => answers.map_err(Some),
                Err(_) => Err(None),
            };
        answers.inspect_err(|error| {
            let error =
                error.as_ref().map_or_else(|| "no answer in time".to_owned(), ToString::to_string);
            tracing::debug!(error, "the server's figures cannot be read");
        })
    }
}
