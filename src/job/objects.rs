//! Objects as a source: files that the server reads by a table function, and how they are pinned.
//!
//! The objects that a load reads are listed once. Each is pinned by its path and by what tells its content:
//! the etag, or the size and the time of the last change where there is no etag. Every statement that reads
//! them throws where an object is not the pinned one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::keys::{Manifest, ObjectFormat, Source};
use crate::clickhouse::{Quoted, Settings, quote_identifier, quote_literal, structure};

/// What the server says where an object is not the pinned one.
pub(crate) const OBJECT_CHANGED: &str = "object changed since it was planned";

/// The placeholder of the period.
pub(super) const PERIOD: &str = "{period}";

/// Stands at the beginning for an address that the user gives.
const ROOT: &str = "{root}";

/// SQL for what tells the content of an object.
const IDENTITY: &str = "if(ifNull(_etag, '') != '', ifNull(_etag, ''), \
    concat(ifNull(toString(_size), ''), '/', ifNull(toString(toUnixTimestamp(_time)), '')))";

/// The table function that reads objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    File,
    Url,
    S3,
    /// Not known yet.
    Open,
}

/// The objects of a job file.
#[derive(Clone, Debug)]
pub(crate) struct ObjectSource {
    /// The value of `objects`.
    pub pattern: String,
    access: Access,
    /// The address for the table function.
    address: String,
    collection: Option<String>,
    /// Says which objects count, at this address for the table function.
    pub(super) manifest: Option<(String, Manifest)>,
    pub(super) format: ObjectFormat,
    /// The declared columns with their types, in the order of the file.
    pub(super) structure: Vec<(String, String)>,
    /// Columns that an object may lack.
    pub(super) optional: Vec<String>,
}

/// An object that a load reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedObject {
    /// Its path, as the server names it.
    pub path: String,
    /// The etag; or the size and the time of the last change in seconds since 1970, joined by `/`.
    pub identity: String,
    /// Its bytes, if known.
    pub size: Option<u64>,
    /// The time of the last change in seconds since 1970, if known.
    pub last_modified: Option<u64>,
    /// Its rows, if its format tells without reading them.
    #[serde(default)]
    pub rows: Option<u64>,
}

/// How an object differs from the pinned one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectChange {
    path: String,
    /// What was pinned; `None` for a new object.
    before: Option<String>,
    /// What is there; `None` if it is gone.
    now: Option<String>,
}

/// The objects of one period.
#[derive(Clone, Debug)]
pub struct BoundObjects {
    /// The table function that reads all of them, with format and structure.
    pub(crate) function: String,
    /// The same in a format that lists them without reading.
    listing: String,
    /// Whether the path has the period, so that other periods have objects of their own.
    pub(crate) is_of_period: bool,
    /// The objects that a load reads.
    pub(crate) pins: Vec<PinnedObject>,
    /// Whether a manifest says which objects count.
    has_manifest: bool,
    /// The delivery's own version, by the manifest.
    pub(crate) version: Option<String>,
}

impl ObjectFormat {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::CsvWithNames => "CSVWithNames",
            Self::JSONEachRow => "JSONEachRow",
        }
    }
}

