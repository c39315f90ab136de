//! The job file: TOML of a few dozen lines. Unknown keys are errors that name the line.

use std::collections::BTreeMap;

use toml::Spanned;

use super::error::{JobError, suggested_key, unknown_key};
use super::keys::{
    Condition, EqualVersion, Expression, ExpressionTable, File, Lookup, Publish, Source,
    StatementSettings, Target,
};
use super::objects::{ObjectSource, below};
use super::postgres::PostgresSource;
use super::schema::tables_with_key;
use crate::clickhouse::TableName;

/// A parsed job file, not yet bound to tables.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name, for the ledger and reports.
    pub(crate) name: String,
    /// One line that says what it does.
    pub(crate) description: String,
    /// The path of the file, or the name of the built-in job.
    pub(crate) origin: String,
    /// How the source is read.
    pub(crate) source: Source,
    /// What is read.
    pub(crate) relation: Relation,
    /// The table with the attributes of each row.
    pub(crate) lookup: Option<Lookup>,
    /// The table that is filled.
    pub(crate) target: Target,
    /// The conditions that must not hold when a run starts, by name.
    pub(crate) checks: BTreeMap<String, Condition>,
    /// ClickHouse settings for each kind of statement.
    pub(crate) settings: StatementSettings,
    /// The columns of the target to group by, with their expressions; `None` for a job of rows.
    pub(crate) group: Option<Vec<(String, Expression)>>,
    /// The expression of each target column, in the file's order.
    pub(crate) columns: Vec<(String, Expression)>,
}

/// What a job reads.
#[derive(Clone, Debug)]
pub(crate) enum Relation {
    /// This table.
    Table(String),
    /// Objects that the server reads.
    Objects(ObjectSource),
    /// Rows of a query of PostgreSQL.
    Postgres(PostgresSource),
}

impl Relation {
    /// The name for people and for the ledger. Objects and PostgreSQL are in no database.
    pub(crate) fn name(&self, database: &str) -> TableName {
        match self {
            Self::Table(table) => TableName::parse(table, database),
            Self::Objects(objects) => TableName::of_objects(&objects.pattern),
            Self::Postgres(postgres) => TableName::of_objects(&postgres.name),
        }
    }

    /// As the job file names it.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Table(table) => table,
            Self::Objects(objects) => &objects.pattern,
            Self::Postgres(postgres) => &postgres.name,
        }
    }

    fn of(source: &Source) -> Result<Self, String> {
        let (objects, postgres) = (ObjectSource::of(source)?, PostgresSource::of(source)?);
        match (&source.table, objects, postgres) {
            (Some(table), None, None) => Ok(Self::Table(table.clone())),
            (None, Some(objects), None) => Ok(Self::Objects(objects)),
            (None, None, Some(postgres)) => Ok(Self::Postgres(postgres)),
            (None, None, None) => {
                Err("[source] needs table, objects or [source.postgres]".to_owned())
            }
            (Some(_), Some(_), None) => {
                Err("[source] has table and objects, and reads one of them".to_owned())
            }
            _ => Err("[source.postgres] is read instead of table and objects".to_owned()),
        }
    }

    /// What is read instead of a table, in words; `None` for a table.
    fn outside(&self) -> Option<String> {
        match self {
            Self::Table(_) => None,
            Self::Objects(objects) => Some(format!("objects ({})", objects.pattern)),
            Self::Postgres(postgres) => Some(format!("rows of {}", postgres.name)),
        }
    }
}

impl Job {
    /// The objects that it reads; `None` for a job that reads a table.
    pub(crate) fn objects(&self) -> Option<&ObjectSource> {
        match &self.relation {
            Relation::Objects(objects) => Some(objects),
            Relation::Table(_) | Relation::Postgres(_) => None,
        }
    }

    /// The job with an address for objects that are below `{root}`, and with a named collection for it.
    ///
    /// # Errors
    /// What is wrong with the address, or that it is missing.
    pub(crate) fn with_root(
        mut self,
        root: Option<String>,
        collection: Option<String>,
    ) -> Result<Self, String> {
        let Some(objects) = self.objects().filter(|objects| objects.is_open()) else {
            return Ok(self);
        };
        let Some(root) = root else {
            return Err(format!(
                "the job {} reads {}, and {{root}} is unknown: set --objects-root or OBJECTS_ROOT, for example s3://BUCKET/FOLDER",
                self.name, objects.pattern
            ));
        };
        self.source.objects = Some(below(&root, &objects.pattern));
        if let Some(manifest) = &mut self.source.manifest {
            manifest.object = below(&root, &manifest.object);
        }
        self.source.collection = collection.or(self.source.collection);
        let wrong = |message: String| format!("--objects-root is wrong: {message}");
        self.relation = Relation::of(&self.source).map_err(wrong)?;
        if self.objects().is_some_and(ObjectSource::is_open) {
            return Err(wrong("it begins with {root} itself".to_owned()));
        }
        Ok(self)
    }

