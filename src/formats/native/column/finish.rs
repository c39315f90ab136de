//! Handing a column over. The order of its parts is that of the server's serializations: first what
//! each part says of its form, then the bytes of each part.

use super::Column;
use crate::formats::native::output::Output;

/// How many bytes stand for the values without bytes at a time.
const EMPTY_VALUES: [u8; 256] = [b'0'; 256];
/// `JSON` values are strings.
const JSON_AS_STRING: u64 = 1;
/// Each `Variant` has its own discriminator.
const PLAIN_DISCRIMINATORS: u64 = 0;
/// A `LowCardinality` has its different values with it.
const DICTIONARY_WITH_KEYS: u64 = 1;

impl Column {
    /// What stands before the bytes of all parts: in which of several forms they are.
    pub(in crate::formats::native) fn write_prefix(&self, output: &mut Output) {
        match self {
            Self::Fixed { .. } | Self::String(_) | Self::Empty { .. } => {}
            Self::Json(_) => output.push(&JSON_AS_STRING.to_le_bytes()),
            Self::LowCardinality(_) => output.push(&DICTIONARY_WITH_KEYS.to_le_bytes()),
            Self::Nullable { values: inner, .. } | Self::Array { element: inner, .. } => {
                inner.write_prefix(output);
            }
            Self::Tuple(fields) => fields.iter().for_each(|field| field.write_prefix(output)),
            Self::Variant { types, .. } => {
                output.push(&PLAIN_DISCRIMINATORS.to_le_bytes());
                types.iter().for_each(|values| values.write_prefix(output));
            }
        }
    }

    /// Hands the bytes of all parts over. The column has no values then.
    pub(in crate::formats::native) fn finish(&mut self, output: &mut Output) {
        match self {
            Self::Fixed { values, .. } | Self::String(values) | Self::Json(values) => {
                values.finish(output);
            }
            Self::Empty { values } => {
                while *values > 0 {
                    let some = (*values).min(EMPTY_VALUES.len() as u64);
                    output.push(
                        usize::try_from(some)
                            .ok()
                            .and_then(|some| EMPTY_VALUES.get(..some))
                            .unwrap_or_default(),
                    );
                    *values -= some;
                }
            }
            Self::Nullable { flags, values } => {
                flags.finish(output);
                values.finish(output);
            }
            Self::LowCardinality(dictionary) => dictionary.finish(output),
            Self::Array { ends, elements, element, .. } => {
                ends.finish(output);
                *elements = 0;
                element.finish(output);
            }
            Self::Tuple(fields) => fields.iter_mut().for_each(|field| field.finish(output)),
            Self::Variant { discriminators, types } => {
                discriminators.finish(output);
                types.iter_mut().for_each(|values| values.finish(output));
            }
        }
    }
}
