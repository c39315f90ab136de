//! What the target's engine makes of several rows of one group when it merges them, and which
//! aggregates survive that.
//!
//! Rows of one group meet in the target: those of several chunks, of a materialized view, of later
//! inserts. An aggregate is exact only if merging two parts of a group gives what aggregating their
//! rows together gives.

use super::error::Inexact;
use crate::clickhouse::{TableSchema, find_outside, quote_identifier, split_list, unquoted};
use crate::formats::rowbinary::DataType;

/// What merges do with rows of an equal sorting key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MergeEngine {
    /// `AggregatingMergeTree`: merges columns of aggregate types, keeps any value of the others.
    Aggregating,
    /// `SummingMergeTree`: also adds numbers; only these columns, if it names some.
    Summing(Vec<String>),
    /// `ReplacingMergeTree`: keeps one row.
    Replacing,
    /// `MergeTree`: keeps all rows.
    Plain,
}

impl MergeEngine {
    /// The engine of a table, from its name and its full definition; the error names an engine that
    /// cannot hold groups.
    pub(super) fn of(table: &TableSchema, engine_full: &str) -> Result<Self, String> {
        let name = table.engine.trim_start_matches("Replicated").trim_start_matches("Shared");
        match name {
            "AggregatingMergeTree" => Ok(Self::Aggregating),
            "SummingMergeTree" => Ok(Self::Summing(summed_columns(engine_full))),
            "ReplacingMergeTree" => Ok(Self::Replacing),
            "MergeTree" => Ok(Self::Plain),
            _ => Err(format!(
                "its engine is {}; groups need an AggregatingMergeTree, or a SummingMergeTree, a ReplacingMergeTree or a MergeTree",
                table.engine
            )),
        }
    }

    /// Whether merges make one row of all rows of an equal sorting key.
    pub(super) fn merges_rows(&self) -> bool {
        !matches!(self, Self::Plain)
    }
}

/// How the values of a column combine when rows of one group are merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Combining {
    /// As states of this aggregate function, given with its parameters.
    States(String),
    /// By this aggregate function over the values themselves.
    Values(String),
    /// Not at all: the group must come whole.
    Whole,
}

/// Aggregates whose parts are combined by `sum`.
const ADDED: [&str; 5] = ["sum", "sumIf", "sumWithOverflow", "count", "countIf"];

/// Functions of a `SimpleAggregateFunction` with the aggregates that they combine.
const SIMPLE: [(&str, &[&str]); 9] = [
    ("sum", &ADDED),
    ("sumWithOverflow", &["sumWithOverflow", "count", "countIf"]),
    ("min", &["min", "minIf"]),
    ("max", &["max", "maxIf"]),
    ("groupBitAnd", &["groupBitAnd", "groupBitAndIf"]),
    ("groupBitOr", &["groupBitOr", "groupBitOrIf"]),
    ("groupBitXor", &["groupBitXor", "groupBitXorIf"]),
    ("sumMap", &["sumMap"]),
    ("groupUniqArrayArray", &["groupUniqArray"]),
];

/// A column of the target, and the aggregate that fills it.
pub(super) struct Filled<'a> {
    pub name: &'a str,
    /// The column's type.
    pub column_type: &'a str,
    /// The aggregate function.
    pub function: &'a str,
    /// Its parameters in parentheses, such as `(0.95)`; often empty.
    pub parameters: &'a str,
    /// The type that it gives.
    pub expression_type: &'a str,
    /// The type of the only column that it reads.
    pub argument_type: Option<&'a str>,
    /// Its line in the job file.
    pub line: usize,
}