impl ObjectSource {
    /// The objects of a source; `None` for a source that is a table.
    ///
    /// # Errors
    /// What is wrong with its keys.
    pub(super) fn of(source: &Source) -> Result<Option<Self>, String> {
        let Some(pattern) = &source.objects else {
            let of_objects = [
                ("format", source.format.is_some()),
                ("collection", source.collection.is_some()),
                ("structure", !source.structure.is_empty()),
                ("optional", !source.optional.is_empty()),
                ("manifest", source.manifest.is_some()),
            ];
            let found = of_objects.into_iter().find(|(_, has)| *has);
            return found.map_or(Ok(None), |(key, _)| {
                Err(format!("[source] has {key}, which only objects have"))
            });
        };
        let (access_of_objects, address) = access(pattern)?;
        let format = source.format.ok_or(
            "[source] has objects and needs format: Parquet, CSVWithNames, CSV or JSONEachRow",
        )?;
        if source.collection.is_some() && !matches!(access_of_objects, Access::S3 | Access::Open) {
            return Err(format!(
                "[source] has collection, which only objects in S3 can have, not {pattern}"
            ));
        }
        if source.structure.is_empty() && format != ObjectFormat::Parquet {
            return Err(format!(
                "objects in the format {} need [source.structure] with a type for each column: inferred types lose digits and leading zeros",
                format.name()
            ));
        }
        let manifest = match &source.manifest {
            None => None,
            Some(manifest) => {
                let (of_manifest, address) = access(&manifest.object)?;
                if of_manifest != access_of_objects {
                    return Err(format!(
                        "the manifest is {}, which is read otherwise than the objects",
                        manifest.object
                    ));
                }
                Some((address, manifest.clone()))
            }
        };
        let mut declared: Vec<_> = source.structure.iter().collect();
        declared.sort_by_key(|(name, _)| name.span().start);
        Ok(Some(Self {
            pattern: pattern.clone(),
            access: access_of_objects,
            address,
            manifest,
            collection: source.collection.clone(),
            format,
            structure: declared
                .into_iter()
                .map(|(name, type_name)| (name.get_ref().clone(), type_name.get_ref().clone()))
                .collect(),
            optional: source.optional.clone(),
        }))
    }

    /// Whether the address begins with a placeholder.
    pub(super) fn is_open(&self) -> bool {
        self.access == Access::Open
    }

    /// How people call the source: the function and the format.
    pub(super) fn engine(&self) -> String {
        format!("{}({})", self.function_name(), self.format.name())
    }

    /// Settings under which the objects are read exactly. Those of the job do not override them.
    pub(super) fn settings(&self) -> [(&'static str, &'static str); 3] {
        [
            // Columns of paths would be added to those of the objects.
            ("use_hive_partitioning", "0"),
            // Which objects lack an optional column was found when they were listed.
            (
                "input_format_parquet_allow_missing_columns",
                if self.optional.is_empty() { "0" } else { "1" },
            ),
            // Statements name the objects.
            ("max_query_size", "67108864"),
        ]
    }

    /// Settings of the statements that find the objects and their columns.
    pub(super) fn finding(&self) -> Settings {
        // Columns that were found before may be those of an earlier object.
        let cached = ["file", "s3", "url"];
        let uncached = cached.map(|of| (format!("schema_inference_use_cache_for_{of}"), "0"));
        Settings::read().with_all(self.settings()).with_all(uncached)
    }

    /// The table function of a period, for a format and columns.
    pub(super) fn function(
        &self,
        period: &str,
        format: &str,
        columns: &[(String, String)],
    ) -> String {
        self.function_at(&self.address, period, format, columns)
    }

    /// The same for another address.
    pub(super) fn function_at(
        &self,
        address: &str,
        period: &str,
        format: &str,
        columns: &[(String, String)],
    ) -> String {
        let address = quote_literal(&address.replace(PERIOD, period));
        let format = quote_literal(format);
        let columns: Option<Quoted> = (!columns.is_empty()).then(|| {
            structure(columns.iter().map(|(name, type_name)| (name.as_str(), type_name.as_str())))
        });
        let name = self.function_name();
        match &self.collection {
            None => {
                let columns = columns.map(|columns| format!(", {columns}")).unwrap_or_default();
                format!("{name}({address}, {format}{columns})")
            }
            Some(collection) => {
                let columns =
                    columns.map(|columns| format!(", structure = {columns}")).unwrap_or_default();
                let collection = quote_identifier(collection);
                format!("{name}({collection}, url = {address}, format = {format}{columns})")
            }
        }
    }

    /// The objects of a period, with these columns and pins.
    pub(super) fn bound(
        &self,
        period: &str,
        columns: &[(String, String)],
        pins: Vec<PinnedObject>,
        version: Option<String>,
    ) -> BoundObjects {
        BoundObjects {
            function: self.function(period, self.format.name(), columns),
            listing: self.function(period, "One", &[]),
            is_of_period: self.address.contains(PERIOD),
            pins,
            has_manifest: self.manifest.is_some(),
            version,
        }
    }

    fn function_name(&self) -> &'static str {
        match self.access {
            Access::File | Access::Open => "file",
            Access::Url => "url",
            Access::S3 => "s3",
        }
    }
}

