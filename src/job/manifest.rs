//! Manifests: a JSON document beside objects that says which of them a delivery has.

use serde_json::Value;

use super::keys::Manifest;
use super::objects::PinnedObject;

/// What a manifest says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// The objects, as it names them.
    pub names: Vec<String>,
    /// The delivery's own version.
    pub version: Option<String>,
}

impl Delivery {
    /// Reads a manifest.
    ///
    /// # Errors
    /// It is not JSON, or lacks what the job says it has.
    pub(super) fn read(text: &str, keys: &Manifest) -> Result<Self, String> {
        let document: Value =
            serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        let lacks = |key: &str, what: &str| format!("its {key} is not {what}");
        let listed = at(&document, &keys.files).and_then(Value::as_array);
        let listed = listed.ok_or_else(|| lacks(&keys.files, "a list"))?;
        let names: Option<Vec<_>> =
            listed.iter().map(|name| name.as_str().map(str::to_owned)).collect();
        let names = names.ok_or_else(|| lacks(&keys.files, "a list of texts"))?;
        if names.is_empty() {
            return Err(format!("its {} is empty", keys.files));
        }
        let version = match &keys.version {
            None => None,
            Some(key) => match at(&document, key) {
                Some(Value::String(version)) => Some(version.clone()),
                Some(Value::Number(version)) => Some(version.to_string()),
                _ => return Err(lacks(key, "a text or a number")),
            },
        };
        Ok(Self { names, version })
    }

    /// The objects of the delivery among those that are there.
    ///
    /// # Errors
    /// One is not there, or it cannot be told which one is meant.
    pub(super) fn pick(&self, listed: &[PinnedObject]) -> Result<Vec<PinnedObject>, String> {
        let mut picked: Vec<PinnedObject> = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let found = named(name, listed)?;
            if picked.iter().any(|pin| pin.path == found.path) {
                return Err(format!("it names {} twice", found.path));
            }
            picked.push(found.clone());
        }
        picked.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(picked)
    }
}

/// The value at keys that are joined by dots.
fn at<'a>(document: &'a Value, keys: &str) -> Option<&'a Value> {
    keys.split('.').try_fold(document, |value, key| value.get(key))
}

/// The object that a name of a manifest means: the one whose path ends with more of the name's segments than
/// that of any other. Its last segment is the least; a copy in another bucket or folder has the same ones.
fn named<'a>(name: &str, listed: &'a [PinnedObject]) -> Result<&'a PinnedObject, String> {
    let in_common = |pin: &PinnedObject| {
        let (one, other) = (name.rsplit('/'), pin.path.rsplit('/'));
        one.zip(other).take_while(|(one, other)| one == other).count()
    };
    let most = listed.iter().map(in_common).max().unwrap_or_default();
    if most == 0 {
        return Err(format!("it names {name}, which is not among the objects"));
    }
    let mut best = listed.iter().filter(|pin| in_common(pin) == most);
    match (best.next(), best.next()) {
        (Some(found), None) => Ok(found),
        (Some(one), Some(other)) => {
            Err(format!("it names {name}, which can be {} or {}", one.path, other.path))
        }
        _ => Err(format!("it names {name}, which is not among the objects")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(files: &str, version: Option<&str>) -> Manifest {
        Manifest {
            object: String::new(),
            files: files.to_owned(),
            version: version.map(str::to_owned),
        }
    }

    fn listed(paths: &[&str]) -> Vec<PinnedObject> {
        let pin = |path: &&str| PinnedObject {
            path: (*path).to_owned(),
            identity: "e".to_owned(),
            size: None,
            last_modified: None,
            rows: None,
        };
        paths.iter().map(pin).collect()
    }

    #[test]
    fn a_manifest_is_read_by_its_keys() {
        let text = r#"{"report": {"files": ["b", "a"], "number": 7}, "id": "x", "none": []}"#;
        let read = |files, version| Delivery::read(text, &keys(files, version));
        let names = vec!["b".to_owned(), "a".to_owned()];
        let expected = |version: Option<&str>| Delivery {
            names: names.clone(),
            version: version.map(str::to_owned),
        };
        assert_eq!(read("report.files", None), Ok(expected(None)));
        assert_eq!(read("report.files", Some("id")), Ok(expected(Some("x"))));
        assert_eq!(read("report.files", Some("report.number")), Ok(expected(Some("7"))));
        for (files, version, words) in [
            ("files", None, "its files is not a list"),
            ("none", None, "its none is empty"),
            ("report.files", Some("report"), "its report is not a text or a number"),
        ] {
            assert_eq!(read(files, version).unwrap_err(), words);
        }
        assert!(Delivery::read("[1", &keys("a", None)).unwrap_err().contains("not JSON"));
    }

    #[test]
    fn names_find_their_objects_by_the_end_of_the_path() {
        let all = listed(&["bucket/x/1/a.parquet", "bucket/x/2/a.parquet", "bucket/x/2/b.parquet"]);
        let pick = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let picked = Delivery { names, version: None }.pick(&all)?;
            Ok(picked.into_iter().map(|pin| pin.path).collect::<Vec<_>>().join(" "))
        };
        let found = |paths: &str| Ok::<_, String>(paths.to_owned());
        assert_eq!(pick(&["s3://bucket/x/2/a.parquet"]), found("bucket/x/2/a.parquet"));
        assert_eq!(
            pick(&["s3://other/y/2/b.parquet", "1/a.parquet"]),
            found("bucket/x/1/a.parquet bucket/x/2/b.parquet")
        );
        assert_eq!(pick(&["b.parquet"]), found("bucket/x/2/b.parquet"));
        for (names, words) in [
            (&["a.parquet"][..], "can be bucket/x/1/a.parquet or bucket/x/2/a.parquet"),
            (&["c.parquet"], "which is not among the objects"),
            (&["b.parquet", "2/b.parquet"], "twice"),
        ] {
            assert!(pick(names).unwrap_err().contains(words), "{names:?}");
        }
    }
}
