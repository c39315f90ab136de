//! What decides the result of a load: the job as it was held against its tables, and how it is cut.
//!
//! A load goes on only with the definition with which it was begun. Nothing in it is generated text:
//! the statements can be written in another way without another definition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::parts::{Difference, Parts};

/// The form that is written.
pub(crate) const FORMAT_VERSION: u32 = 2;

/// The definition of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadDefinition {
    /// The form of this structure.
    pub format_version: u32,
    /// The version of ClickHouse at the target.
    pub server_version: String,
    /// About how many rows a chunk has.
    pub chunk_rows: u64,
    /// The job.
    #[serde(flatten)]
    pub job: JobDefinition,
    /// What decides which rows lie in which batch, where the target recognizes repeated batches.
    pub batches: Option<BatchDefinition>,
}

/// The job as it was held against its tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDefinition {
    /// What is read.
    pub source: SourceDefinition,
    /// What is looked up.
    pub lookup: Option<LookupDefinition>,
    /// What is written.
    pub target: TargetDefinition,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDefinition {
    /// Its database.
    pub database: String,
    /// Its name.
    pub table: String,
    /// Its engine.
    pub engine: String,
    /// Its sorting key, as the server writes it.
    pub sorting_key: String,
    /// Its partition key, as the server writes it.
    pub partition_key: String,
    /// Its uuid. `None` in definitions of older versions, and for tables that have another one on
    /// each replica.
    #[serde(default)]
    pub uuid: Option<String>,
}

/// A column that expressions read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// The source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDefinition {
    /// The table.
    #[serde(flatten)]
    pub table: TableDefinition,
    /// The server's URL, where it is not the target's.
    pub server: Option<String>,
    /// Whether it is read FINAL.
    #[serde(rename = "final")]
    pub collapse: bool,
    /// The deleted flag.
    pub deleted: Option<String>,
    /// The time column.
    pub time: Option<String>,
    /// Conditions of rows that are left out, as given.
    pub exclusions: Vec<String>,
    /// Conditions of the rows that are kept, as given. Loads of older versions have none.
    #[serde(default)]
    pub filters: Vec<String>,
    /// Groups whose rows its TTL removes by this moment keep what the target has; seconds since 1970.
    #[serde(default)]
    pub horizon: Option<i64>,
    /// The columns of which only the newest row counts. Loads of older versions have none.
    #[serde(default)]
    pub newest_by: Vec<String>,
    /// Whether a copy of the partition is read. Loads of older versions read the source itself.
    #[serde(default)]
    pub snapshot: bool,
    /// Only rows before a moment. Loads of older versions have none.
    #[serde(default)]
    pub before: Option<CutoffDefinition>,
    /// The columns that expressions read, in the order in which they are sent.
    pub columns: Vec<ColumnDefinition>,
    /// The query of PostgreSQL. Other sources have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// All columns of objects or of the query in their order. Tables have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub structure: Vec<ColumnDefinition>,
    /// The job's settings of source queries.
    pub settings: BTreeMap<String, String>,
}

/// The rows before a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutoffDefinition {
    /// The column.
    pub column: String,
    /// The moment, in UTC.
    pub moment: String,
}

/// The lookup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupDefinition {
    /// The table.
    #[serde(flatten)]
    pub table: TableDefinition,
    /// The columns of the join.
    pub keys: Vec<KeyDefinition>,
    /// The column whose greatest value is the newest version.
    pub version: Option<ColumnDefinition>,
    /// The deleted flag.
    pub deleted: Option<String>,
    /// The window that is loaded.
    pub window: Option<WindowDefinition>,
    /// The columns that expressions read, in the order in which they are sent.
    pub columns: Vec<ColumnDefinition>,
    /// The job's settings of lookup queries.
    pub settings: BTreeMap<String, String>,
}

/// A column of the join.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDefinition {
    /// The source's column.
    pub source: String,
    /// The lookup's column.
    pub lookup: String,
    /// The common type.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// A window around the partition's times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowDefinition {
    /// The lookup's time column.
    pub column: String,
    /// Days before the earliest row.
    pub days_before: u32,
    /// Days after the latest row.
    pub days_after: u32,
}

