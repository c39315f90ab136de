//! Binding objects: listing and pinning those of a period, and their columns.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::bound::UsedColumn;
use super::error::JobError;
use super::keys::ObjectFormat;
use super::manifest::Delivery;
use super::objects::{BoundObjects, ObjectSource, PinnedObject, is_one_of, list};
use super::ttl::names_in;
use crate::clickhouse::{
    Column, Connection, Described, Error as ServerError, Settings, TableSchema, quote_literal,
};

/// Virtual columns that the statements use.
const VIRTUAL: [&str; 4] = ["_path", "_etag", "_size", "_time"];
/// How many objects or columns a message names.
const NAMED: usize = 5;

/// The objects of a period as a source, and which columns each of them has.
pub(super) struct Listed {
    /// Their columns as those of a table.
    pub schema: TableSchema,
    pub objects: BoundObjects,
    /// For each column that is not in all objects, its name and the paths without it.
    lacking: Vec<(String, Vec<String>)>,
    /// Columns that objects have and `[source.structure]` does not name.
    unknown: BTreeSet<String>,
}

/// An object as one text.
#[derive(Deserialize)]
struct Document {
    path: String,
    text: String,
}

/// The rows and the columns of an object.
#[derive(Deserialize)]
struct Contents {
    path: String,
    rows: Option<u64>,
    /// The names of columns; those of nested ones begin with the name of the column and a dot.
    columns: Vec<String>,
}

/// Lists and pins the objects of a period, and finds their columns.
///
/// # Errors
/// There are none, one cannot be read or pinned, or the server cannot be asked.
pub(super) async fn list_objects(
    connection: &Connection,
    source: &ObjectSource,
    period: &str,
) -> Result<Listed, JobError> {
    let listing = Listing { connection, source, period, settings: source.finding() };
    let (mut pins, version) = listing.delivery().await?;
    let columns = listing.columns(&pins).await?;
    let contents = listing.contents(&pins).await?;
    for pin in &mut pins {
        pin.rows = contents.iter().find(|of| of.path == pin.path).and_then(|of| of.rows);
    }
    let lacking = columns.iter().filter_map(|column| {
        let without: Vec<_> =
            contents.iter().filter(|of| !of.has(&column.name)).map(|of| of.path.clone()).collect();
        (!without.is_empty()).then(|| (column.name.clone(), without))
    });
    let lacking = lacking.collect();
    let is_known = |path: &str| columns.iter().any(|column| is_part(path, &column.name));
    let unknown: BTreeSet<_> = contents
        .iter()
        .flat_map(|of| &of.columns)
        .filter(|path| !is_known(path))
        .filter_map(|path| path.split('.').next())
        .map(str::to_owned)
        .collect();
    let typed: Vec<_> =
        columns.iter().map(|column| (column.name.clone(), column.type_name.clone())).collect();
    Ok(Listed {
        objects: source.bound(period, &typed, pins, version),
        schema: TableSchema::outside(&source.pattern, source.engine(), columns),
        lacking,
        unknown,
    })
}

struct Listing<'a> {
    connection: &'a Connection,
    source: &'a ObjectSource,
    period: &'a str,
    settings: Settings,
}

