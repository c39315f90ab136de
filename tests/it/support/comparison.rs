//! Whether two SELECTs give the same rows: by count and by a sum of hashes of whole rows. Where
//! these differ, hashes of every column together with the row's key, and EXCEPT both ways, show how.
//!
//! Values are compared by their RowBinary bytes. These tell NULL from a default, keep the order of
//! maps, and exist for every type, also for those that the server can neither hash nor compare.
//! JSON is compared as its text, which the server sorts by path.

use super::Server;

/// Settings of the comparing queries: the compared rows must not depend on a profile.
const SETTINGS: &[(&str, &str)] = &[
    ("join_use_nulls", "0"),
    ("output_format_binary_write_json_as_string", "1"),
    ("type_json_skip_duplicated_paths", "1"),
    // These keep the texts in a JSON column as they are: what looks like a date stays text, and
    // invalid UTF-8 is taken.
    ("input_format_try_infer_dates", "0"),
    ("input_format_try_infer_datetimes", "0"),
    ("allow_simdjson", "0"),
];

/// A column that is compared.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub type_name: String,
}

/// A comparison of rows.
#[derive(Debug)]
pub struct Comparison<'a> {
    server: &'a Server,
    columns: Vec<Column>,
    key: Vec<String>,
    settings: Vec<(&'static str, &'static str)>,
}

impl<'a> Comparison<'a> {
    /// Compares as rows of a table: all columns that an insert can name, with the table's types,
    /// under this key.
    pub fn of_table(server: &'a Server, table: &str, key: &[&str]) -> Self {
        let columns = server.text(&format!(
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '{table}' AND default_kind IN ('', 'DEFAULT') \
             ORDER BY position FORMAT TSVRaw"
        ));
        let column = |line: &str| {
            let (name, type_name) = line.split_once('\t').unwrap();
            Column { name: name.to_owned(), type_name: type_name.to_owned() }
        };
        let columns: Vec<_> = columns.lines().map(column).collect();
        assert!(!columns.is_empty(), "there is no table {table}");
        Self {
            server,
            columns,
            key: key.iter().map(|name| (*name).to_owned()).collect(),
            settings: SETTINGS.to_vec(),
        }
    }

    /// The same with further settings, such as those that allow a type.
    pub fn with_settings(mut self, more: &[(&'static str, &'static str)]) -> Self {
        self.settings.extend(more);
        self
    }

    /// The same for those columns only that this SELECT gives, and the names of the others.
    pub fn limited_to(mut self, select: &str) -> (Self, Vec<String>) {
        let described = self.ask(&format!("DESCRIBE (SELECT * FROM ({select}\n)) FORMAT TSVRaw"));
        let known: Vec<_> = described.lines().filter_map(|line| line.split('\t').next()).collect();
        let (kept, others) =
            self.columns.into_iter().partition(|column| known.contains(&column.name.as_str()));
        self.columns = kept;
        (self, others.into_iter().map(|column: Column| column.name).collect())
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Whether both SELECTs give the same rows, byte by byte, in any order.
    pub fn is_same(&self, found: &str, expected: &str) -> bool {
        let sums = |select: &str| {
            self.ask(&format!("SELECT count(), sum(sipHash64({})) FROM ({select}\n)", self.row()))
        };
        sums(found) == sums(expected)
    }

    /// The number of rows, then a hash of each column.
    pub fn hashes(&self, select: &str) -> Vec<String> {
        let key: Vec<_> = self
            .columns
            .iter()
            .filter(|column| self.key.contains(&column.name))
            .map(value)
            .collect();
        assert_eq!(key.len(), self.key.len(), "the key {:?} is not among the columns", self.key);
        let key = key.join(", ");
        let hash = |column: &Column| {
            format!("sum(sipHash64(formatRow('RowBinary', {key}, {})))", value(column))
        };
        let sums: Vec<_> = self.columns.iter().map(hash).collect();
        let answer = self.ask(&format!("SELECT count(), {}\nFROM ({select}\n)", sums.join(",\n")));
        answer.split('\t').map(str::to_owned).collect()
    }

    /// The number of distinct rows that only the first SELECT gives.
    pub fn only_in(&self, one: &str, other: &str) -> u64 {
        let (one, other) = (self.rows(one), self.rows(other));
        self.ask(&format!("SELECT count() FROM ({one} EXCEPT {other})")).parse().unwrap()
    }

    /// Panics, with the columns that differ and with a few keys, unless both SELECTs give the same
    /// rows.
    #[track_caller]
    pub fn assert_same(&self, what: &str, found: &str, expected: &str) {
        if self.is_same(found, expected) {
            return;
        }
        let (left, right) = (self.hashes(found), self.hashes(expected));
        let names = ["number of rows"]
            .into_iter()
            .chain(self.columns.iter().map(|column| column.name.as_str()));
        let differing: Vec<_> =
            names.zip(left.iter().zip(&right)).filter(|(_, (left, right))| left != right).collect();
        let (surplus, missing) = (self.only_in(found, expected), self.only_in(expected, found));
        panic!(
            "{what}: {surplus} rows are found and not expected, {missing} expected and not found; (found, expected) differ in {differing:#?}\n\
             found and not expected:\n{}\nexpected and not found:\n{}",
            self.examples(found, expected, &differing),
            self.examples(expected, found, &differing),
        );
    }

    /// A few rows that only the first SELECT gives: their keys, and the columns that differ.
    fn examples(&self, one: &str, other: &str, differing: &[(&str, (&String, &String))]) -> String {
        let differs = |column: &&Column| {
            self.key.contains(&column.name)
                || differing.iter().any(|(name, _)| *name == column.name)
        };
        let shown = |column: &Column| {
            format!(
                "substring(toString({}), 1, 300) AS {}",
                value(column),
                quoted(&format!("{} ", column.name))
            )
        };
        let list: Vec<_> = self.columns.iter().filter(differs).take(12).map(shown).collect();
        let row = self.row();
        let sql = format!(
            "SELECT {} FROM ({one}\n) WHERE {row} NOT IN (SELECT {row} FROM ({other}\n)) LIMIT 3 FORMAT Vertical",
            list.join(", ")
        );
        let endpoint = self.server.as_user(self.server.user(), self.server.password());
        let answer = endpoint.try_query_with(sql.as_bytes(), &self.settings);
        answer.map_or_else(|words| words, |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn rows(&self, select: &str) -> String {
        format!("SELECT {} AS one_row FROM ({select}\n)", self.row())
    }

    fn row(&self) -> String {
        let values: Vec<_> = self.columns.iter().map(value).collect();
        format!("formatRow('RowBinary', {})", values.join(", "))
    }

    fn ask(&self, sql: &str) -> String {
        String::from_utf8(self.server.query_with(sql, &self.settings))
            .unwrap()
            .trim_end_matches('\n')
            .to_owned()
    }
}

/// The column's value as the table would keep it.
fn value(column: &Column) -> String {
    format!("CAST({}, {})", quoted(&column.name), literal(&column.type_name))
}

/// An identifier of any characters.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A string literal of any characters.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