    /// Whether it reads no table, but what the server reads for it elsewhere.
    pub(crate) fn reads_outside(&self) -> bool {
        self.relation.outside().is_some()
    }

    /// Parses a job. `origin` names the file in messages.
    ///
    /// # Errors
    /// [`JobError::Syntax`] and [`JobError::Invalid`], which name the line.
    pub(crate) fn parse(origin: &str, text: &str) -> Result<Self, JobError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let suggestion = suggested_key(error.message())
                .map(str::to_owned)
                .or_else(|| elsewhere(unknown_key(error.message())?));
            JobError::Syntax { origin: origin.to_owned(), message: error.to_string(), suggestion }
        })?;
        let invalid = |at: usize, message: String| JobError::Invalid {
            origin: origin.to_owned(),
            line: line_of(text, at),
            message,
        };
        if file.columns.get_ref().is_empty() {
            return Err(invalid(
                file.columns.span().start,
                "[columns] is empty: nothing would be written".to_owned(),
            ));
        }
        if file.name.get_ref().trim().is_empty() {
            return Err(invalid(file.name.span().start, "the name is empty".to_owned()));
        }
        let found = contradiction_of_groups(&file).or_else(|| contradiction(&file));
        if let Some((at, message)) = found {
            return Err(invalid(at, message));
        }
        let at_source = file.source.span().start;
        let relation =
            Relation::of(file.source.get_ref()).map_err(|message| invalid(at_source, message))?;
        if let (Some(outside), Some((at, message))) =
            (relation.outside(), contradiction_outside(&file))
        {
            return Err(invalid(at, format!("[source] has {outside}, {message}")));
        }
        let mut target = file.target.into_inner();
        for expression in [&mut target.owned, &mut target.live].into_iter().flatten() {
            expression.line = line_of(text, expression.line);
        }
        Ok(Self {
            name: file.name.into_inner(),
            description: file.description,
            origin: origin.to_owned(),
            source: file.source.into_inner(),
            relation,
            lookup: file.lookup.map(Spanned::into_inner),
            target,
            checks: file.checks,
            settings: file.settings,
            group: file.group.map(|group| in_order(text, group.get_ref())),
            columns: in_order(text, file.columns.get_ref()),
        })
    }
}

/// The expressions in the order of the file.
fn in_order(text: &str, table: &ExpressionTable) -> Vec<(String, Expression)> {
    let mut columns: Vec<_> = table.iter().collect();
    columns.sort_by_key(|(name, _)| name.span().start);
    let expression = |sql: &Spanned<String>| Expression {
        sql: sql.get_ref().clone(),
        line: line_of(text, sql.span().start),
    };
    columns.into_iter().map(|(name, sql)| (name.get_ref().clone(), expression(sql))).collect()
}

/// What contradicts `[group]`, with its offset.
fn contradiction_of_groups(file: &File) -> Option<(usize, String)> {
    let (target, at_target) = (file.target.get_ref(), file.target.span().start);
    let group = file.group.as_ref()?;
    let (keys, at_group) = (group.get_ref(), group.span().start);
    if keys.is_empty() {
        return Some((at_group, "[group] is empty: name the columns to group by".to_owned()));
    }
    let columns = file.columns.get_ref();
    if let Some(name) = columns.keys().find(|name| keys.contains_key(*name)) {
        let message = format!("{} is under [group] and under [columns]", name.get_ref());
        return Some((name.span().start, message));
    }
    if let Some(lookup) = &file.lookup {
        let message = "a job with [group] has no [lookup]: it groups the rows of its source";
        return Some((lookup.span().start, message.to_owned()));
    }
    if file.source.get_ref().before.is_some() {
        let message = "[source] has before, which takes a part of a partition; a job with [group] replaces whole partitions";
        return Some((file.source.span().start, message.to_owned()));
    }
    if target.publish != Publish::Replace {
        let message = "[group] needs publish = \"replace\" under [target]: groups that are inserted again would count twice";
        return Some((at_target, message.to_owned()));
    }
    let of_rows = target.owned.is_some()
        || target.live.is_some()
        || target.on_equal_version == EqualVersion::Live;
    of_rows.then(|| {
        let message = "[target] has owned, live or on_equal_version, which tell single rows apart; a job with [group] replaces whole partitions";
        (at_target, message.to_owned())
    })
}

