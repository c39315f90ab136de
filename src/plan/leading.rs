//! The column by whose ranges both tables can be cut.

use super::ChunkBounds;
use super::key::KeyColumn;
use crate::clickhouse::quote_identifier;
use crate::formats::rowbinary::DataType;
use crate::job::BoundJob;

/// The first column of the source's primary key, where it is part of the join's key: rows of one
/// range of it find their attributes in the same range of the lookup's column.
#[derive(Clone, Debug)]
pub(super) struct LeadingColumn {
    /// The lookup's column, quoted.
    pub lookup: String,
    /// The distinct first values of the chunks' bounds, as SQL literals in their order.
    pub values: Vec<String>,
    /// For each bound, the position of its first value.
    pub of_bound: Vec<usize>,
}

impl LeadingColumn {
    /// `None` where the tables share no such column.
    pub fn find(job: &BoundJob, bounds: &ChunkBounds) -> Option<Self> {
        let lookup = job.lookup.as_ref()?;
        let first = bounds.key.first()?;
        let key = lookup.keys.iter().find(|key| key.source == first.name)?;
        let theirs = lookup.table.column(&key.lookup)?;
        if !orders_alike(first, &theirs.type_name) {
            return None;
        }
        let (mut values, mut of_bound) = (Vec::<String>::new(), Vec::new());
        for bound in &bounds.bounds {
            let literal = first.literal(bound.first()?);
            if values.last() != Some(&literal) {
                values.push(literal);
            }
            of_bound.push(values.len() - 1);
        }
        Some(Self { lookup: quote_identifier(&key.lookup).to_string(), values, of_bound })
    }

    /// The position of the leading value of the bound below this chunk: chunk n lies between the
    /// bounds n - 1 and n.
    pub fn below(&self, chunk: usize) -> Option<usize> {
        chunk.checked_sub(1).and_then(|bound| self.of_bound.get(bound).copied())
    }
}

/// Values of the same type, dictionaries and NULLs aside, have the same order on both sides.
fn orders_alike(ours: &KeyColumn, theirs: &str) -> bool {
    let (Ok(ours), Ok(theirs)) = (DataType::parse(&ours.type_name), DataType::parse(theirs)) else {
        return false;
    };
    let plain = |parsed: &DataType| parsed.strip_low_cardinality().strip_nullable().clone();
    plain(&ours) == plain(&theirs)
}
