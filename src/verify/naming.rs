//! Names differing rows: their keys, the columns that differ, and the values on both sides.

use std::collections::{BTreeMap, HashMap};

use super::VerifyError;
use super::decode::{Detail, Pieces};
use super::excerpt::differing_value;
use super::queries::BlockRequests;
use super::report::{DifferingRow, DifferingValue};
use super::rows::Difference;
use super::verifier::{TargetRange, Verifier, cannot_decode};

/// Number of rows whose values are shown; for the others, only the differing columns.
const ROWS_WITH_VALUES: usize = 100;

/// The rows of one side by the hash of the key.
type Rows = HashMap<u64, Vec<Detail>>;
/// Blocks of values, by the hash of the row and the position of the column.
type Blocks = HashMap<(u64, usize), Vec<u8>>;

/// The two sides of a row.
struct RowPair<'a> {
    expected: &'a Detail,
    found: &'a Detail,
    /// Positions of the columns in which they differ.
    columns: Vec<usize>,
}

/// A query for blocks of values.
struct BlockQuery {
    /// The number of a chunk of the source, or of a range of the target.
    place: usize,
    keys: Vec<u64>,
    requests: BlockRequests,
}

impl Verifier {
    /// Names the first differing rows: their keys, the columns that differ, and their values.
    pub(super) async fn name(
        &mut self,
        differences: &[Difference],
        ranges: &[TargetRange],
    ) -> Result<Vec<DifferingRow>, VerifyError> {
        let named = differences.get(..self.options.max_differences).unwrap_or(differences);
        let (expected, found) = self.details(named, ranges).await?;
        let pairs: Vec<_> =
            named.iter().map(|difference| pair(difference, &expected, &found)).collect();
        let with_values = || {
            let rows = named.iter().zip(&pairs).take(ROWS_WITH_VALUES);
            rows.filter_map(|(row, pair)| Some((row, pair.as_ref()?)))
        };
        let queries = block_queries(with_values(), |row| row.chunk, |pair| pair.expected);
        let expected_blocks = self.blocks_of_chunks(queries).await?;
        let queries = block_queries(with_values(), |row| row.range, |pair| pair.found);
        let found_blocks = self.blocks_of_ranges(ranges, queries).await?;
        let rows = named.iter().zip(&pairs).enumerate().map(|(number, (difference, pair))| {
            let key_of = |rows: &Rows| Some(rows.get(&difference.key)?.first()?.key.clone());
            let key = key_of(&expected).or_else(|| key_of(&found)).unwrap_or_default();
            let key_columns = self.queries.key.columns.iter().map(|(name, _)| name.clone());
            let columns = pair.as_ref().map(|pair| &*pair.columns).unwrap_or_default();
            let values = pair
                .as_ref()
                .filter(|_| number < ROWS_WITH_VALUES)
                .map(|pair| self.values(pair, &expected_blocks, &found_blocks));
            DifferingRow {
                kind: difference.kind,
                key: key_columns.zip(key).collect(),
                columns: columns.iter().map(|&position| self.column(position)).collect(),
                values: values.unwrap_or_default(),
                chunk: difference.chunk.map(|chunk| self.planned_number(chunk)),
            }
        });
        Ok(rows.collect())
    }

    /// Both sides of these rows.
    async fn details(
        &mut self,
        named: &[Difference],
        ranges: &[TargetRange],
    ) -> Result<(Rows, Rows), VerifyError> {
        let shown: Vec<_> = named.iter().take(ROWS_WITH_VALUES).map(|row| row.key).collect();
        let (mut by_chunk, mut by_range) =
            (BTreeMap::<usize, Vec<u64>>::new(), BTreeMap::<usize, Vec<u64>>::new());
        for difference in named {
            if let Some(chunk) = difference.chunk {
                by_chunk.entry(chunk).or_default().push(difference.key);
            }
            if let Some(range) = difference.range {
                by_range.entry(range).or_default().push(difference.key);
            }
        }
        let (mut expected, mut found) = (Rows::new(), Rows::new());
        for (chunk, keys) in by_chunk {
            for detail in self.details_of_chunk(chunk, &keys, &shown).await? {
                expected.entry(detail.hash).or_default().push(detail);
            }
        }
        for (range, keys) in by_range {
            for detail in self.details_of_range(ranges, range, &keys, &shown).await? {
                found.entry(detail.hash).or_default().push(detail);
            }
        }
        Ok((expected, found))
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
            self.runner.chunk(source, "reading rows of a chunk", &scope, divisible, sql).await?;
        let details = answers
            .iter()
            .map(|answer| Detail::decode_all(answer))
            .collect::<Result<Vec<_>, _>>()
            .map_err(cannot_decode(source))?;
        Ok(details.into_iter().flatten().collect())
    }

