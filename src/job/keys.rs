//! The keys of job files.
//!
//! These types are the one definition of the keys: the parser deserializes them, and their doc
//! comments are the texts of the JSON Schema and of the reference; see `schema`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// A ClickHouse expression and its line in the file.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    /// The SQL.
    pub sql: String,
    /// The line in the file, counted from 1.
    pub line: usize,
}

/// Table whose rows are read, objects (files) that the server reads, or a query of PostgreSQL. Needs `table`,
/// `objects` or `[source.postgres]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["table"]}, {"required": ["objects"]}, {"required": ["postgres"]}]))]
pub(crate) struct Source {
    /// Source table: `table` or `database.table`, of the `MergeTree` family.
    pub table: Option<String>,
    /// Objects that the server reads, instead of `table`: `s3://…`, `s3+https://HOST/BUCKET/…` for another
    /// S3 endpoint, `https://…`, or `file:/…` for files of the server. May have the globs of the server's
    /// table functions. `{period}` stands for the value of `--partition`, and `{root}` at the beginning for
    /// that of `--objects-root`. Needs the server engine.
    pub objects: Option<String>,
    /// Document beside the objects that names those of a delivery. Other objects are left out. By default all
    /// of them count.
    pub manifest: Option<Manifest>,
    /// Query of PostgreSQL whose rows are read, instead of `table`. Needs the server engine.
    pub postgres: Option<PostgresKeys>,
    /// Format of the objects. Required with `objects`.
    pub format: Option<ObjectFormat>,
    /// [Named collection](https://clickhouse.com/docs/operations/named-collections) of the server with the
    /// credentials of an S3 endpoint. Without it the server uses its own credentials.
    pub collection: Option<String>,
    /// Columns of the objects with their types. Required for text formats, in which types cannot be
    /// inferred exactly. By default, those of the Parquet files.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub structure: ExpressionTable,
    /// Columns that an object may lack. They have the default of their type there. A column that the
    /// job reads and an object lacks is an error otherwise.
    #[serde(default)]
    pub optional: Vec<String>,
    /// Collapse the versions of a row before it is streamed
    /// ([FINAL](https://clickhouse.com/docs/sql-reference/statements/select/from#final-modifier)).
    #[serde(default, rename = "final")]
    pub collapse: bool,
    /// Column whose greatest value is the newest version.
    pub version: Option<String>,
    /// Column that marks deleted rows. Rows where it is true are left out, after versions are
    /// collapsed.
    pub deleted: Option<String>,
    /// Columns that identify a row beyond the sorting key: of the rows in which they are equal, in all
    /// partitions, only the one with the newest version counts, and none where that is deleted. Needs
    /// `final`. The columns and the sorting key of all rows of the table are read once for each
    /// command.
    #[serde(default)]
    pub newest_by: Vec<String>,
    /// Read a copy of the partition that is made when the load begins, by hard links, and is dropped when
    /// it is complete: rows that are written, updated or deleted meanwhile change nothing. Needs a
    /// `MergeTree` that is not replicated, and the right to create a table beside it.
    #[serde(default)]
    pub snapshot: bool,
    /// Columns to look up, in the order of `join_key` of `[lookup]`. Required with `[lookup]`.
    #[serde(default)]
    pub join_key: Vec<String>,
    /// Column with the time of a row. Required with `window` of `[lookup]`.
    pub time: Option<String>,
    /// Predicate over `source.x`. Only the rows for which it is true belong to the job.
    #[serde(rename = "where")]
    pub only: Option<String>,
    /// Named predicates over `source.x`. `--exclude NAME` leaves out the rows for which the predicate
    /// of that name is true.
    #[serde(default)]
    pub exclusions: BTreeMap<String, String>,
    /// Named predicates over `source.x`. `--where NAME` keeps only the rows for which the predicate of
    /// that name is true.
    #[serde(default)]
    pub filters: BTreeMap<String, String>,
    /// Column with a date or time. `--before T` keeps only the rows in which it lies before T.
    pub before: Option<String>,
}