impl Filled<'_> {
    /// How the column's values combine in a table of this engine.
    ///
    /// # Errors
    /// Merges would give another result than aggregating the rows together.
    pub(super) fn combining(&self, engine: &MergeEngine) -> Result<Combining, Inexact> {
        let Self { column_type, function, expression_type, .. } = *self;
        if let Some(arguments) = arguments_of(column_type, "AggregateFunction") {
            return if column_type == expression_type {
                Ok(Combining::States(arguments.first().cloned().unwrap_or_default()))
            } else {
                Err(self.other_state(&arguments))
            };
        }
        if let Some(arguments) = arguments_of(column_type, "SimpleAggregateFunction") {
            return self.as_value(&arguments);
        }
        match engine {
            MergeEngine::Plain | MergeEngine::Replacing => Ok(Combining::Whole),
            MergeEngine::Summing(named) if self.is_summed(named) => {
                if ADDED.contains(&function) {
                    return self.lossless(column_type, "sum");
                }
                let what = format!(
                    "is {column_type}, whose values a SummingMergeTree adds, and the expression in line {} is {function}(…): merges would add its values",
                    self.line
                );
                Err(self.inexact(&what))
            }
            MergeEngine::Summing(_) | MergeEngine::Aggregating => {
                let name = match engine {
                    MergeEngine::Aggregating => "an AggregatingMergeTree",
                    _ => "a SummingMergeTree",
                };
                let what = format!(
                    "is {column_type}, and of a plain column {name} keeps the value of any one row when it merges rows of a group; the expression in line {} is {function}(…)",
                    self.line
                );
                Err(self.inexact(&what))
            }
        }
    }

    /// For a column of `SimpleAggregateFunction`.
    fn as_value(&self, arguments: &[String]) -> Result<Combining, Inexact> {
        let (by, inner) = match arguments {
            [by, inner] => (by.as_str(), inner.as_str()),
            _ => ("", self.column_type),
        };
        let combined = SIMPLE.iter().find(|(name, _)| *name == by).map(|(_, combined)| *combined);
        match combined {
            Some(combined) if combined.contains(&self.function) => self.lossless(inner, by),
            Some(combined) => {
                let what = format!(
                    "is {}, which combines values by {by}, and the expression in line {} is {}(…)",
                    self.column_type, self.line, self.function
                );
                let fitting: Vec<_> = combined.iter().map(|name| format!("{name}(…)")).collect();
                let mut found = self.inexact(&what);
                found.remedy = format!(
                    "fill {} by {}, or change it: {}",
                    self.name,
                    fitting.join(" or "),
                    found.remedy
                );
                Err(found)
            }
            None => {
                let what = format!(
                    "is {}, whose function depends on the order of rows, so its result cannot be repeated",
                    self.column_type
                );
                Err(self.inexact(&what))
            }
        }
    }

    /// Refuses a column that cannot hold floating-point values where the aggregate gives them: the parts
    /// of a group would be rounded before they are combined.
    fn lossless(&self, inner: &str, by: &str) -> Result<Combining, Inexact> {
        if is_float(self.expression_type) && !is_float(inner) {
            let what = format!(
                "is {}, and the expression in line {} gives {}: the parts of a group would be rounded before they are combined",
                self.column_type, self.line, self.expression_type
            );
            return Err(self.inexact(&what));
        }
        Ok(Combining::Values(by.to_owned()))
    }

    /// Whether a `SummingMergeTree` adds the values of the column.
    fn is_summed(&self, named: &[String]) -> bool {
        let parsed = DataType::parse(self.column_type);
        let is_number = parsed.is_ok_and(|parsed| match &parsed {
            DataType::Nullable(inner) => is_number(inner),
            other => is_number(other),
        });
        is_number && (named.is_empty() || named.iter().any(|name| name == self.name))
    }

    fn other_state(&self, arguments: &[String]) -> Inexact {
        let what = format!(
            "is {}, and the expression in line {} gives {}",
            self.column_type, self.line, self.expression_type
        );
        let state = arguments.split_first().map(|(function, types)| {
            let values: Vec<_> = types.iter().map(|name| format!("CAST(… AS {name})")).collect();
            format!("{}({})", with_combinator(function, "State"), values.join(", "))
        });
        Inexact {
            what: format!("its column {} {what}", self.name),
            remedy: format!("{} = \"{}\" under [columns]", self.name, state.unwrap_or_default()),
        }
    }

    /// A finding whose remedy is a column of an aggregate type.
    fn inexact(&self, what: &str) -> Inexact {
        let Self { name, function, parameters, expression_type, argument_type, .. } = *self;
        let simple = SIMPLE.iter().find(|(_, combined)| combined.contains(&function));
        let quoted = quote_identifier(name);
        let remedy = match simple {
            Some((by, _)) => format!(
                "{quoted} SimpleAggregateFunction({by}, {expression_type}) in an AggregatingMergeTree"
            ),
            None => format!(
                "{quoted} AggregateFunction({function}{parameters}, {}) in an AggregatingMergeTree, with {name} = \"{function}State{parameters}(…)\" under [columns]",
                argument_type.unwrap_or("…")
            ),
        };
        Inexact { what: format!("its column {name} {what}"), remedy }
    }
}

/// The columns that the definition of a `SummingMergeTree` names; those of a replicated engine follow
/// two strings.
fn summed_columns(engine_full: &str) -> Vec<String> {
    let Some(arguments) = engine_full
        .split_once("SummingMergeTree(")
        .and_then(|(_, rest)| rest.get(..find_outside(rest, ")")?))
    else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for argument in split_list(arguments) {
        let inside = argument.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        match inside {
            Some(list) => names.extend(split_list(list)),
            None if argument.starts_with('\'') => {}
            None => names.push(argument),
        }
    }
    names.iter().map(|name| unquoted(name)).collect()
}

/// An aggregate function with a combinator: `quantileMerge(0.95)` of `quantile(0.95)`.
pub(crate) fn with_combinator(function: &str, combinator: &str) -> String {
    match function.split_once('(') {
        Some((name, rest)) => format!("{name}{combinator}({rest}"),
        None => format!("{function}{combinator}"),
    }
}

/// The type of the values of a `SimpleAggregateFunction`; `None` for other types.
pub(crate) fn simple_value_type(type_name: &str) -> Option<String> {
    arguments_of(type_name, "SimpleAggregateFunction")?.into_iter().nth(1)
}

