//! Where chunks meet, in a form that outlives the run: a run that resumes a load rebuilds its very
//! chunks from them, whatever merges have done to the primary index meanwhile.

use serde::{Deserialize, Serialize};

use super::Chunk;
use super::key::KeyColumn;
use super::ranges::{Bound, predicates};

/// The bounds between the chunks of a partition. Serialized, it is an object `{"key": [{"name",
/// "expression", "type"}], "bounds": [[…]], "newest_block": n}`, in which a value is the text that
/// ClickHouse writes for it (times in UTC), or `{"hex": …}` where that is not UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkBounds {
    /// The leading columns of the source's primary key in which the bounds are; none where there is
    /// only one chunk.
    pub key: Vec<KeyColumn>,
    /// For each bound a value of each key column, in the key's order. Chunk n lies between the
    /// bounds n - 1 and n, the latter included.
    #[serde(with = "texts")]
    pub bounds: Vec<Bound>,
    /// The greatest number of a block of inserted rows of the partition when the bounds were found:
    /// rows with a greater one came later.
    #[serde(default)]
    pub newest_block: Option<u64>,
}

impl ChunkBounds {
    /// How many chunks there are: one more than bounds.
    pub fn chunk_count(&self) -> usize {
        self.bounds.len() + 1
    }

    /// The chunks between the bounds.
    pub(super) fn chunks(&self) -> Vec<Chunk> {
        predicates(&self.key, &self.bounds)
            .into_iter()
            .enumerate()
            .map(|(number, range)| Chunk { number, range })
            .collect()
    }

    /// Whether every bound has a value for each key column; a text that somebody edited may not.
    pub(super) fn is_whole(&self) -> bool {
        self.bounds.iter().all(|bound| bound.len() == self.key.len())
            && (self.bounds.is_empty() || !self.key.is_empty())
    }
}

/// Values as texts where they are UTF-8, so that people can read them.
mod texts {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Bound;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Value {
        Text(String),
        Hexadecimal { hex: String },
    }

    pub fn serialize<S: Serializer>(bounds: &[Bound], serializer: S) -> Result<S::Ok, S::Error> {
        let value = |bytes: &Vec<u8>| match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Hexadecimal { hex: super::super::hexadecimal::encode(bytes) },
        };
        let values: Vec<Vec<Value>> =
            bounds.iter().map(|bound| bound.iter().map(value).collect()).collect();
        values.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Bound>, D::Error> {
        let bytes = |value: Value| match value {
            Value::Text(text) => Ok(text.into_bytes()),
            Value::Hexadecimal { hex } => super::super::hexadecimal::decode(&hex)
                .ok_or_else(|| D::Error::custom(format!("{hex:?} is not hexadecimal"))),
        };
        let values = Vec::<Vec<Value>>::deserialize(deserializer)?;
        values.into_iter().map(|bound| bound.into_iter().map(bytes).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_come_back_as_they_were_written() {
        let column = |name: &str, type_name: &str| KeyColumn {
            name: name.to_owned(),
            expression: format!("`{name}`"),
            type_name: type_name.to_owned(),
        };
        let bounds = ChunkBounds {
            key: vec![column("project", "String"), column("day", "Date")],
            bounds: vec![
                vec![b"p'\"\xff\x00".to_vec(), b"2025-11-01".to_vec()],
                vec!["ü".into(), b"2025-11-02".to_vec()],
            ],
            newest_block: Some(7),
        };
        let text = serde_json::to_string(&bounds).unwrap();
        assert_eq!(
            text,
            r#"{"key":[{"name":"project","expression":"`project`","type":"String"},{"name":"day","expression":"`day`","type":"Date"}],"bounds":[[{"hex":"702722ff00"},"2025-11-01"],["ü","2025-11-02"]],"newest_block":7}"#
        );
        assert_eq!(serde_json::from_str::<ChunkBounds>(&text).unwrap(), bounds);
        assert_eq!(bounds.chunks().len(), bounds.chunk_count());
        assert!(
            serde_json::from_str::<ChunkBounds>(r#"{"key":[],"bounds":[[{"hex":"0g"}]]}"#).is_err()
        );
    }
}
