//! Rows that differ by name: their keys, the columns that differ, and what is in them on both
//! sides.

use std::collections::{BTreeMap, HashMap};

use super::VerifyError;
use super::detail::{Detail, Pieces};
use super::report::{DifferingRow, DifferingValue};
use super::rows::Difference;
use super::side::Wanted;
use super::values::differing_value;
use super::verifier::{Part, Verifier, not_understood};

/// Of so many rows, values are shown; of the others only which columns differ.
const ROWS_WITH_VALUES: usize = 100;

/// What one side has, by the hash of the key.
type Rows = HashMap<u64, Vec<Detail>>;
/// Blocks of values, by the hash of the row and the position of the column.
type Blocks = HashMap<(u64, usize), Vec<u8>>;

/// A row on both sides.
struct Pair<'a> {
    expected: &'a Detail,
    found: &'a Detail,
    /// Positions of the columns in which they differ.
    columns: Vec<usize>,
}

/// Where rows are asked for, and which.
struct Question {
    /// The number of a chunk of the source, or of a part of the target.
    place: usize,
    keys: Vec<u64>,
    wanted: Wanted,
}

impl Verifier {
    /// Asks for the keys of the first rows, for the columns that differ and their values.
    pub(super) async fn name(
        &mut self,
        differences: &[Difference],
        parts: &[Part],
    ) -> Result<Vec<DifferingRow>, VerifyError> {
        let named: Vec<_> = differences.iter().take(self.options.max_differences).collect();
        let shown: Vec<_> =
            named.iter().take(ROWS_WITH_VALUES).map(|difference| difference.key).collect();
        let (mut by_chunk, mut by_part) =
            (BTreeMap::<usize, Vec<u64>>::new(), BTreeMap::<usize, Vec<u64>>::new());
        for difference in &named {
            if let Some(chunk) = difference.chunk {
                by_chunk.entry(chunk).or_default().push(difference.key);
            }
            if let Some(part) = difference.part {
                by_part.entry(part).or_default().push(difference.key);
            }
        }
        let (mut expected, mut found) = (Rows::new(), Rows::new());
        for (chunk, keys) in by_chunk {
            for detail in self.details_of_chunk(chunk, &keys, &shown).await? {
                expected.entry(detail.hash).or_default().push(detail);
            }
        }
        for (part, keys) in by_part {
            for detail in self.details_of_part(parts, part, &keys, &shown).await? {
                found.entry(detail.hash).or_default().push(detail);
            }
        }
        let pairs: Vec<_> =
            named.iter().map(|difference| pair(difference, &expected, &found)).collect();
        let with_values = || {
            named
                .iter()
                .zip(&pairs)
                .take(ROWS_WITH_VALUES)
                .filter_map(|(row, pair)| Some((*row, pair.as_ref()?)))
        };
        let ours = self
            .blocks_of_chunks(questions(with_values(), |row| row.chunk, |pair| pair.expected))
            .await?;
        let theirs = self
            .blocks_of_parts(parts, questions(with_values(), |row| row.part, |pair| pair.found))
            .await?;
        let rows = named.iter().zip(&pairs).enumerate().map(|(number, (difference, pair))| {
            let side = |rows: &Rows| {
                rows.get(&difference.key)
                    .and_then(|rows| rows.first())
                    .map(|detail| detail.key.clone())
            };
            let key = side(&expected).or_else(|| side(&found)).unwrap_or_default();
            let columns = pair.as_ref().map(|pair| &*pair.columns).unwrap_or_default();
            let values = pair
                .as_ref()
                .filter(|_| number < ROWS_WITH_VALUES)
                .map(|pair| self.values(pair, &ours, &theirs));
            DifferingRow {
                kind: difference.kind,
                key: self
                    .queries
                    .key
                    .columns
                    .iter()
                    .map(|(name, _)| name.clone())
                    .zip(key)
                    .collect(),
                columns: columns.iter().map(|&position| self.column(position)).collect(),
                values: values.unwrap_or_default(),
                chunk: difference.chunk.map(|chunk| chunk + 1),
            }
        });
        Ok(rows.collect())
    }

    async fn details_of_chunk(
        &mut self,
        chunk: usize,
        keys: &[u64],
        shown: &[u64],
    ) -> Result<Vec<Detail>, VerifyError> {
        let (queries, scope) = (self.queries.clone(), self.chunk(chunk));
        let (source, divisible) = (&queries.job.source.name, queries.job.lookup.is_some());
        let sql = |scope: &_| queries.details(&queries.expected(scope), keys, shown);
        let answers =
            self.asker.chunk(source, "asking for rows of a chunk", &scope, divisible, sql).await?;
        let details = answers
            .iter()
            .map(|answer| Detail::all(answer))
            .collect::<Result<Vec<_>, _>>()
            .map_err(not_understood(source))?;
        Ok(details.into_iter().flatten().collect())
    }