/// A JSON document that names the objects of a delivery.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Where it is, with the placeholders and globs of `objects`. There must be one for a period.
    pub object: String,
    /// Key of the list of objects in it; keys of nested objects are joined by dots. An entry is an address or
    /// a path, of which the end counts.
    pub files: String,
    /// Key of the delivery's own version, which the ledger keeps.
    pub version: Option<String>,
}

/// Query of PostgreSQL whose rows are read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostgresKeys {
    /// [Named collection](https://clickhouse.com/docs/operations/named-collections) of the server with the address of PostgreSQL and
    /// the credentials.
    pub collection: String,
    /// Query that PostgreSQL evaluates. `{period}` stands for the value of `--partition`.
    pub query: String,
    /// Column of the query that divides its rows into chunks, best one with an index: a chunk is a range of
    /// its values, of `--chunk-rows` rows.
    pub range: String,
}

/// Format of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum ObjectFormat {
    Parquet,
    #[serde(rename = "CSV")]
    Csv,
    #[serde(rename = "CSVWithNames")]
    CsvWithNames,
    JSONEachRow,
}

/// Table with the attributes of each row. Optional: without it a job copies or reshapes rows.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lookup {
    /// Lookup table: `table` or `database.table`.
    pub table: String,
    /// Columns that identify a row, in the order of `join_key` of `[source]`.
    #[schemars(length(min = 1))]
    pub join_key: Vec<String>,
    /// Column whose greatest value is the newest version. Only the newest version of a key counts.
    pub version: Option<String>,
    /// Column that marks deleted rows. A key whose newest version is deleted has no match.
    pub deleted: Option<String>,
    /// Limits the rows that are loaded beforehand, by time. All rows are loaded without it.
    pub window: Option<LookupWindow>,
}

/// Range of the lookup's time column that is loaded beforehand, relative to the times of the
/// partition's rows. Keys outside of it are looked up one batch at a time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupWindow {
    /// Time column of the lookup table.
    pub column: String,
    /// Days before the earliest row of the partition.
    pub days_before: u32,
    /// Days after the latest row of the partition.
    pub days_after: u32,
}

/// Table that is filled.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// Target table: `table` or `database.table`. `--target-table` overrides it.
    pub table: String,
    /// Columns that may keep the default of their type although the table declares none; a name may
    /// end in `*`.
    #[serde(default)]
    pub defaults: Vec<String>,
    /// Columns that are left out if their expression names a column that does not exist.
    #[serde(default)]
    pub optional: Vec<String>,
    /// Functions that expressions may use although they are not deterministic.
    #[serde(default)]
    pub allow_functions: Vec<String>,
    /// Expression over the target's columns that is true for the rows that belong to the job; all
    /// rows without it. `verify` never reports other rows as extra, and `repair --remove` never
    /// removes them.
    #[serde(default, deserialize_with = "expression_at")]
    #[schemars(with = "Option<String>")]
    pub owned: Option<Expression>,
    /// Which row is kept if a live writer's row has the key and the version of a row of the job. With
    /// `backfill` the job's, because of equal versions a `ReplacingMergeTree` keeps the row inserted last.
    /// With `live` every statement leaves out the source rows that have such a row in the target.
    #[serde(default)]
    pub on_equal_version: EqualVersion,
    /// How rows get into the target. `in_place` inserts them into it. `replace` builds the partition
    /// beside the target, verifies it, and replaces the target's partition in one step; it needs
    /// `--engine server`.
    #[serde(default)]
    pub publish: Publish,
    /// How many replaced versions of a partition are kept for `rollback`, each in a table beside the
    /// target, with `publish = "replace"`.
    #[serde(default)]
    pub keep_versions: u32,
    /// Expression over the target's columns that is true for the rows of live writers; by default the
    /// rows that are not `owned`.
    #[serde(default, deserialize_with = "expression_at")]
    #[schemars(with = "Option<String>")]
    pub live: Option<Expression>,
    /// How `repair --remove` removes rows, and a run those that were deleted from the source meanwhile.
    /// With `tombstone` by a row that is marked as deleted, where the target has such a mark; readers
    /// without `FINAL` see it. With `delete` by a lightweight `DELETE` from the target and from the
    /// tables that its materialized views fill.
    #[serde(default)]
    pub removal: RemovalMethod,
}

