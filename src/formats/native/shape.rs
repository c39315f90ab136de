//! How the values of types lie in a block.
//!
//! A type is compiled into nodes that refer to each other by index, so that a walk over a block can
//! stop at any byte and go on later.

use super::column::UnsupportedReason;
use super::{DICTIONARY_WITH_KEYS, JSON_AS_STRING, PLAIN_DISCRIMINATORS};
use crate::formats::rowbinary::{DataType, Field};

/// A node of a [`Shape`]; children are indexes of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Values of this many bytes each.
    Fixed(usize),
    /// Values without bytes in a row, and with one byte each in a block.
    Empty,
    /// Strings with their lengths in front.
    String,
    /// A flag for each value, then the values.
    Nullable(usize),
    /// Distinct values, then for each value the index of one of them; index 0 is NULL if the type is
    /// nullable.
    LowCardinality { keys: usize, nullable: bool },
    /// The number of elements up to the end of each array, then all elements.
    Array(usize),
    /// A column for each element.
    Tuple(Box<[usize]>),
    /// A discriminator for each value, then the values of each type.
    Variant(Box<[usize]>),
}

/// How the values of one type lie in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    nodes: Vec<Node>,
    root: usize,
    /// What precedes the values: the versions of the parts' serializations.
    prefix: Vec<u8>,
}

impl Shape {
    /// The shape of a type.
    ///
    /// # Errors
    /// If values of the type have another form in a block than in a row.
    pub(super) fn new(data_type: &DataType) -> Result<Self, UnsupportedReason> {
        let mut shape = Self { nodes: Vec::new(), root: 0, prefix: Vec::new() };
        shape.root = shape.add(data_type)?;
        Ok(shape)
    }

    /// The node of whole values.
    pub(super) fn root(&self) -> usize {
        self.root
    }

    pub(super) fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)
    }

    /// What precedes the values in every block with rows.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    fn push(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn version(&mut self, version: u64) {
        self.prefix.extend(version.to_le_bytes());
    }

    fn add(&mut self, data_type: &DataType) -> Result<usize, UnsupportedReason> {
        let another_form = || UnsupportedReason::AnotherForm(data_type.to_string());
        let node = match data_type {
            DataType::String => Node::String,
            DataType::Json(_) => {
                self.version(JSON_AS_STRING);
                Node::String
            }
            DataType::Nothing => Node::Empty,
            DataType::Nullable(inner) => Node::Nullable(self.add(inner)?),
            DataType::LowCardinality(inner) => {
                self.version(DICTIONARY_WITH_KEYS);
                let value = inner.strip_nullable();
                let keys = match value {
                    DataType::String => Node::String,
                    DataType::Tuple(_) | DataType::Geo(_) => return Err(another_form()),
                    other => Node::Fixed(width(other).ok_or_else(another_form)?),
                };
                Node::LowCardinality { keys: self.push(keys), nullable: inner.is_nullable() }
            }
            DataType::SimpleAggregateFunction { value, .. } => return self.add(value),
            DataType::Array(element) => Node::Array(self.add(element)?),
            DataType::Map(key, value) => {
                let entry = Node::Tuple([self.add(key)?, self.add(value)?].into());
                Node::Array(self.push(entry))
            }
            DataType::Nested(fields) => Node::Array(self.add_tuple(fields)?),
            DataType::Tuple(fields) => return self.add_tuple(fields),
            DataType::Variant(types) => {
                self.version(PLAIN_DISCRIMINATORS);
                Node::Variant(
                    types.iter().map(|data_type| self.add(data_type)).collect::<Result<_, _>>()?,
                )
            }
            DataType::Geo(geo) => return self.add(&geo.structure()),
            // `QBit` has no fixed width either.
            other => Node::Fixed(width(other).ok_or_else(another_form)?),
        };
        Ok(self.push(node))
    }

    fn add_tuple(&mut self, fields: &[Field]) -> Result<usize, UnsupportedReason> {
        let node = if fields.is_empty() {
            Node::Empty
        } else {
            let fields = fields.iter().map(|field| self.add(&field.data_type));
            Node::Tuple(fields.collect::<Result<_, _>>()?)
        };
        Ok(self.push(node))
    }
}

fn width(data_type: &DataType) -> Option<usize> {
    data_type.fixed_width().and_then(|width| usize::try_from(width).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(name: &str) -> Result<Shape, UnsupportedReason> {
        Shape::new(&DataType::parse(name).unwrap())
    }

    #[test]
    fn types_that_differ_in_names_only_have_one_shape() {
        for (one, other) in [
            ("DateTime('Asia/Tokyo')", "DateTime"),
            ("Nested(x UInt8, y String)", "Array(Tuple(a UInt8, b String))"),
            ("Map(String, UInt8)", "Array(Tuple(k String, v UInt8))"),
            ("Point", "Tuple(Float64, Float64)"),
            ("SimpleAggregateFunction(max, UInt64)", "Int64"),
        ] {
            assert_eq!(shape(one), shape(other), "{one}");
        }
        for (one, other) in [
            ("String", "JSON"),
            ("String", "LowCardinality(String)"),
            ("LowCardinality(String)", "LowCardinality(Nullable(String))"),
            ("UInt8", "Tuple()"),
            ("Array(UInt8)", "UInt8"),
        ] {
            assert_ne!(shape(one), shape(other), "{one}");
        }
    }

    #[test]
    fn values_of_another_form_have_no_shape() {
        for name in ["QBit(Float32, 8)", "Array(QBit(Float32, 8))"] {
            let reason = UnsupportedReason::AnotherForm("QBit(Float32, 8)".into());
            assert_eq!(shape(name), Err(reason), "{name}");
        }
    }
}