    async fn details_of_part(
        &mut self,
        parts: &[Part],
        part: usize,
        keys: &[u64],
        shown: &[u64],
    ) -> Result<Vec<Detail>, VerifyError> {
        let Some((partition, range)) = parts.get(part) else { return Ok(Vec::new()) };
        let sql = self.queries.details(
            &self.queries.found(partition, range.as_deref(), true),
            keys,
            shown,
        );
        let target = &self.queries.job.target.name;
        let answer = self.asker.range(target, "asking for rows of a range", &sql).await?;
        Detail::all(&answer).map_err(not_understood(target))
    }

    async fn blocks_of_chunks(&mut self, questions: Vec<Question>) -> Result<Blocks, VerifyError> {
        let queries = self.queries.clone();
        let (source, divisible) = (&queries.job.source.name, queries.job.lookup.is_some());
        let mut blocks = Blocks::new();
        for Question { place, keys, wanted } in questions {
            let scope = self.chunk(place);
            let sql = |scope: &_| queries.pieces(&queries.expected(scope), &keys, &wanted);
            for answer in self
                .asker
                .chunk(source, "asking for values of a chunk", &scope, divisible, sql)
                .await?
            {
                take_blocks(&mut blocks, &answer, &wanted).map_err(not_understood(source))?;
            }
        }
        Ok(blocks)
    }

    async fn blocks_of_parts(
        &mut self,
        parts: &[Part],
        questions: Vec<Question>,
    ) -> Result<Blocks, VerifyError> {
        let (queries, target) = (&self.queries, &self.queries.job.target.name);
        let mut blocks = Blocks::new();
        for Question { place, keys, wanted } in questions {
            let Some((partition, range)) = parts.get(place) else { continue };
            let sql =
                queries.pieces(&queries.found(partition, range.as_deref(), true), &keys, &wanted);
            let answer = self.asker.range(target, "asking for values of a range", &sql).await?;
            take_blocks(&mut blocks, &answer, &wanted).map_err(not_understood(target))?;
        }
        Ok(blocks)
    }

    fn values(&self, pair: &Pair<'_>, ours: &Blocks, theirs: &Blocks) -> Vec<DifferingValue> {
        let value = |&position: &usize| {
            let cells = (pair.expected.columns.get(position)?, pair.found.columns.get(position)?);
            let of = |blocks: &Blocks, row| blocks.get(&(row, position)).cloned();
            let block = cells.0.differing_block(cells.1).filter(|&block| block > 0);
            let pieces = block.and_then(|block| {
                Some((block, of(ours, pair.expected.row)?, of(theirs, pair.found.row)?))
            });
            let pieces = pieces.as_ref().map(|(block, ours, theirs)| (*block, &**ours, &**theirs));
            Some(differing_value(&self.column(position), cells, pieces))
        };
        pair.columns.iter().filter_map(value).collect()
    }

    fn column(&self, position: usize) -> String {
        self.queries.job.columns.get(position).map(|column| column.name.clone()).unwrap_or_default()
    }
}

/// A difference's row on both sides. Where there are several rows of a key, those are told apart
/// that have most in common.
fn pair<'a>(difference: &Difference, expected: &'a Rows, found: &'a Rows) -> Option<Pair<'a>> {
    let (ours, theirs) = (expected.get(&difference.key)?, found.get(&difference.key)?);
    let pairs = ours.iter().flat_map(|ours| theirs.iter().map(move |theirs| (ours, theirs)));
    let pairs =
        pairs.map(|(expected, found)| Pair { expected, found, columns: expected.differing(found) });
    pairs.min_by_key(|pair| pair.columns.len())
}

/// The blocks behind the first in which values differ, by the place where one side has them.
fn questions<'a>(
    rows: impl Iterator<Item = (&'a Difference, &'a Pair<'a>)>,
    place: impl Fn(&Difference) -> Option<usize>,
    side: impl Fn(&'a Pair<'a>) -> &'a Detail,
) -> Vec<Question> {
    let mut questions = BTreeMap::<usize, Question>::new();
    for (row, pair) in rows {
        let Some(place) = place(row) else { continue };
        for &position in &pair.columns {
            let cells = pair.expected.columns.get(position).zip(pair.found.columns.get(position));
            let Some(block) = cells
                .and_then(|(ours, theirs)| ours.differing_block(theirs))
                .filter(|&block| block > 0)
            else {
                continue;
            };
            let question = questions.entry(place).or_insert_with(|| Question {
                place,
                keys: Vec::new(),
                wanted: Wanted::new(),
            });
            question.keys.push(row.key);
            question.wanted.entry(position).or_default().insert(side(pair).row, block);
        }
    }
    questions.into_values().collect()
}

fn take_blocks(blocks: &mut Blocks, answer: &[u8], wanted: &Wanted) -> Result<(), String> {
    for Pieces { row, values } in Pieces::all(answer)? {
        for (&position, value) in wanted.keys().zip(values) {
            blocks.insert((row, position), value);
        }
    }
    Ok(())
}