/// Condition that the target's server is asked about before a run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    /// Query that is sent to the target's server. Each row is a finding, and its first column names it.
    pub query: String,
    /// What the findings mean, in one line.
    pub finding: String,
    /// What makes the findings go away: advice, or a statement. It is shown and never executed.
    pub lifted_by: Option<String>,
    /// Whether a finding blocks a run. Otherwise it is a warning.
    #[serde(default = "yes")]
    pub blocks: bool,
}

fn yes() -> bool {
    true
}

/// How rows are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RemovalMethod {
    #[default]
    Tombstone,
    Delete,
}

/// Which of two rows of an equal version is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EqualVersion {
    Live,
    #[default]
    Backfill,
}

/// How rows get into the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Publish {
    #[default]
    InPlace,
    Replace,
}

/// An expression whose `line` is its offset in the text, which [`Job::parse`] turns into the line.
fn expression_at<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Expression>, D::Error> {
    let sql = Spanned::<String>::deserialize(deserializer)?;
    Ok(Some(Expression { line: sql.span().start, sql: sql.into_inner() }))
}

/// ClickHouse settings for each kind of statement. They override the user's profile and the
/// program's own settings.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatementSettings {
    /// Settings of source queries.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, SettingValue>")]
    pub source: SettingMap,
    /// Settings of lookup queries.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, SettingValue>")]
    pub lookup: SettingMap,
    /// Settings of inserts, under which expressions are evaluated.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, SettingValue>")]
    pub insert: SettingMap,
}

/// Names and values of settings.
#[derive(Clone, Debug, Default)]
pub struct SettingMap(pub BTreeMap<String, String>);

/// The value of a setting in a job file.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a string, a number or true or false")]
enum SettingValue {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for SettingMap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = BTreeMap::<String, SettingValue>::deserialize(deserializer)?;
        let text = |value| match value {
            SettingValue::Boolean(value) => u8::from(value).to_string(),
            SettingValue::Integer(value) => value.to_string(),
            SettingValue::Float(value) => value.to_string(),
            SettingValue::Text(value) => value,
        };
        Ok(Self(values.into_iter().map(|(name, value)| (name, text(value))).collect()))
    }
}

/// Columns and their expressions, with their places in the file.
pub(super) type ExpressionTable = BTreeMap<Spanned<String>, Spanned<String>>;

/// Job file of clickhouse-backfill: what a backfill reads, looks up and writes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Name of the job in the ledger and in reports.
    #[schemars(with = "String", length(min = 1))]
    pub name: Spanned<String>,
    /// What the job does, in one line.
    #[serde(default)]
    pub description: String,
    #[schemars(with = "Source")]
    pub source: Spanned<Source>,
    #[schemars(with = "Option<Lookup>")]
    pub lookup: Option<Spanned<Lookup>>,
    #[schemars(with = "Target")]
    pub target: Spanned<Target>,
    /// Named conditions that must not hold when a run starts, such as another tool that writes the same
    /// rows.
    #[serde(default)]
    pub checks: BTreeMap<String, Condition>,
    #[serde(default)]
    pub settings: StatementSettings,
    /// Columns of the target by which rows of the source are grouped: an expression over `source.x`
    /// for each. With it, each expression of `[columns]` is an aggregate function of the group's rows.
    /// Needs `publish = "replace"` and the server engine.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub group: Option<Spanned<ExpressionTable>>,
    /// ClickHouse expression for each column of the target, over `source.x` and `lookup.x`. Columns
    /// that the target lacks are left out.
    #[schemars(with = "BTreeMap<String, String>", extend("minProperties" = 1))]
    pub columns: Spanned<ExpressionTable>,
}