    async fn details_of_range(
        &mut self,
        ranges: &[TargetRange],
        range: usize,
        keys: &[u64],
        shown: &[u64],
    ) -> Result<Vec<Detail>, VerifyError> {
        let Some((partition, range)) = ranges.get(range) else { return Ok(Vec::new()) };
        let sql = self.queries.details(
            &self.queries.found(partition, range.as_deref(), true),
            keys,
            shown,
        );
        let target = &self.queries.job.target.name;
        let answer = self.runner.range(target, "reading rows of a range", &sql).await?;
        Detail::decode_all(&answer).map_err(cannot_decode(target))
    }

    async fn blocks_of_chunks(
        &mut self,
        block_queries: Vec<BlockQuery>,
    ) -> Result<Blocks, VerifyError> {
        let queries = self.queries.clone();
        let (source, divisible) = (&queries.job.source.name, queries.job.lookup.is_some());
        let mut blocks = Blocks::new();
        for BlockQuery { place, keys, requests } in block_queries {
            let scope = self.chunk(place);
            let sql = |scope: &_| queries.pieces(&queries.expected(scope), &keys, &requests);
            for answer in self
                .runner
                .chunk(source, "reading values of a chunk", &scope, divisible, sql)
                .await?
            {
                take_blocks(&mut blocks, &answer, &requests).map_err(cannot_decode(source))?;
            }
        }
        Ok(blocks)
    }

    async fn blocks_of_ranges(
        &mut self,
        ranges: &[TargetRange],
        block_queries: Vec<BlockQuery>,
    ) -> Result<Blocks, VerifyError> {
        let (queries, target) = (&self.queries, &self.queries.job.target.name);
        let mut blocks = Blocks::new();
        for BlockQuery { place, keys, requests } in block_queries {
            let Some((partition, range)) = ranges.get(place) else { continue };
            let sql =
                queries.pieces(&queries.found(partition, range.as_deref(), true), &keys, &requests);
            let answer = self.runner.range(target, "reading values of a range", &sql).await?;
            take_blocks(&mut blocks, &answer, &requests).map_err(cannot_decode(target))?;
        }
        Ok(blocks)
    }

    fn values(
        &self,
        pair: &RowPair<'_>,
        expected_blocks: &Blocks,
        found_blocks: &Blocks,
    ) -> Vec<DifferingValue> {
        let value = |&position: &usize| {
            let cells = (pair.expected.columns.get(position)?, pair.found.columns.get(position)?);
            let of = |blocks: &Blocks, row| blocks.get(&(row, position)).cloned();
            let block = cells.0.differing_block(cells.1).filter(|&block| block > 0);
            let pieces = block.and_then(|block| {
                Some((
                    block,
                    of(expected_blocks, pair.expected.row)?,
                    of(found_blocks, pair.found.row)?,
                ))
            });
            let pieces = pieces.as_ref().map(|(block, ours, theirs)| (*block, &**ours, &**theirs));
            Some(differing_value(&self.column(position), cells, pieces))
        };
        pair.columns.iter().filter_map(value).collect()
    }

    fn column(&self, position: usize) -> String {
        self.queries.compared.get(position).map(|column| column.name.clone()).unwrap_or_default()
    }
}

/// The two sides of a difference. Of several rows of a key, the most similar two.
fn pair<'a>(difference: &Difference, expected: &'a Rows, found: &'a Rows) -> Option<RowPair<'a>> {
    let (ours, theirs) = (expected.get(&difference.key)?, found.get(&difference.key)?);
    let pairs = ours.iter().flat_map(|ours| theirs.iter().map(move |theirs| (ours, theirs)));
    let pairs = pairs.map(|(expected, found)| RowPair {
        expected,
        found,
        columns: expected.differing_columns(found),
    });
    pairs.min_by_key(|pair| pair.columns.len())
}

/// The queries for the blocks in which values differ, except first blocks, which are known. One query
/// for each chunk or range of a side.
fn block_queries<'a>(
    rows: impl Iterator<Item = (&'a Difference, &'a RowPair<'a>)>,
    place: impl Fn(&Difference) -> Option<usize>,
    side: impl Fn(&'a RowPair<'a>) -> &'a Detail,
) -> Vec<BlockQuery> {
    let mut queries = BTreeMap::<usize, BlockQuery>::new();
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
            let query = queries.entry(place).or_insert_with(|| BlockQuery {
                place,
                keys: Vec::new(),
                requests: BlockRequests::new(),
            });
            query.keys.push(row.key);
            query.requests.entry(position).or_default().insert(side(pair).row, block);
        }
    }
    queries.into_values().collect()
}

fn take_blocks(blocks: &mut Blocks, answer: &[u8], requests: &BlockRequests) -> Result<(), String> {
    for Pieces { row, values } in Pieces::decode_all(answer)? {
        for (&position, value) in requests.keys().zip(values) {
            blocks.insert((row, position), value);
        }
    }
    Ok(())
}
