//! The columns of the ledger's tables: one list for each record, from which its struct, its JSON, the
//! table, and the statements that write and read it follow.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::timestamp::Timestamp;
use crate::clickhouse::{TableName, quote_identifier, quote_literal};

/// The form of records that is written.
pub(crate) const FORMAT_VERSION: u32 = 2;

/// The type of all moments.
const MOMENT: &str = "DateTime64(6, 'UTC')";
/// The present of the ledger's clock.
const NOW: &str = "now64(6, 'UTC')";

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub name: &'static str,
    comment: &'static str,
    sql: Sql,
}

/// How a field is kept in a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sql {
    type_name: &'static str,
    codec: &'static str,
    value: Written,
    /// The value in rows of version 0.1, which did not have the column.
    default: Option<&'static str>,
}

/// Where the value of a column comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// The record's field.
    Field,
    /// The record's field as a JSON text.
    Json,
    /// The record's moment; the present where it has none.
    MomentOrNow,
    /// The record's moment; the present where it has none and the load is completed.
    MomentOfCompletion,
    /// The record's moment, by this machine's clock.
    LocalMoment,
    /// The present.
    Now,
    /// The server computes it.
    Computed(&'static str),
}

impl Sql {
    /// A field of this type.
    pub(super) const fn of(type_name: &'static str) -> Self {
        Self { type_name, codec: "", value: Written::Field, default: None }
    }

    /// A long text.
    pub(super) const fn long() -> Self {
        Self { codec: " CODEC(ZSTD)", ..Self::of("String") }
    }

    /// A structure, kept as a JSON text.
    pub(super) const fn json() -> Self {
        Self { value: Written::Json, ..Self::long() }
    }

    /// A moment by the ledger's clock: the one of the writing, unless it is known.
    pub(super) const fn moment() -> Self {
        Self { value: Written::MomentOrNow, ..Self::of(MOMENT) }
    }

    /// The moment of the completion of a load.
    pub(super) const fn completion() -> Self {
        Self { value: Written::MomentOfCompletion, ..Self::of("Nullable(DateTime64(6, 'UTC'))") }
    }

    /// A moment by the clock of the machine that writes it.
    pub(super) const fn local_moment() -> Self {
        Self { value: Written::LocalMoment, ..Self::of("Nullable(DateTime64(6, 'UTC'))") }
    }

    /// The moment of the writing.
    pub(super) const fn now() -> Self {
        Self { value: Written::Now, ..Self::of(MOMENT) }
    }

    /// An expression that the server computes.
    pub(super) const fn computed(type_name: &'static str, expression: &'static str) -> Self {
        Self { value: Written::Computed(expression), ..Self::of(type_name) }
    }

    /// The same, with the value for rows of version 0.1, which did not have the column.
    pub(super) const fn added(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }
}

impl Column {
    pub(super) const fn new(name: &'static str, sql: Sql, comment: &'static str) -> Self {
        Self { name, comment, sql }
    }

    /// Its line in a definition of its table.
    fn definition(&self) -> String {
        let Self { name, comment, sql } = self;
        let default = match (sql.value, sql.default) {
            (Written::Computed(expression), _) => format!(" MATERIALIZED {expression}"),
            (_, Some(default)) => format!(" DEFAULT {default}"),
            (_, None) => String::new(),
        };
        format!("{name} {}{default} COMMENT {}{}", sql.type_name, quote_literal(comment), sql.codec)
    }

    /// Whether the record has it.
    fn is_field(&self) -> bool {
        !matches!(self.sql.value, Written::Now | Written::Computed(_))
    }

    fn is_moment(&self) -> bool {
        self.sql.type_name.contains(MOMENT)
    }

    /// The type in which the record's field is sent.
    fn sent_type(&self) -> &'static str {
        if self.is_moment() { "Nullable(String)" } else { self.sql.type_name }
    }

    /// What is written into it, over the record's fields.
    fn written(&self, local_now: Timestamp) -> String {
        let Self { name, sql, .. } = self;
        let given = format!("parseDateTime64BestEffortOrNull({name}, 6, 'UTC')");
        match sql.value {
            Written::Field | Written::Json | Written::Computed(_) => (*name).to_owned(),
            Written::MomentOrNow => format!("ifNull({given}, {NOW})"),
            Written::MomentOfCompletion => {
                format!("if(status = 'completed' AND {name} IS NULL, {NOW}, {given})")
            }
            Written::LocalMoment => format!(
                "fromUnixTimestamp64Micro(toUnixTimestamp64Micro({given}) + toUnixTimestamp64Micro({NOW}) - {}, 'UTC')",
                local_now.0
            ),
            Written::Now => NOW.to_owned(),
        }
    }

    /// How it is read, where its JSON is not the record's.
    fn read(&self, table: &str) -> Option<String> {
        let name = self.name;
        let column = format!("{}.{name}", quote_identifier(table));
        match self.sql.type_name {
            // RFC 3339.
            _ if self.is_moment() => {
                Some(format!("concat(replaceOne(toString({column}), ' ', 'T'), 'Z') AS {name}"))
            }
            // JSON has no numbers of 128 bits that every reader keeps.
            "UInt128" => Some(format!("toString({column}) AS {name}")),
            "UInt8" => Some(format!("toBool({column}) AS {name}")),
            _ => None,
        }
    }
}