/// A value of `objects` with an address in place of the placeholder.
pub(super) fn below(root: &str, pattern: &str) -> String {
    match pattern.strip_prefix(ROOT) {
        Some(rest) => format!("{}{rest}", root.trim_end_matches('/')),
        None => pattern.to_owned(),
    }
}

/// The table function for a value of `objects`, and the address for it.
fn access(pattern: &str) -> Result<(Access, String), String> {
    if pattern.strip_prefix(ROOT).is_some_and(|rest| rest.starts_with('/')) {
        return Ok((Access::Open, pattern.to_owned()));
    }
    let unknown = || {
        format!(
            "objects is {pattern:?}; it must begin with s3://, s3+https://, https:// or http://, file:/ for files of the server, or {{root}}/ for what --objects-root gives"
        )
    };
    if let Some(path) = pattern.strip_prefix("file:").filter(|path| path.starts_with('/')) {
        return Ok((Access::File, path.to_owned()));
    }
    // First of all: the other message shows the address.
    if pattern.contains('@') || pattern.contains('?') {
        return Err(
            "objects has @ or ?: an address with a user, a password or a signature would be shown in logs; name a collection of the server instead"
                .to_owned(),
        );
    }
    let (scheme, rest) = pattern.split_once(':').ok_or_else(unknown)?;
    match scheme {
        "s3" if rest.starts_with("//") => Ok((Access::S3, pattern.to_owned())),
        "s3+https" | "s3+http" => Ok((Access::S3, pattern.trim_start_matches("s3+").to_owned())),
        "https" | "http" => Ok((Access::Url, pattern.to_owned())),
        _ => Err(unknown()),
    }
}

impl PinnedObject {
    /// The path and what tells its content, as a tuple of literals.
    fn literal(&self) -> String {
        format!("({}, {})", quote_literal(&self.path), quote_literal(&self.identity))
    }

    /// A predicate that keeps the rows of this object, and throws where it has changed.
    pub(crate) fn predicate(&self) -> String {
        predicate(std::slice::from_ref(self))
    }
}

/// A predicate that keeps the rows of these objects, and throws where one has changed.
fn predicate(pins: &[PinnedObject]) -> String {
    let literals: Vec<_> = pins.iter().map(PinnedObject::literal).collect();
    format!(
        "{} AND throwIf((toString(_path), {IDENTITY}) NOT IN ({}), '{OBJECT_CHANGED}') = 0",
        is_one_of(pins),
        literals.join(", ")
    )
}

/// A predicate of the rows of these objects, whatever they have.
pub(super) fn is_one_of(pins: &[PinnedObject]) -> String {
    let paths: Vec<_> = pins.iter().map(|pin| quote_literal(&pin.path).to_string()).collect();
    format!("_path IN ({})", paths.join(", "))
}

impl BoundObjects {
    /// A predicate that keeps the rows of all objects.
    pub(crate) fn predicate(&self) -> String {
        predicate(&self.pins)
    }

    /// A predicate that is true, and throws where an object has changed or is gone: one that is gone, or has
    /// no rows any more, has no row that could throw. `only` is the predicate of one object; all without it.
    pub(crate) fn unchanged(&self, only: Option<&str>) -> String {
        let (expected, predicate) = match only {
            Some(predicate) => (1, predicate.to_owned()),
            None => (self.pins.len(), self.predicate()),
        };
        format!(
            "(SELECT throwIf(count() != {expected}, '{OBJECT_CHANGED}') FROM {} WHERE {predicate}) = 0",
            self.listing
        )
    }

    /// The query of the objects that are there, each a [`PinnedObject`]; of the pinned ones where a manifest
    /// leaves out others.
    pub(crate) fn list(&self) -> String {
        list(&self.listing, self.has_manifest.then(|| is_one_of(&self.pins)).as_deref())
    }

    /// How the objects have changed since these were pinned.
    pub(crate) fn changes_since(&self, before: &[PinnedObject]) -> Vec<ObjectChange> {
        changes(before, &self.pins)
    }

    /// Bytes of all objects; `None` if one is unknown.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.pins.iter().map(|pin| pin.size).sum()
    }

    /// Rows of all objects; `None` if those of one are unknown.
    pub(crate) fn rows(&self) -> Option<u64> {
        self.pins.iter().map(|pin| pin.rows).sum()
    }
}