/// The target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetDefinition {
    /// The table.
    #[serde(flatten)]
    pub table: TableDefinition,
    /// The columns that are written.
    pub columns: Vec<TargetColumn>,
    /// Which rows are live writers', if those of an equal version are kept.
    #[serde(default)]
    pub live: Option<String>,
    /// How rows are published, if not in place.
    #[serde(default)]
    pub publish: Option<String>,
    /// The job's settings of inserts.
    pub settings: BTreeMap<String, String>,
}

/// A column of the target and what fills it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The expression, as given.
    pub expression: String,
}

/// How batches are cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchDefinition {
    /// Rows of a batch.
    pub rows: u64,
    /// Bytes of a batch at most.
    pub bytes: u64,
    /// Bytes of rows that wait for a late lookup, for each reader.
    pub late_bytes: Option<u64>,
    /// The columns of a row, in the order in which their bytes make its hash.
    pub columns: Vec<String>,
}

impl LoadDefinition {
    /// A hash of all that decides the result.
    pub fn fingerprint(&self) -> String {
        Parts::of(self).digest()
    }
}

impl Difference {
    /// Whether only the version of ClickHouse is another one.
    pub fn is_of_server(&self) -> bool {
        matches!(self.names().as_slice(), ["server_version"])
    }

    /// Whether it is only the wished-for size of chunks, which a load that has started keeps.
    pub fn is_of_chunk_size(&self) -> bool {
        matches!(self.names().as_slice(), ["chunk_rows"])
    }

    /// Whether it is only how far the source's TTL has come, which moves from day to day.
    pub fn is_of_horizon(&self) -> bool {
        matches!(self.names().as_slice(), ["source", "horizon", ..])
    }

    /// Whether it decides only which rows lie in which batch.
    pub fn is_of_batches(&self) -> bool {
        matches!(self.names().as_slice(), ["batches", ..])
    }

    fn names(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

/// What people call a part of a definition.
pub(crate) fn label(path: &[&str]) -> String {
    match path {
        ["server_version"] => "the version of ClickHouse".to_owned(),
        ["chunk_rows"] => "--chunk-rows".to_owned(),
        ["batches", "rows"] => "the rows of a batch (--batch-size)".to_owned(),
        ["batches", "bytes"] => "the bytes of a batch (--batch-bytes, --memory)".to_owned(),
        ["batches", "late_bytes"] => "the memory for rows that are looked up late".to_owned(),
        ["target", "columns", column, part] => format!("the {part} of the column {column}"),
        [role, "columns", column, "type"] => format!("the type of {role}.{column}"),
        ["target", "publish"] => "how rows are published".to_owned(),
        ["target", "live"] => "which live rows of the target are kept".to_owned(),
        ["target", "settings", name] => format!("the setting {name} of inserts"),
        [role, "settings", name] => format!("the setting {name} of {role} queries"),
        ["source", "server"] => "the server of the source".to_owned(),
        ["source", "horizon"] => "how far the source's TTL has come".to_owned(),
        ["source", "final"] => "FINAL of the source".to_owned(),
        ["source", "newest_by", number] => format!("column {number} of the source's newest_by"),
        ["source", "query"] => "the query of the source".to_owned(),
        ["source", "structure", ..] => "the columns that are read".to_owned(),
        ["source", "snapshot"] => "whether a snapshot of the source is read".to_owned(),
        ["source", "exclusions", number] => format!("exclusion {number} of the source"),
        ["source", "filters", number] => format!("filter {number} of the source (--where)"),
        ["source", "before", "column"] => "the column of --before".to_owned(),
        ["source", "before", "moment"] => "--before".to_owned(),
        [role, part @ ("deleted" | "time")] => format!("the {part} column of the {role}"),
        ["lookup", "keys", number, part @ ("source" | "lookup")] => {
            format!("the {part}'s column {number} of the join")
        }
        ["lookup", "keys", number, "type"] => format!("the type of column {number} of the join"),
        ["lookup", "version", "name"] => "the version column of the lookup".to_owned(),
        ["lookup", "version", "type"] => "the type of the lookup's version column".to_owned(),
        ["lookup", "window", part] => format!("{} of the lookup's window", part.replace('_', " ")),
        ["batches", "columns", number] => format!("column {number} of a row"),
        [role, "database"] => format!("the database of the {role} table"),
        [role, "table"] => format!("the name of the {role} table"),
        [role, "uuid"] => format!("the uuid of the {role} table"),
        [role, part @ ("engine" | "sorting_key" | "partition_key")] => {
            format!("the {} of the {role} table", part.replace('_', " "))
        }
        other => other.join("."),
    }
}
