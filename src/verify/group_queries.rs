//! The queries that compare the groups of a target with those that a job makes.
//!
//! Each side gives one row for each group: the target with the values of its rows merged, the job with
//! the direct aggregation of the source. States become the values that people read, so that states that
//! differ only in how they were built are equal. Both sides lie below each other and are grouped by the
//! keys again, which is a full join in which NULL equals NULL.

use super::rows::Kind;
use crate::clickhouse::{literal_list, quote_identifier};
use crate::job::statements::{self, Bucket, Scope};
use crate::job::{
    Aggregate, BoundColumn, BoundGroup, BoundJob, Combining, simple_value_type, with_combinator,
};

/// The relative tolerance of floating-point values, whose sums depend on the order of the rows.
pub(super) const FLOAT_TOLERANCE: f64 = 1e-9;
/// The relative tolerance of estimates such as quantiles, which depend on how states were merged.
pub(super) const SKETCH_TOLERANCE: f64 = 0.05;

/// Estimates, whose results depend on the order in which rows and states are merged.
const SKETCHES: [&str; 5] = ["quantile", "median", "uniq", "approx", "topK"];
/// Functions whose names begin alike and that are exact.
const EXACT: [&str; 3] = ["quantileExact", "quantilesExact", "uniqExact"];

/// How values of a column are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparing {
    Exactly,
    /// Numbers by this relative tolerance.
    Within(f64),
    /// Arrays of numbers by this relative tolerance.
    EachWithin(f64),
}

impl Comparing {
    fn of(function: &str, type_name: &str) -> Self {
        let begins = |names: &[&str]| names.iter().any(|name| function.starts_with(name));
        let is_sketch = begins(&SKETCHES) && !begins(&EXACT);
        let tolerance = if is_sketch { SKETCH_TOLERANCE } else { FLOAT_TOLERANCE };
        let without = |name: &str, outer: &str| {
            let inner = name.strip_prefix(outer).and_then(|rest| rest.strip_suffix(')'));
            inner.map(str::to_owned)
        };
        let bare = without(type_name, "Nullable(").unwrap_or_else(|| type_name.to_owned());
        let is_float = |name: &str| name.starts_with("Float") || name == "BFloat16";
        let is_integer = |name: &str| name.starts_with("UInt") || name.starts_with("Int");
        match without(&bare, "Array(") {
            Some(inner) if is_float(&inner) || (is_sketch && is_integer(&inner)) => {
                Self::EachWithin(tolerance)
            }
            None if is_float(&bare) || (is_sketch && is_integer(&bare)) => Self::Within(tolerance),
            _ => Self::Exactly,
        }
    }

    /// SQL that is true where two values differ.
    fn differs(self, found: &str, expected: &str) -> String {
        let within = |found: &str, expected: &str, tolerance: f64| {
            format!(
                "({found} = {expected} OR (isNaN({found}) AND isNaN({expected})) OR abs({found} - {expected}) <= {tolerance:e} * greatest(abs({found}), abs({expected})))"
            )
        };
        let equal = match self {
            Self::Exactly => format!("{found} = {expected}"),
            Self::Within(tolerance) => within(found, expected, tolerance),
            Self::EachWithin(tolerance) => format!(
                "(length({found}) = length({expected}) AND arrayAll((x, y) -> {}, {found}, arrayResize({expected}, length({found}))))",
                within("x", "y", tolerance)
            ),
        };
        format!("NOT ifNull({equal}, isNull({found}) AND isNull({expected}))")
    }
}

/// The comparison of the groups of one partition.
pub(super) struct GroupQueries<'a> {
    job: &'a BoundJob,
    group: &'a BoundGroup,
    scope: &'a Scope,
    /// The partitions of the target with these groups.
    target_partitions: &'a [String],
    /// How each column beside the keys is compared.
    comparing: Vec<Comparing>,
}

impl<'a> GroupQueries<'a> {
    /// `types` are those of [`value_types`].
    pub(super) fn new(
        job: &'a BoundJob,
        group: &'a BoundGroup,
        scope: &'a Scope,
        target_partitions: &'a [String],
        types: &[String],
    ) -> Self {
        let aggregates = group.aggregates.iter().zip(types);
        let comparing = aggregates
            .map(|(aggregate, type_name)| Comparing::of(&aggregate.function, type_name))
            .collect();
        Self { job, group, scope, target_partitions, comparing }
    }