/// The arguments of a type `name(a, b)`.
fn arguments_of(type_name: &str, name: &str) -> Option<Vec<String>> {
    let inside = type_name.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')?;
    Some(split_list(inside))
}

fn is_number(parsed: &DataType) -> bool {
    matches!(
        parsed,
        DataType::Integer { .. }
            | DataType::BFloat16
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal { .. }
    )
}

fn is_float(type_name: &str) -> bool {
    DataType::parse(type_name).is_ok_and(|parsed| parsed.contains_float())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combining(
        engine: &MergeEngine,
        column_type: &str,
        function: &str,
        gives: &str,
    ) -> Result<Combining, Inexact> {
        let filled = Filled {
            name: "c",
            column_type,
            function,
            parameters: "",
            expression_type: gives,
            argument_type: Some("Float32"),
            line: 7,
        };
        filled.combining(engine)
    }

    #[test]
    fn what_merges_do_is_what_aggregating_together_does() {
        use MergeEngine::{Aggregating, Plain, Replacing, Summing};
        let all = Summing(Vec::new());
        let one = Summing(vec!["c".to_owned()]);
        let other = Summing(vec!["d".to_owned()]);
        let state = "AggregateFunction(avg, Float32)";
        let sum = "SimpleAggregateFunction(sum, Float64)";
        let values = |by: &str| Some(Combining::Values(by.to_owned()));
        for (engine, column, function, gives, expected) in [
            (&Aggregating, state, "avgState", state, Some(Combining::States("avg".to_owned()))),
            (&all, state, "avgState", state, Some(Combining::States("avg".to_owned()))),
            (&Aggregating, state, "avg", "Float64", None),
            (&Aggregating, state, "avgState", "AggregateFunction(avg, Float64)", None),
            (&Aggregating, state, "sumState", "AggregateFunction(sum, Float32)", None),
            (&Aggregating, sum, "sum", "Float64", values("sum")),
            (
                &Aggregating,
                "SimpleAggregateFunction(sum, UInt64)",
                "count",
                "UInt64",
                values("sum"),
            ),
            (&Aggregating, "SimpleAggregateFunction(sum, UInt64)", "sum", "Float64", None),
            (&Aggregating, sum, "avg", "Float64", None),
            (&Aggregating, sum, "uniq", "UInt64", None),
            (
                &Aggregating,
                "SimpleAggregateFunction(max, Float32)",
                "max",
                "Float32",
                values("max"),
            ),
            (&Aggregating, "SimpleAggregateFunction(max, Float32)", "sum", "Float64", None),
            (&Aggregating, "SimpleAggregateFunction(anyLast, Float32)", "anyLast", "Float32", None),
            (&Aggregating, "UInt64", "count", "UInt64", None),
            (&Aggregating, "Float64", "avg", "Float64", None),
            (&all, "Float64", "sum", "Float64", values("sum")),
            (&all, "Float64", "avg", "Float64", None),
            (&all, "String", "max", "String", None),
            (&one, "UInt64", "count", "UInt64", values("sum")),
            (&other, "UInt64", "count", "UInt64", None),
            (&Plain, "Float64", "avg", "Float64", Some(Combining::Whole)),
            (&Replacing, "Float64", "avg", "Float64", Some(Combining::Whole)),
        ] {
            let found = combining(engine, column, function, gives);
            assert_eq!(found.clone().ok(), expected, "{engine:?} {column} {function}: {found:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_column_that_would_be_exact() {
        let remedy = |engine: &MergeEngine, column: &str, function: &str, gives: &str| {
            combining(engine, column, function, gives).unwrap_err().remedy
        };
        assert_eq!(
            remedy(&MergeEngine::Aggregating, "UInt64", "count", "UInt64"),
            "`c` SimpleAggregateFunction(sum, UInt64) in an AggregatingMergeTree"
        );
        assert_eq!(
            remedy(&MergeEngine::Summing(Vec::new()), "Float64", "avg", "Float64"),
            "`c` AggregateFunction(avg, Float32) in an AggregatingMergeTree, with c = \"avgState(…)\" under [columns]"
        );
        assert_eq!(
            remedy(
                &MergeEngine::Aggregating,
                "AggregateFunction(quantile(0.95), Float32)",
                "quantileState",
                "AggregateFunction(quantile(0.95), Float64)"
            ),
            "c = \"quantileState(0.95)(CAST(… AS Float32))\" under [columns]"
        );
    }

    #[test]
    fn a_summing_engine_names_its_columns() {
        let none: [&str; 0] = [];
        assert_eq!(summed_columns("SummingMergeTree ORDER BY (a, b)"), none);
        assert_eq!(summed_columns("SummingMergeTree(b) ORDER BY a"), ["b"]);
        assert_eq!(
            summed_columns("ReplicatedSummingMergeTree('/a', '{replica}', (b, `c d`)) ORDER BY a"),
            ["b", "c d"]
        );
    }
}