/// What is kept in a row of a table.
pub(super) trait Row: Serialize + DeserializeOwned {
    /// The columns of its fields.
    fn columns() -> Vec<Column>;
}

/// A field of a record: its column, or the columns of its own fields.
pub(super) trait IntoColumns {
    fn into_columns(self, name: &'static str, comment: &'static str) -> Vec<Column>;
}

impl IntoColumns for Sql {
    fn into_columns(self, name: &'static str, comment: &'static str) -> Vec<Column> {
        vec![Column::new(name, self, comment)]
    }
}

impl IntoColumns for Vec<Column> {
    fn into_columns(self, _: &'static str, _: &'static str) -> Vec<Column> {
        self
    }
}

/// Defines a record: for each field its name, its type, its column, and what it is, which is its
/// documentation here and the comment of its column there.
macro_rules! record {
    (
        $(#[$outer:meta])*
        pub struct $name:ident {
            $( $(#[$attribute:meta])* $field:ident: $type:ty => $sql:expr, $comment:literal; )*
        }
    ) => {
        $(#[$outer])*
        pub struct $name {
            $( #[doc = $comment] $(#[$attribute])* pub $field: $type, )*
        }

        impl $crate::ledger::columns::Row for $name {
            fn columns() -> Vec<$crate::ledger::columns::Column> {
                use $crate::ledger::columns::IntoColumns;
                [ $( $sql.into_columns(stringify!($field), $comment), )* ].concat()
            }
        }
    };
}
pub(super) use record;

/// A table of the ledger.
pub(super) struct Table {
    pub name: &'static str,
    /// What the ids of its statements contain.
    pub label: &'static str,
    /// The columns of its records.
    pub columns: fn() -> Vec<Column>,
    /// The columns that only the table has.
    pub own_columns: &'static [Column],
    pub engine: &'static str,
    pub order_by: &'static str,
    pub comment: &'static str,
}

impl Table {
    fn all_columns(&self) -> Vec<Column> {
        let mut columns = (self.columns)();
        columns.extend_from_slice(self.own_columns);
        columns
    }

    /// The statement that creates it.
    pub(super) fn create(&self, name: &TableName) -> String {
        let columns: Vec<_> = self.all_columns().iter().map(Column::definition).collect();
        format!(
            "CREATE TABLE IF NOT EXISTS {} (\n    {}\n)\nENGINE = {}\nORDER BY ({})\nCOMMENT {}",
            name.quoted(),
            columns.join(",\n    "),
            self.engine,
            self.order_by,
            quote_literal(self.comment)
        )
    }

    /// A query that fails where it lacks a column.
    pub(super) fn probe(&self, name: &TableName) -> String {
        let added: Vec<_> = self.added().map(|column| column.name).collect();
        format!("SELECT {} FROM {} LIMIT 0", added.join(", "), name.quoted())
    }

    /// The statement that adds the columns that tables of version 0.1 lack.
    pub(super) fn upgrade(&self, name: &TableName) -> String {
        let added =
            self.added().map(|column| format!("ADD COLUMN IF NOT EXISTS {}", column.definition()));
        format!("ALTER TABLE {} {}", name.quoted(), added.collect::<Vec<_>>().join(", "))
    }

    fn added(&self) -> impl Iterator<Item = Column> {
        self.all_columns().into_iter().filter(|column| column.sql.default.is_some())
    }

    /// The statement that writes rows of JSON.
    pub(super) fn insert(&self, name: &TableName) -> String {
        let columns = self.all_columns();
        let written: Vec<_> = columns
            .iter()
            .filter(|column| !matches!(column.sql.value, Written::Computed(_)))
            .collect();
        let names: Vec<_> = written.iter().map(|column| column.name).collect();
        let local_now = Timestamp::now();
        let values: Vec<_> = written.iter().map(|column| column.written(local_now)).collect();
        let sent: Vec<_> = columns
            .iter()
            .filter(|column| column.is_field())
            .map(|column| format!("{} {}", column.name, column.sent_type()))
            .collect();
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM input({}) FORMAT JSONEachRow",
            name.quoted(),
            names.join(", "),
            values.join(", "),
            quote_literal(&sent.join(", "))
        )
    }

    /// The list of a query that reads rows as the JSON of records. Columns that a table of version
    /// 0.1 lacks are not named.
    pub(super) fn selected(&self) -> String {
        let columns = self.all_columns();
        let read: Vec<_> = columns.iter().filter_map(|column| column.read(self.name)).collect();
        format!("* REPLACE ({})", read.join(", "))
    }

    /// A record as a row of JSON.
    pub(super) fn to_row(&self, record: &impl Serialize) -> serde_json::Result<Value> {
        let mut row = serde_json::to_value(record)?;
        for column in (self.columns)() {
            if column.sql.value == Written::Json
                && let Some(value) = row.get_mut(column.name)
            {
                *value = Value::String(value.to_string());
            }
        }
        Ok(row)
    }

    /// A row of JSON as a record.
    pub(super) fn record<T: DeserializeOwned>(
        &self,
        mut row: Map<String, Value>,
    ) -> serde_json::Result<T> {
        for column in (self.columns)() {
            if column.sql.value == Written::Json
                && let Some(Value::String(text)) = row.get(column.name)
            {
                let value = serde_json::from_str(text)?;
                row.insert(column.name.to_owned(), value);
            }
        }
        serde_json::from_value(Value::Object(row))
    }
}