    /// Six numbers: groups that the job makes, groups of the target, groups that are missing, extra,
    /// repeated and different; then for each column the number of groups in which it differs.
    pub(super) fn summary(&self, share: Bucket) -> String {
        let columns: Vec<_> =
            (0..self.comparing.len()).map(|n| format!(", countIf(`differs {n}`)")).collect();
        let columns = columns.concat();
        format!(
            "SELECT countIf(`expected rows` > 0), countIf(`found rows` > 0), countIf(kind = {MISSING}), countIf(kind = {EXTRA}), \
             countIf(kind = {REPEATED}), countIf(kind = {DIFFERING}){columns}\nFROM (\n{}\n)",
            self.compared(share)
        )
    }

    /// The first groups that differ, as texts: the kind, the keys, then for each other column whether it
    /// differs, what was found and what was expected.
    pub(super) fn differing(&self, share: Bucket, most: usize) -> String {
        let keys = (0..self.group.keys.len()).map(|n| shown(&format!("`key {n}`")));
        let columns = (0..self.comparing.len()).flat_map(|n| {
            let differs = format!("kind = {DIFFERING} AND `differs {n}`");
            [
                format!("toString({differs})"),
                shown(&format!("`found {n}`")),
                shown(&format!("`expected {n}`")),
            ]
        });
        let list: Vec<_> =
            std::iter::once("toString(kind)".to_owned()).chain(keys).chain(columns).collect();
        let order: Vec<_> = (0..self.group.keys.len()).map(|n| format!("`key {n}`")).collect();
        format!(
            "SELECT {}\nFROM (\n{}\n)\nWHERE kind > 0\nORDER BY {}\nLIMIT {most}",
            list.join(", "),
            self.compared(share),
            order.join(", ")
        )
    }

    /// One row for each group of either side.
    fn compared(&self, share: Bucket) -> String {
        let keys: Vec<_> = (0..self.group.keys.len()).map(|n| format!("`key {n}`")).collect();
        let keys = keys.join(", ");
        let values: Vec<_> = (0..self.comparing.len())
            .map(|n| {
                format!(
                    ",\n  anyIf(`value {n}`, side = 1) AS `found {n}`, anyIf(`value {n}`, side = 2) AS `expected {n}`"
                )
            })
            .collect();
        let differs: Vec<_> = self
            .comparing
            .iter()
            .enumerate()
            .map(|(n, how)| {
                let differs = how.differs(&format!("`found {n}`"), &format!("`expected {n}`"));
                format!(",\n  {differs} AS `differs {n}`")
            })
            .collect();
        let (values, differs) = (values.concat(), differs.concat());
        let any: Vec<_> = (0..self.comparing.len()).map(|n| format!("`differs {n}`")).collect();
        let any = if any.is_empty() { "0".to_owned() } else { any.join(" OR ") };
        // Of rows that merge later there may be several.
        let repeated = if self.group.is_mergeable() { "0" } else { "`found rows` > 1" };
        format!(
            "SELECT *{differs},\n  multiIf(`found rows` = 0, {MISSING}, `expected rows` = 0, {EXTRA}, {repeated}, {REPEATED}, {any}, {DIFFERING}, 0) AS kind\n\
             FROM (\nSELECT {keys}, sumIf(rows, side = 1) AS `found rows`, sumIf(rows, side = 2) AS `expected rows`{values}\n\
             FROM (\n{}\nUNION ALL\n{}\n)\nGROUP BY {keys}\n)",
            self.found(share),
            self.expected(share)
        )
    }

    /// The groups of the target.
    fn found(&self, share: Bucket) -> String {
        let Self { job, group, target_partitions, .. } = self;
        let partitions = literal_list(*target_partitions);
        let names: Vec<_> =
            group.keys.iter().map(|name| quote_identifier(name).to_string()).collect();
        let keys: Vec<_> =
            names.iter().enumerate().map(|(n, name)| format!("{name} AS `key {n}`")).collect();
        let values: Vec<_> = aggregated(job, group)
            .enumerate()
            .map(|(n, (column, aggregate))| {
                let name = quote_identifier(&column.name);
                format!(", {} AS `value {n}`", merged(aggregate, name.as_str()))
            })
            .collect();
        let values = values.concat();
        // Groups before the horizon keep what the target has.
        let horizon = group.horizon.as_ref();
        let horizon = horizon.map(|horizon| format!("\n  AND NOT {}", horizon.of_target));
        let horizon = horizon.unwrap_or_default();
        let collapse = if job.target.is_replacing() { " FINAL" } else { "" };
        format!(
            "SELECT 1 AS side, count() AS rows, {}{values}\nFROM {}{collapse}\nWHERE _partition_id IN ({}){horizon}{}\nGROUP BY {}",
            keys.join(", "),
            job.target.name.quoted(),
            if partitions.is_empty() { "''" } else { &partitions },
            of_share(share, &names, " AND "),
            names.join(", ")
        )
    }

