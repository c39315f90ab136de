//! The plan as text, in at most [`WIDTH`] columns.

use std::fmt::Write;

use super::document::{ColumnShown, Document, MemoryShown, WaveShown};
use crate::cli::output::layout::{WIDTH, cut, wrap_block, wrapped};
use crate::preflight::{Check, Cluster, Topology, Verdict};
use crate::units::{bytes, count, counted};

/// Longer names push their line to the right.
const LONGEST_NAME: usize = 28;
/// Longer types are cut; `--json` has them in full.
const LONGEST_TYPE: usize = 23;
/// How many chunks are shown at each end of a list; `--json` has all.
const CHUNKS: usize = 12;
/// The indentation of values in blocks.
const VALUES: usize = 14;

/// The text. `head` describes the servers and tables, `estimate` the duration.
pub(crate) fn text(document: &Document, head: &str, estimate: &str) -> String {
    let mut text = wrap_block(head, VALUES, WIDTH);
    if let Some(topology) = &document.topology {
        text.push_str(&wrapped("  topology    ", &around(topology, document.servers.one)));
    }
    text.push_str(&wrapped("  ledger      ", &document.ledger.words()));
    text.push_str(&mapping(document));
    text.push_str(&memory(&document.memory));
    if let Some(parts) = document.new_parts {
        let size = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), self::bytes);
        text.push_str("\ndisk of the target\n");
        line(&mut text, "needed", &format!("about {}", size(document.disk.needed_bytes)));
        line(&mut text, "free", &size(document.disk.free_bytes));
        line(&mut text, "new parts", &format!("about {}, before merges", count(parts)));
    }
    for wave in &document.waves {
        text.push_str(&self::wave(document, wave));
    }
    text.push_str(estimate);
    if !document.checks.is_empty() {
        text.push_str("\nchecks\n");
        document.checks.iter().for_each(|check| text.push_str(&self::check(check)));
    }
    text.push_str(&verdict(document));
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    text.push_str(&wrapped(&format!("  {name:<12}"), value));
}

/// The last line: whether a run would start.
fn verdict(document: &Document) -> String {
    if document.waves.is_empty() {
        return format!("\npartition {} has no rows: there is nothing to do\n", document.partition);
    }
    let of = |verdict| document.checks.iter().filter(|check| check.verdict == verdict).count();
    let blocking = of(Verdict::Blocked) as u64;
    if blocking > 0 {
        return format!(
            "\nblocked: {} must be corrected before a run\n",
            counted(blocking, "check")
        );
    }
    match of(Verdict::Warning) as u64 {
        0 => "\nready: a run would start\n".to_owned(),
        warnings => format!("\nready: a run would start, with {}\n", counted(warnings, "warning")),
    }
}

fn around(topology: &Topology, one: bool) -> String {
    let mut parts = vec![
        if one {
            "one server for source and target"
        } else {
            "two servers, or one server with two users"
        }
        .to_owned(),
    ];
    parts.extend(topology.host.as_ref().map(|host| format!("host {host}")));
    match topology.clusters.as_deref() {
        None => parts.push("cluster unknown".to_owned()),
        Some([]) => parts.push("in no cluster".to_owned()),
        Some(clusters) => parts.extend(clusters.iter().map(Cluster::words)),
    }
    parts.extend(topology.target_replicas.map(|replicas| {
        format!("{} of the target's {} replicas are active", replicas.active, replicas.total)
    }));
    parts.join(", ")
}

fn mapping(document: &Document) -> String {
    let longest = |texts: &mut dyn Iterator<Item = &str>, most: usize| {
        texts.map(|text| text.chars().count()).max().unwrap_or_default().min(most)
    };
    let columns = &document.mapping;
    let names = longest(&mut columns.iter().map(|column| column.column.as_str()), LONGEST_NAME)
        .max("column".len());
    let types = longest(&mut columns.iter().map(|column| column.type_name.as_str()), LONGEST_TYPE)
        .max("type".len());
    let head = |name: &str, type_name: &str, from: &str| {
        format!("  {name:<names$}  {type_name:<types$}  {from:<6}  ")
    };
    let mut text = format!(
        "\nmapping of {}\n{}expression\n",
        counted(columns.len() as u64, "column"),
        head("column", "type", "from")
    );
    for ColumnShown { column, type_name, from, expression, .. } in columns {
        text.push_str(&wrapped(&head(column, &cut(type_name, types), from), expression));
    }
    if !document.defaults.is_empty() {
        text.push_str(&wrapped("  defaults: ", &document.defaults.join(", ")));
    }
    for left in &document.left_out {
        text.push_str(&wrapped("  not written: ", &format!("{}: {}", left.column, left.reason)));
    }
    text
}

/// How memory is divided.
fn memory(memory: &MemoryShown) -> String {
    let mut text = "\nmemory\n".to_owned();
    let batches = format!(
        "{} for batches being filled, {} each",
        bytes(memory.filling_bytes),
        bytes(memory.batch_bytes)
    );
    line(&mut text, "limit", &bytes(memory.total_bytes));
    let attributes = format!("{}, for one wave or two at once", bytes(memory.attributes_bytes));
    line(&mut text, "attributes", &attributes);
    line(&mut text, "batches", &batches);
    line(&mut text, "queue", &format!("{}, waiting and in flight", bytes(memory.queue_bytes)));
    if memory.late_bytes > 0 {
        let late = format!("{}, for rows without a match in the window", bytes(memory.late_bytes));
        line(&mut text, "deferred", &late);
    }
    line(&mut text, "program", &bytes(memory.program_bytes));
    text
}

fn wave(document: &Document, wave: &WaveShown) -> String {
    let split = wave.keys.map_or_else(String::new, |[part, of]| format!(", keys {part} of {of}"));
    let mut text = format!(
        "\nwave {}{split}: about {} lookup rows, {}\n",
        wave.wave,
        count(wave.lookup_rows),
        bytes(wave.lookup_bytes)
    );
    let chunks = document
        .chunks
        .get(wave.first_chunk.saturating_sub(1)..wave.last_chunk)
        .unwrap_or_default();
    let last = chunks.len().saturating_sub(CHUNKS);
    for (position, chunk) in chunks.iter().enumerate() {
        if position == CHUNKS && last > position {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  and {} more, up to", count((last - position) as u64));
        }
        if position < CHUNKS || position >= last {
            let head = format!("  chunk {:<4}", chunk.chunk);
            let range = chunk.range.as_deref().unwrap_or("the whole partition");
            let _ = writeln!(text, "{head}{}", cut(range, WIDTH - head.chars().count()));
        }
    }
    text
}

fn check(check: &Check) -> String {
    let head = format!("  {:<8} {:<12} ", check.verdict.as_str(), check.name);
    let mut text = wrapped(&head, &check.detail);
    if check.verdict != Verdict::Ok {
        for means in &check.lifted_by {
            text.push_str(&wrapped(&format!("{}hint: ", " ".repeat(head.len())), means));
        }
    }
    text
}