impl Listing<'_> {
    /// The objects that count, and the delivery's own version.
    async fn delivery(&self) -> Result<(Vec<PinnedObject>, Option<String>), JobError> {
        let Some((address, keys)) = &self.source.manifest else {
            return Ok((self.pins().await?, None));
        };
        let columns = [("text".to_owned(), "String".to_owned())];
        let function = self.source.function_at(address, self.period, "RawBLOB", &columns);
        let sql = format!("SELECT toString(_path) AS path, text FROM {function} ORDER BY path");
        let found = self.connection.rows_with::<Document>("objects", &sql, &self.settings);
        let found = found.await.map_err(self.unreadable("reading the manifest"))?;
        let manifest = match <[Document; 1]>::try_from(found) {
            Ok([manifest]) => manifest,
            Err(found) => {
                let paths: Vec<_> = found.iter().map(|found| found.path.as_str()).collect();
                let paths = if paths.is_empty() { "none".to_owned() } else { paths.join(", ") };
                return Err(self.unusable(format!(
                    "the period {} needs one manifest at {}, and has {paths}",
                    self.period, keys.object
                )));
            }
        };
        let wrong = |message| self.unusable(format!("the manifest {}: {message}", manifest.path));
        let delivery = Delivery::read(&manifest.text, keys).map_err(wrong)?;
        let picked = delivery.pick(&self.pins().await?).map_err(wrong)?;
        Ok((picked, delivery.version))
    }

    async fn pins(&self) -> Result<Vec<PinnedObject>, JobError> {
        let sql = list(&self.function("One"), None);
        let found = self.connection.rows_with::<PinnedObject>("objects", &sql, &self.settings);
        let pins = found.await.map_err(self.unreadable("listing them"))?;
        if pins.is_empty() {
            return Err(self.unusable(format!("the period {} has no object", self.period)));
        }
        let twice =
            pins.iter().zip(pins.iter().skip(1)).find(|(one, other)| one.path == other.path);
        if let Some((pin, _)) = twice {
            return Err(
                self.unusable(format!("{} is listed twice, and each object counts once", pin.path))
            );
        }
        if let Some(pin) = pins.iter().find(|pin| pin.identity.trim_matches('/').is_empty()) {
            return Err(self.unusable(format!(
                "the server gives neither an etag nor a size and a time of {}, so nothing tells whether it changes",
                pin.path
            )));
        }
        Ok(pins)
    }

    async fn columns(&self, pins: &[PinnedObject]) -> Result<Vec<Column>, JobError> {
        let function =
            self.source.function(self.period, self.source.format.name(), &self.source.structure);
        let sql = format!("DESCRIBE TABLE {function}");
        // Other formats refuse it.
        let settings = self.settings.clone().with("schema_inference_mode", "union");
        let is_inferred = self.source.structure.is_empty();
        let settings = if is_inferred { &settings } else { &self.settings };
        let found = self.connection.rows_with::<Described>("objects", &sql, settings);
        let found = match found.await {
            Ok(found) => found,
            Err(error) => return Err(self.named(error, "finding their columns", pins).await),
        };
        if let Some(column) = found.iter().find(|column| VIRTUAL.contains(&column.name.as_str())) {
            return Err(self.unusable(format!(
                "they have a column {}, which hides the server's column of this name",
                column.name
            )));
        }
        Ok(found.into_iter().map(Column::from).collect())
    }

    /// What each object has, as far as its format tells without reading it.
    async fn contents(&self, pins: &[PinnedObject]) -> Result<Vec<Contents>, JobError> {
        match self.source.format {
            ObjectFormat::Parquet => {
                let found = self.parquet(pins).await;
                match found {
                    Ok(found) => Ok(found),
                    Err(error) => Err(self.named(error, "reading their metadata", pins).await),
                }
            }
            ObjectFormat::CsvWithNames => {
                let mut contents = Vec::with_capacity(pins.len());
                for pin in pins {
                    let reading = self.header(&pin.path).await;
                    contents.push(reading.map_err(self.unreadable(&pin.path))?);
                }
                Ok(contents)
            }
            ObjectFormat::Csv | ObjectFormat::JSONEachRow => Ok(Vec::new()),
        }
    }

    async fn parquet(&self, pins: &[PinnedObject]) -> Result<Vec<Contents>, ServerError> {
        let sql = format!(
            "SELECT toString(_path) AS path, toUInt64(num_rows) AS rows, \
             arrayMap(c -> tupleElement(c, 'path'), columns) AS columns FROM {} WHERE {}",
            self.function("ParquetMetadata"),
            is_one_of(pins)
        );
        self.connection.rows_with("objects", &sql, &self.settings).await
    }

    /// The names in the first line of an object.
    async fn header(&self, path: &str) -> Result<Contents, ServerError> {
        #[derive(Deserialize)]
        struct Line {
            line: String,
        }
        let sql = format!(
            "SELECT line FROM {} WHERE _path = {} LIMIT 1",
            self.source.function(self.period, "LineAsString", &[("line".into(), "String".into())]),
            quote_literal(path)
        );
        let lines = self.connection.rows_with::<Line>("objects", &sql, &self.settings).await?;
        let Some(Line { line }) = lines.into_iter().next() else {
            return Ok(Contents { path: path.to_owned(), rows: Some(0), columns: Vec::new() });
        };
        // A line of values is needed beside that of names.
        let text = quote_literal(&format!("{line}\n{line}\n")).to_string();
        let sql = format!("DESCRIBE TABLE format(CSVWithNames, {text})");
        let columns =
            self.connection.rows_with::<Described>("objects", &sql, &self.settings).await?;
        let columns = columns.into_iter().map(|column| column.name).collect();
        Ok(Contents { path: path.to_owned(), rows: None, columns })
    }

    /// The error, with the name of the first object that cannot be read.
    async fn named(&self, error: ServerError, what: &str, pins: &[PinnedObject]) -> JobError {
        if self.source.format == ObjectFormat::Parquet {
            for pin in pins {
                match self.parquet(std::slice::from_ref(pin)).await {
                    // A damaged file is an error of a library, which may also be one that passes.
                    Err(error) if error.is_of_library() => {
                        return self.unusable(format!("{} cannot be read: {error}", pin.path));
                    }
                    Err(error) => return self.unreadable(&format!("reading {}", pin.path))(error),
                    Ok(_) => {}
                }
            }
        }
        self.unreadable(what)(error)
    }

    fn function(&self, format: &str) -> String {
        self.source.function(self.period, format, &[])
    }

    fn unusable(&self, message: String) -> JobError {
        JobError::Objects { objects: self.source.pattern.clone(), message }
    }

    fn unreadable(&self, what: &str) -> impl FnOnce(ServerError) -> JobError {
        let (objects, what) = (self.source.pattern.clone(), what.to_owned());
        move |source| JobError::UnreadableObjects { objects, what, source }
    }
}