    /// The groups that the job makes.
    fn expected(&self, share: Bucket) -> String {
        let Self { job, group, scope, .. } = self;
        let keys: Vec<_> = (0..group.keys.len()).map(|n| format!("`key {n}`")).collect();
        format!(
            "SELECT 2 AS side, toUInt64(1) AS rows, *\nFROM (\n{}\n){}",
            statements::join_of(job, scope, &expected_list(job, group)),
            of_share(share, &keys, "\nWHERE ")
        )
    }
}

/// The query whose columns have the types of the values that are compared.
pub(super) fn value_types(job: &BoundJob, group: &BoundGroup, scope: &Scope) -> String {
    format!("DESCRIBE (\n{}\n)", statements::join_of(job, scope, &expected_list(job, group)))
}

/// A key, and the values that people read, over the rows of the source.
fn expected_list(job: &BoundJob, group: &BoundGroup) -> String {
    let keys = group.keys.iter().zip(&job.columns).enumerate().map(|(n, (_, column))| {
        format!("CAST({}\n AS {}) AS `key {n}`", column.expression, column.type_name)
    });
    let values = aggregated(job, group).enumerate().map(|(n, (column, aggregate))| {
        let value = match &aggregate.combining {
            Combining::States(_) => format!("finalizeAggregation({}\n)", column.expression),
            Combining::Values(_) | Combining::Whole => {
                let values = simple_value_type(&column.type_name);
                let type_name = values.unwrap_or_else(|| column.type_name.clone());
                format!("CAST({}\n AS {type_name})", column.expression)
            }
        };
        format!("{} AS `value {n}`", sorted(aggregate, value))
    });
    keys.chain(values).collect::<Vec<_>>().join("\n, ")
}

/// The value of several rows of a group.
fn merged(aggregate: &Aggregate, name: &str) -> String {
    let value = match &aggregate.combining {
        Combining::States(function) => format!("{}({name})", with_combinator(function, "Merge")),
        Combining::Values(function) => format!("{function}({name})"),
        Combining::Whole => format!("any({name})"),
    };
    sorted(aggregate, value)
}

/// Sets have no order.
fn sorted(aggregate: &Aggregate, value: String) -> String {
    if aggregate.function.starts_with("groupUniqArray") {
        format!("arraySort({value})")
    } else {
        value
    }
}

fn aggregated<'a>(
    job: &'a BoundJob,
    group: &'a BoundGroup,
) -> impl Iterator<Item = (&'a BoundColumn, &'a Aggregate)> {
    job.columns.iter().skip(group.keys.len()).zip(&group.aggregates)
}

fn shown(value: &str) -> String {
    format!("ifNull(toString({value}), 'NULL')")
}

/// A condition on the keys after a word; empty for all groups.
fn of_share(share: Bucket, keys: &[String], word: &str) -> String {
    if share.count == 1 {
        return String::new();
    }
    format!("{word}{}", share.predicate(keys.iter().cloned()))
}

/// Numbers of kinds in the queries; 0 is no difference.
const MISSING: u8 = 1;
const EXTRA: u8 = 2;
const REPEATED: u8 = 3;
const DIFFERING: u8 = 4;

/// The kinds in the order of their numbers, from 1.
pub(super) const KINDS: [Kind; 4] = [Kind::Missing, Kind::Extra, Kind::Repeated, Kind::Differing];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_compared_exactly_and_estimates_within_a_tolerance() {
        for (function, type_name, expected) in [
            ("count", "UInt64", Comparing::Exactly),
            ("sum", "Decimal(18, 2)", Comparing::Exactly),
            ("max", "String", Comparing::Exactly),
            ("sum", "Float64", Comparing::Within(FLOAT_TOLERANCE)),
            ("avgState", "Nullable(Float64)", Comparing::Within(FLOAT_TOLERANCE)),
            ("quantileExactState", "Float32", Comparing::Within(FLOAT_TOLERANCE)),
            ("quantileState", "Float64", Comparing::Within(SKETCH_TOLERANCE)),
            ("quantilesState", "Array(Float64)", Comparing::EachWithin(SKETCH_TOLERANCE)),
            ("uniqState", "UInt64", Comparing::Within(SKETCH_TOLERANCE)),
            ("uniqExactState", "UInt64", Comparing::Exactly),
            ("groupUniqArray", "Array(String)", Comparing::Exactly),
        ] {
            assert_eq!(Comparing::of(function, type_name), expected, "{function} {type_name}");
        }
    }
}