/// The query of the objects that are there, of a function in the format `One`.
pub(super) fn list(function: &str, only: Option<&str>) -> String {
    let only = only.map(|predicate| format!(" WHERE {predicate}")).unwrap_or_default();
    format!(
        "SELECT toString(_path) AS path, {IDENTITY} AS identity, _size AS size, \
         toUInt64(toUnixTimestamp(_time)) AS last_modified FROM {function}{only} ORDER BY path"
    )
}

/// How objects have changed.
pub(crate) fn changes(before: &[PinnedObject], now: &[PinnedObject]) -> Vec<ObjectChange> {
    let identity = |pins: &[PinnedObject], path: &str| {
        pins.iter().find(|pin| pin.path == path).map(|pin| pin.identity.clone())
    };
    let mut paths: Vec<_> = before.iter().chain(now).map(|pin| pin.path.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
        .into_iter()
        .map(|path| ObjectChange {
            path: path.to_owned(),
            before: identity(before, path),
            now: identity(now, path),
        })
        .filter(|change| change.before != change.now)
        .collect()
}

impl fmt::Display for ObjectChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, before, now } = self;
        match (before, now) {
            (Some(before), Some(now)) => write!(formatter, "{path} was {before} and is {now}"),
            (Some(before), None) => write!(formatter, "{path} was {before} and is gone"),
            (None, now) => {
                write!(formatter, "{path} is new, {}", now.as_deref().unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_a_table_function() {
        for (pattern, expected) in [
            ("file:/data/x-{period}/*.parquet", Ok((Access::File, "/data/x-{period}/*.parquet"))),
            ("s3://bucket/a/*.csv", Ok((Access::S3, "s3://bucket/a/*.csv"))),
            ("s3+http://h:9000/b/*.csv", Ok((Access::S3, "http://h:9000/b/*.csv"))),
            ("https://h/a.csv.gz", Ok((Access::Url, "https://h/a.csv.gz"))),
            ("{root}/a/*.csv", Ok((Access::Open, "{root}/a/*.csv"))),
            ("{root}a.csv", Err("must begin with")),
            ("file:data/a.csv", Err("file:/")),
            ("data/a.csv", Err("must begin with")),
            ("gopher://h/a", Err("must begin with")),
            ("https://u:p@h/a.csv", Err("a password or a signature")),
            ("gcs://u:p@h/a.csv", Err("a password or a signature")),
            ("https://h/a.csv?X-Amz-Signature=1", Err("a password or a signature")),
        ] {
            match (access(pattern), expected) {
                (Ok((access, address)), Ok(expected)) => {
                    assert_eq!((access, address.as_str()), expected);
                }
                (Err(message), Err(words)) => assert!(message.contains(words), "{message}"),
                (found, _) => panic!("{pattern}: {found:?}"),
            }
        }
    }

    fn pin(path: &str, identity: &str) -> PinnedObject {
        PinnedObject {
            path: path.to_owned(),
            identity: identity.to_owned(),
            size: Some(1),
            last_modified: None,
            rows: None,
        }
    }

    #[test]
    fn changes_name_the_object_and_both_etags() {
        let before = [pin("a", "1"), pin("b", "2"), pin("c", "3")];
        let now = [pin("a", "1"), pin("b", "9"), pin("d", "4")];
        let words: Vec<_> = changes(&before, &now).iter().map(ToString::to_string).collect();
        assert_eq!(words, ["b was 2 and is 9", "c was 3 and is gone", "d is new, 4"]);
        assert_eq!(changes(&before, &before), []);
    }

    #[test]
    fn pins_are_stored_by_their_names() {
        let text = serde_json::to_string(&pin("a'b", "1/2")).unwrap();
        assert_eq!(
            text,
            r#"{"path":"a'b","identity":"1/2","size":1,"last_modified":null,"rows":null}"#
        );
        assert_eq!(serde_json::from_str::<PinnedObject>(&text).unwrap(), pin("a'b", "1/2"));
        assert!(pin("a'b", "1").predicate().starts_with(r"_path IN ('a\'b') AND throwIf("));
    }
}