/// What jobs that read no table cannot have, with its offset.
fn contradiction_outside(file: &File) -> Option<(usize, String)> {
    let source = file.source.get_ref();
    let of_tables = [
        ("final", source.collapse),
        ("version", source.version.is_some()),
        ("deleted", source.deleted.is_some()),
        ("newest_by", !source.newest_by.is_empty()),
        ("snapshot", source.snapshot),
        ("time", source.time.is_some()),
        ("before", source.before.is_some()),
    ];
    if let Some((key, _)) = of_tables.into_iter().find(|(_, has)| *has) {
        return Some((file.source.span().start, format!("and {key}, which only a table can have")));
    }
    if let Some(group) = &file.group {
        let message =
            "and [group] groups rows of a table: load the rows into a table, and group that";
        return Some((group.span().start, message.to_owned()));
    }
    if file.target.get_ref().on_equal_version == EqualVersion::Live {
        let message = "and on_equal_version = \"live\" compares the target with a source table";
        return Some((file.target.span().start, message.to_owned()));
    }
    None
}

/// The tables in which an unknown key is known, as a suggestion.
fn elsewhere(key: &str) -> Option<String> {
    let tables = tables_with_key(key);
    (!tables.is_empty()).then(|| format!("{key} under {}", tables.join(" or ")))
}

/// A contradiction between parts of the file, with the offset of the part that it is in.
fn contradiction(file: &File) -> Option<(usize, String)> {
    let (source, at_source) = (file.source.get_ref(), file.source.span().start);
    let (target, at_target) = (file.target.get_ref(), file.target.span().start);
    if target.on_equal_version == EqualVersion::Live
        && target.owned.is_none()
        && target.live.is_none()
    {
        let message = "on_equal_version is live, so [target] needs live or owned, which select the rows of live writers";
        return Some((at_target, message.to_owned()));
    }
    if !source.newest_by.is_empty() && !source.collapse {
        let message = "[source] has newest_by, which needs final = true: of the versions of one sorting key only the newest counts as well";
        return Some((at_source, message.to_owned()));
    }
    if source.snapshot && !source.newest_by.is_empty() {
        let message = "[source] has snapshot and newest_by: a snapshot has one partition, and the newest row of an id may lie in another";
        return Some((at_source, message.to_owned()));
    }
    if let Some(message) = contradiction_of_publishing(target) {
        return Some((at_target, message.to_owned()));
    }
    let Some(lookup) = &file.lookup else {
        let message = "[source] has a join_key, but there is no [lookup]".to_owned();
        return (!source.join_key.is_empty()).then_some((at_source, message));
    };
    let (lookup, at_lookup) = (lookup.get_ref(), lookup.span().start);
    let (ours, theirs) = (lookup.join_key.len(), source.join_key.len());
    let message = if ours == 0 {
        "[lookup] needs at least one column in join_key".to_owned()
    } else if ours != theirs {
        format!("the join_key of [lookup] has {ours} columns and that of [source] {theirs}")
    } else if lookup.window.is_some() && source.time.is_none() {
        "[lookup] has a window, so [source] must name its time column".to_owned()
    } else {
        return None;
    };
    Some((at_lookup, message))
}

/// A replaced partition has the rows of the job alone.
fn contradiction_of_publishing(target: &Target) -> Option<&'static str> {
    let tells_rows_apart = target.owned.is_some()
        || target.live.is_some()
        || target.on_equal_version == EqualVersion::Live;
    match target.publish {
        Publish::InPlace if target.keep_versions > 0 => {
            Some("keep_versions needs publish = \"replace\": rows in place replace no version")
        }
        Publish::Replace if tells_rows_apart => Some(
            "publish = \"replace\" replaces all rows of a partition, so owned, live and on_equal_version have no meaning",
        ),
        _ => None,
    }
}