/// A remark on columns; `None` without any.
fn remark_on<'a>(columns: impl Iterator<Item = &'a str>, words: &str) -> Option<String> {
    let columns: Vec<_> = columns.collect();
    let named = columns.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match columns.len() {
        0 => None,
        1 => Some(format!("the column {named} {words}")),
        all if all > NAMED => {
            Some(format!("the columns {named} and {} others {words}", all - NAMED))
        }
        _ => Some(format!("the columns {named} {words}")),
    }
}

impl Contents {
    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|path| is_part(path, column))
    }
}

/// Whether a path is that of a column or of what is nested in it.
fn is_part(path: &str, column: &str) -> bool {
    path.strip_prefix(column).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Listed {
    /// Refuses columns that the job reads, an object lacks, and that are not optional. Gives a remark for each
    /// other column that is not in all objects.
    ///
    /// # Errors
    /// [`JobError::Objects`].
    pub(super) fn remarks(
        &self,
        source: &ObjectSource,
        used: &[UsedColumn],
        keys: &[String],
        predicates: &[&str],
    ) -> Result<Vec<String>, JobError> {
        let of_predicates: BTreeSet<_> =
            predicates.iter().flat_map(|predicate| names_in(predicate)).collect();
        let is_read = |name: &String| {
            used.iter().any(|column| column.name == *name)
                || keys.contains(name)
                || of_predicates.contains(name)
        };
        let all = self.objects.pins.len();
        let words = |(name, without): &(String, Vec<String>)| {
            let mut paths = without.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            if without.len() > NAMED {
                paths.push_str(", …");
            }
            format!("the column {name} is missing in {} of {all} objects: {paths}", without.len())
        };
        let missing: Vec<_> = self
            .lacking
            .iter()
            .filter(|(name, _)| is_read(name) && !source.optional.contains(name))
            .map(words)
            .collect();
        if missing.is_empty() {
            let (everywhere, somewhere): (Vec<_>, Vec<_>) =
                self.lacking.iter().partition(|(_, without)| without.len() == all);
            let names = everywhere.into_iter().map(|(name, _)| name.as_str());
            let unknown = self.unknown.iter().map(String::as_str);
            let mut remarks: Vec<_> = somewhere.into_iter().map(words).collect();
            remarks.extend(remark_on(names, "of the job: in no object"));
            remarks.extend(remark_on(unknown, "of the objects: not in [source.structure]"));
            return Ok(remarks);
        }
        Err(JobError::Objects {
            objects: source.pattern.clone(),
            message: format!(
                "{}; optional under [source] names columns that an object may lack",
                missing.join("; ")
            ),
        })
    }
}
