//! A plan for people, in at most [`WIDTH`] columns.

use std::fmt::Write;

use super::document::{ColumnShown, Document, MemoryShown, WaveShown};
use crate::preflight::{Check, Cluster, Topology, Verdict};
use crate::progress::{bytes, count};

/// Lines of `plan` are at most so long, where their words allow it.
const WIDTH: usize = 100;

/// A longer name pushes its line to the right.
const LONGEST_NAME: usize = 28;
/// A longer type is cut; `--json` has it whole.
const LONGEST_TYPE: usize = 23;
/// So many chunks are shown at the beginning and at the end of a list; `--json` has all.
const CHUNKS: usize = 12;
/// Where the values of the first block begin.
const VALUES: usize = 14;

/// The whole text but for the estimate, which stands between the two: what would be done, and the
/// checks. `head` is what a run says of its tables.
pub(crate) fn text(document: &Document, head: &str) -> (String, String) {
    let mut text = wrap_block(head, VALUES);
    if let Some(topology) = &document.topology {
        text.push_str(&wrapped("  topology    ", &around(topology, document.servers.one)));
    }
    text.push_str(&wrapped("  ledger      ", &document.ledger.words()));
    text.push_str(&mapping(document));
    text.push_str(&memory(&document.memory));
    if let Some(made) = document.new_parts {
        let disk = document.disk;
        let size =
            |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), crate::progress::bytes);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\ndisk of the target\n  {:<12}needed, about\n  {:<12}free\n  {:<12}new parts, about; merges make fewer of them",
            size(disk.needed_bytes),
            size(disk.free_bytes),
            count(made)
        );
    }
    for wave in &document.waves {
        text.push_str(&self::wave(document, wave));
    }
    let mut checks = String::new();
    if !document.checks.is_empty() {
        checks.push_str("\nchecks\n");
        document.checks.iter().for_each(|check| checks.push_str(&self::check(check)));
    }
    (text, checks)
}

fn around(topology: &Topology, one: bool) -> String {
    let mut parts = vec![
        if one { "one server for source and target" } else { "two servers, or one as two users" }
            .to_owned(),
    ];
    parts.extend(topology.host.as_ref().map(|host| format!("host {host}")));
    match topology.clusters.as_deref() {
        None => parts.push("whether it is in a cluster is unknown".to_owned()),
        Some([]) => parts.push("in no cluster of several servers".to_owned()),
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
        crate::progress::counted(columns.len() as u64, "column"),
        head("column", "type", "from")
    );
    for ColumnShown { column, type_name, from, expression, .. } in columns {
        text.push_str(&wrapped(&head(column, &cut(type_name, types), from), expression));
    }
    if !document.defaults.is_empty() {
        text.push_str(&wrapped("  left at their defaults: ", &document.defaults.join(", ")));
    }
    for left in &document.left_out {
        text.push_str(&wrapped(
            "  not written: ",
            &format!("{}, since {}", left.column, left.reason),
        ));
    }
    text
}

/// How the memory is divided.
fn memory(memory: &MemoryShown) -> String {
    let MemoryShown {
        total_bytes,
        attributes_bytes,
        filling_bytes,
        queue_bytes,
        late_bytes,
        program_bytes,
        batch_bytes,
    } = *memory;
    let late = if late_bytes == 0 {
        String::new()
    } else {
        format!("  {:<12}rows that are looked up outside of the window\n", bytes(late_bytes))
    };
    format!(
        "\nmemory\n  {:<12}at most\n  {:<12}attributes, of one wave or of two at once\n  {:<12}batches being filled, of {} each\n  {:<12}batches waiting and in flight\n{late}  {:<12}the program\n",
        bytes(total_bytes),
        bytes(attributes_bytes),
        bytes(filling_bytes),
        bytes(batch_bytes),
        bytes(queue_bytes),
        bytes(program_bytes)
    )
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
            text.push_str(&wrapped(&format!("{}lifted by: ", " ".repeat(head.len())), means));
        }
    }
    text
}

/// The text over several lines: the first behind `head`, the others indented as far as `head` is
/// long.
fn wrapped(head: &str, text: &str) -> String {
    let indentation = head.chars().count();
    let room = WIDTH.saturating_sub(indentation).max(20);
    let mut lines: Vec<String> = Vec::new();
    let mut length = 0;
    for word in text.split_whitespace().flat_map(|word| pieces(word, room)) {
        let (word, joined) = (word.text, word.joined);
        let letters = word.chars().count();
        match lines.last_mut() {
            Some(line) if length + usize::from(!joined) + letters <= room => {
                if !joined {
                    line.push(' ');
                    length += 1;
                }
                line.push_str(word);
                length += letters;
            }
            _ => {
                lines.push(word.to_owned());
                length = letters;
            }
        }
    }
    format!("{head}{}\n", lines.join(&format!("\n{}", " ".repeat(indentation))))
}

/// A word, or a piece of one.
struct Piece<'a> {
    text: &'a str,
    /// Whether it follows the piece before it without a blank.
    joined: bool,
}

/// A word that is longer than the room, divided behind its opening brackets and commas.
fn pieces(word: &str, room: usize) -> Vec<Piece<'_>> {
    if word.chars().count() <= room {
        return vec![Piece { text: word, joined: false }];
    }
    let parts = word.split_inclusive(['(', ',']);
    parts.enumerate().map(|(position, text)| Piece { text, joined: position > 0 }).collect()
}

/// The text up to so many letters.
fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        text.to_owned()
    } else {
        text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
    }
}

/// Each line that is too long continues below its value: `  name        value`.
fn wrap_block(text: &str, indentation: usize) -> String {
    let wrap = |line: &str| match line.char_indices().nth(indentation) {
        Some((at, _)) if line.chars().count() > WIDTH => {
            let (head, value) = line.split_at(at);
            wrapped(head, value)
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(wrap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_before_the_width() {
        let text = wrapped("  name  ", &"word ".repeat(40));
        assert!(
            text.lines().count() == 3 && text.lines().all(|line| line.len() <= WIDTH),
            "{text}"
        );
        assert!(text.lines().skip(1).all(|line| line.starts_with("        word")), "{text}");
        assert_eq!(wrapped("  a ", &"x".repeat(200)).lines().count(), 1, "a name is never cut");
        let call = wrapped("  a ", &format!("{}(f(x),{})", "b".repeat(60), "c".repeat(60)));
        assert_eq!(call, format!("  a {}(f(x),\n    {})\n", "b".repeat(60), "c".repeat(60)));
        assert_eq!([cut("äbc", 3), cut("äbcd", 3)], ["äbc", "äb…"]);
        assert_eq!(wrap_block("  a   b c\n", 6), "  a   b c\n");
        assert_eq!(
            wrap_block(&format!("  a   {0} {0}\n", "b".repeat(60)), 6),
            format!("  a   {0}\n      {0}\n", "b".repeat(60))
        );
    }
}
