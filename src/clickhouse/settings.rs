//! Settings of statements. They override users' profiles, which could otherwise make the streamed
//! result differ from the join.

use std::collections::BTreeMap;
use std::fmt;

use super::sql::quote_literal;

/// ClickHouse settings of one statement, ordered by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// The settings of all statements: the analyzer that resolves `source.x`, joins without NULLs,
    /// JSON as strings, and no setting of a profile that changes or truncates results.
    pub fn common() -> Self {
        Self::default()
            .with("allow_experimental_analyzer", "1")
            .with("join_use_nulls", "0")
            .with("use_variant_as_common_type", "0")
            // A Nested column of the structure stays one column, as in its table.
            .with("flatten_nested", "0")
            .with("allow_suspicious_low_cardinality_types", "1")
            .with("output_format_binary_write_json_as_string", "1")
            .with("input_format_binary_read_json_as_string", "1")
            // FINAL only where a statement has it: of equal versions it would keep the last one
            // written.
            .with("final", "0")
            .with("extremes", "0")
            .with("additional_result_filter", "")
            .with("limit", "0")
            .with("offset", "0")
            .with("use_query_cache", "0")
            // A conversion of a number that is out of range is an error, and once the server has
            // compiled the expression, another number (26.7: -9223372.036854775808 for
            // `toDecimal64(1e9 * 2 + 1, 12)`, from the fourth time on that it is evaluated).
            .with("compile_expressions", "0")
            // Errors as text that begins with the code, not as rows of the format.
            .with("http_write_exception_in_output_format", "0")
            .with("describe_include_subcolumns", "0")
            // An exceeded limit is an error. In the other modes a result ends early and looks
            // complete.
            .with("read_overflow_mode", "throw")
            .with("read_overflow_mode_leaf", "throw")
            .with("result_overflow_mode", "throw")
            .with("timeout_overflow_mode", "throw")
            .with("transfer_overflow_mode", "throw")
            .with("set_overflow_mode", "throw")
            .with("join_overflow_mode", "throw")
            .with("sort_overflow_mode", "throw")
            .with("distinct_overflow_mode", "throw")
            .with("group_by_overflow_mode", "throw")
    }

    /// Every setting that some statement sets to a value of its own, whatever the batches.
    pub(super) fn pinned() -> Self {
        let by_batch = |name: &str| name.contains("block_size");
        let insert = Self::insert(1).0.into_iter().filter(|(name, _)| !by_batch(name));
        Self::read().with_all(insert)
    }

    /// For queries that are read as a stream: those whose client went away are cancelled.
    pub fn read() -> Self {
        Self::common().with("cancel_http_readonly_queries_on_client_close", "1")
    }

    /// For inserts of batches of at most `batch_rows` rows: a batch is one block, hence atomic, and
    /// NULLs stay NULLs.
    ///
    /// A batch of several blocks can fail half way (of ten blocks, eight stayed). See
    /// [min_insert_block_size_rows](https://clickhouse.com/docs/operations/settings/settings#min_insert_block_size_rows).
    /// `min_insert_block_size_bytes` is off, not large: a server with little memory lowers any other
    /// value (to 35 MB or less where it may use 260 MB) and makes several blocks of a batch.
    pub fn insert(batch_rows: u64) -> Self {
        let rows = batch_rows.max(1).to_string();
        Self::common()
            .with("use_structure_from_insertion_table_in_table_functions", "0")
            .with("insert_null_as_default", "0")
            .with("async_insert", "0")
            // A Distributed table answers when its shards have the rows, not when they wait in files.
            .with("distributed_foreground_insert", "1")
            .with("optimize_on_insert", "0")
            // Blocks are deduplicated by their token, in the target and in the tables of its views.
            .with("insert_deduplicate", "1")
            .with("deduplicate_blocks_in_dependent_materialized_views", "1")
            .with("max_insert_block_size", &rows)
            .with("min_insert_block_size_rows", &rows)
            .with("min_insert_block_size_bytes", "0")
            .with("max_insert_block_size_bytes", "0")
            .with("input_format_max_block_size_bytes", "0")
    }

    /// The same with one more, or another value for one.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same with these over them.
    #[must_use]
    pub fn with_all<N: Into<String>, V: Into<String>>(
        mut self,
        more: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.0.extend(more.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of one.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// As the list of a `SETTINGS` clause.
impl fmt::Display for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            if value.parse::<i64>().is_ok() {
                write!(formatter, "{comma}{name} = {value}")?;
            } else {
                write!(formatter, "{comma}{name} = {}", quote_literal(value))?;
            }
        }
        Ok(())
    }
}
