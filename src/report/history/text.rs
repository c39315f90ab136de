//! The history for people: the line, and the table below it.

use std::fmt::Write;
use std::time::Duration;

use super::{History, LoadHistory, PartitionHistory};
use crate::progress::{count, duration};

/// One block for each job.
pub fn text(histories: &[History]) -> String {
    histories.iter().map(block).collect::<Vec<_>>().join("\n")
}

fn block(history: &History) -> String {
    let History { job, source, target, summary, partitions } = history;
    let mut text = format!("{job}: {source} into {target}\n");
    if partitions.is_empty() {
        text.push_str("the source has no partition, and the ledger knows of none\n");
        return text;
    }
    let _ = writeln!(text, "{summary}\n");
    let head = ["partition", "state", "source rows", "inserted", "chunks", "began", "took", "run"]
        .map(str::to_owned);
    let mut rows = vec![head];
    for partition in partitions {
        if partition.loads.is_empty() {
            rows.push(row(partition, None));
        }
        rows.extend(partition.loads.iter().map(|load| row(partition, Some(load))));
    }
    table(&mut text, &rows);
    let said = partitions.iter().filter_map(|partition| {
        Some((partition, partition.loads.first().filter(|load| load.is_current)?))
    });
    let said: Vec<_> =
        said.filter(|(_, load)| !load.error.is_empty() || !load.at_work.is_empty()).collect();
    if !said.is_empty() {
        text.push('\n');
    }
    for (partition, load) in said {
        let id = &partition.partition;
        for error in [&load.error, &load.chunk_error]
            .into_iter()
            .filter(|error| !error.is_empty() && load.at_work.is_empty())
        {
            // Writing to a string cannot fail.
            let _ =
                writeln!(text, "{id}: {}", error.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        for who in &load.at_work {
            let _ = writeln!(text, "{id}: worker {who} is at it");
        }
    }
    text
}

fn row(partition: &PartitionHistory, load: Option<&LoadHistory>) -> [String; 8] {
    let source_rows = partition.source_rows.map_or_else(unknown, count);
    let Some(load) = load else {
        let state = partition.state.words().to_owned();
        return [
            partition.partition.clone(),
            state,
            source_rows,
            unknown(),
            unknown(),
            unknown(),
            unknown(),
            unknown(),
        ];
    };
    let state = match (load.is_current, partition.percent) {
        (false, _) => format!("{}, replaced", load.status.as_str()),
        (true, Some(percent)) if percent < 100 => {
            format!("{}, {percent} %", partition.state.words())
        }
        (true, _) => partition.state.words().to_owned(),
    };
    let seconds = load.seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    [
        partition.partition.clone(),
        state,
        source_rows,
        count(load.rows_inserted),
        format!("{} of {}", count(load.chunks_completed), count(load.chunks)),
        // To the second: `2025-11-20T14:46:40Z`.
        load.started_at.map_or_else(unknown, |time| {
            format!("{}Z", time.to_string().chars().take(19).collect::<String>())
        }),
        seconds.map_or_else(unknown, duration),
        load.run_id.clone(),
    ]
}

/// What there is not, or is not known.
fn unknown() -> String {
    "–".to_owned()
}

/// Columns as wide as they must be; figures are set to the right.
fn table<const COLUMNS: usize>(text: &mut String, rows: &[[String; COLUMNS]]) {
    let widths: Vec<_> = (0..COLUMNS)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for row in rows {
        let mut line = String::new();
        for ((cell, width), column) in row.iter().zip(&widths).zip(0..) {
            let _ = if (2..5).contains(&column) {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}