/// The line, counted from 1, in which the byte at this offset stands.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "name = 'x'\n[source]\ntable = 's'\n[target]\ntable = 't'\n[columns]\nz = 'source.z'\na = '''\nsource.a'''\n";

    #[test]
    fn columns_keep_their_order_and_know_their_line() {
        let job = Job::parse("x.toml", SMALL).unwrap();
        let columns: Vec<_> =
            job.columns.iter().map(|(name, expression)| (name.as_str(), expression.line)).collect();
        assert_eq!(columns, [("z", 7), ("a", 8)]);
    }

    #[test]
    fn the_owned_expression_knows_its_line() {
        let job =
            Job::parse("x.toml", &SMALL.replace("table = 't'", "table = 't'\nowned = \"a = 1\""))
                .unwrap();
        assert_eq!(
            job.target.owned.map(|owned| (owned.sql, owned.line)),
            Some(("a = 1".to_owned(), 6))
        );
    }

    #[test]
    fn unknown_keys_and_typos_point_at_the_line() {
        let error = Job::parse("x.toml", &SMALL.replace("table = 's'", "tabel = 's'"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 3") && error.contains("tabel"), "{error}");
        let suggestion = |text: &str| match Job::parse("x.toml", text).unwrap_err() {
            JobError::Syntax { suggestion, .. } => suggestion.unwrap_or_default(),
            other => other.to_string(),
        };
        assert_eq!(suggestion(&SMALL.replace("table = 's'", "tabel = 's'")), "table");
        assert_eq!(
            suggestion(&SMALL.replace("[source]", "join_key = ['a']\n[source]")),
            "join_key under [lookup] or [source]"
        );
        let error = Job::parse("x.toml", "name = 'x\n").unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }

    #[test]
    fn contradictions_name_the_line() {
        let text = SMALL.replace("[target]", "join_key = ['a']\n[target]");
        assert!(
            Job::parse("x.toml", &text).unwrap_err().to_string().starts_with("x.toml, line 2: "),
            "source without lookup"
        );
        let text = SMALL.replace("[target]", "[lookup]\ntable = 'l'\njoin_key = ['a']\n[target]");
        assert!(
            Job::parse("x.toml", &text).unwrap_err().to_string().starts_with("x.toml, line 4: "),
            "keys of other lengths"
        );
    }

    #[test]
    fn groups_contradict_what_is_of_rows() {
        let grouped = SMALL
            .replace("table = 't'", "table = 't'\npublish = 'replace'")
            .replace("[columns]", "[group]\nk = 'source.k'\n[columns]");
        let job = Job::parse("x.toml", &grouped).unwrap();
        let keys = job.group.unwrap();
        assert_eq!((keys[0].0.as_str(), keys[0].1.line), ("k", 8));
        assert!(Job::parse("x.toml", SMALL).unwrap().group.is_none());
        for (from, to, message) in [
            ("publish = 'replace'\n", "", "line 4: [group] needs publish"),
            ("k = 'source.k'\n", "", "line 7: [group] is empty"),
            ("k = 'source.k'", "a = 'source.k'", "a is under [group] and under [columns]"),
            ("[target]", "[lookup]\ntable = 'l'\njoin_key = ['a']\n[target]", "has no [lookup]"),
            ("publish", "owned = 'a = 1'\npublish", "tell single rows apart"),
            ("[source]", "[source]\nbefore = 't'", "line 2: [source] has before"),
        ] {
            let error = Job::parse("x.toml", &grouped.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(message), "{message}: {error}");
        }
    }

    #[test]
    fn objects_contradict_what_only_tables_have() {
        let objects = "name = 'x'\n[source]\nobjects = 'file:/d/{period}/*.parquet'\nformat = 'Parquet'\n[target]\ntable = 't'\n[columns]\na = 'source.a'\n";
        let job = Job::parse("x.toml", objects).unwrap();
        assert_eq!(job.relation.name("d").to_string(), "file:/d/{period}/*.parquet");
        let csv =
            objects.replace("'Parquet'", "'CSV'\n[source.structure]\nb = 'UInt8'\na = 'String'");
        let job = Job::parse("x.toml", &csv).unwrap();
        let declared = |name: &str, of: &str| (name.to_owned(), of.to_owned());
        let expected = [declared("b", "UInt8"), declared("a", "String")];
        assert_eq!(job.objects().unwrap().structure, expected, "in the order of the file");
        for (from, to, message) in [
            ("objects", "table = 's'\nobjects", "line 2: [source] has table and objects"),
            (
                "objects = 'file:/d/{period}/*.parquet'\n",
                "table = 's'\n",
                "line 2: [source] has format, which only objects have",
            ),
            (
                "objects = 'file:/d/{period}/*.parquet'\nformat = 'Parquet'\n",
                "",
                "line 2: [source] needs table, objects or [source.postgres]",
            ),
            ("format = 'Parquet'\n", "", "needs format"),
            ("'Parquet'", "'CSV'", "need [source.structure]"),
            ("'Parquet'", "'Parquet'\ncollection = 'c'", "only objects in S3"),
            (
                "'Parquet'",
                "'Parquet'\nfinal = true",
                "line 2: [source] has objects (file:/d/{period}/*.parquet), and final",
            ),
            ("'Parquet'", "'Parquet'\nbefore = 'a'", "and before"),
            ("'Parquet'", "'Parquet'\nsnapshot = true", "and snapshot"),
            (
                "'t'",
                "'t'\npublish = 'replace'\n[group]\nk = 'source.k'",
                "line 8: [source] has objects",
            ),
        ] {
            let text = objects.replacen(from, to, 1);
            assert_ne!(text, objects, "{message}");
            let error = Job::parse("x.toml", &text).unwrap_err().to_string();
            assert!(error.contains(message), "{message}: {error}");
        }
    }

    #[test]
    fn settings_may_be_numbers() {
        let job = Job::parse(
            "x.toml",
            &SMALL.replace("[columns]", "[settings.insert]\na = 1\nb = true\nc = 'x'\n[columns]"),
        )
        .unwrap();
        let settings: Vec<_> =
            job.settings.insert.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(settings, ["a=1", "b=1", "c=x"]);
    }
}
