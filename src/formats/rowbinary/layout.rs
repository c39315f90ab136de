//! The steps over one row, compiled from the types of its columns.
//!
//! A layout is a flat list of steps. Fixed widths are summed up when it is compiled. `walk` executes
//! the steps; since the list is flat, it can stop at any byte and resume there.

#[cfg(test)]
mod tests;

use super::data_type::minimum_width_of_fields;
use super::{DataType, Field};

/// How to find the end of a row of given columns.
///
/// Leading columns can be *marked*: framing then also finds where each of them ends.
#[derive(Debug, Clone)]
pub struct RowLayout {
    pub(super) steps: Box<[Step]>,
    /// For every [`Step::Choice`], the step at which each type of the `Variant` begins.
    pub(super) choices: Box<[Box<[u32]>]>,
    /// The name of each column, and the step after its last one.
    columns: Box<[(String, u32)]>,
    marked: usize,
}

impl RowLayout {
    /// A layout of rows with the given columns (name and type), the first `marked` of them marked.
    ///
    /// # Errors
    ///
    /// If `marked` exceeds the number of columns, or if rows take no bytes (no columns, or only
    /// types such as `Tuple()`): such rows cannot be told apart.
    pub fn new(columns: &[(String, DataType)], marked: usize) -> Result<Self, LayoutError> {
        if marked > columns.len() {
            return Err(LayoutError::TooManyMarked { marked, columns: columns.len() });
        }
        if columns.iter().all(|(_, data_type)| data_type.minimum_width() == 0) {
            return Err(LayoutError::NoBytes);
        }
        compile(columns, marked)
    }

    /// The number of marked columns.
    #[must_use]
    pub fn marked(&self) -> usize {
        self.marked
    }

    /// The error for malformed bytes at a step, with the name of the step's column.
    pub(super) fn malformed(&self, step: usize, kind: MalformedKind) -> Malformed {
        let column = self.columns.partition_point(|(_, end)| *end as usize <= step);
        let column = self.columns.get(column).map_or("", |(name, _)| name);
        Malformed { column: column.to_owned(), kind }
    }
}

/// One step of a walk. A step reads at most one value, in constant time, and is repeated as a whole
/// if the bytes end inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// This many bytes.
    Fixed(u64),
    /// A length and that many bytes.
    String,
    /// A NULL flag and, unless NULL, this many bytes.
    NullableFixed(u64),
    /// A NULL flag and, unless NULL, a length and that many bytes.
    NullableString,
    /// A count and that many elements of this many bytes each, possibly 0.
    FixedElements(u64),
    /// A NULL flag. Continues at `otherwise` if NULL, else at the next step.
    Nullable { otherwise: u32 },
    /// A discriminator. Continues at the step in the layout's `choices[choice]` that belongs to it,
    /// or at `end` if NULL.
    Choice { choice: u32, end: u32 },
    /// Continues at this step.
    Jump(u32),
    /// A count. Repeats the steps up to the loop's `Again` that often, then continues at `end`. An
    /// element takes at least `minimum` bytes, which is not 0.
    Loop { end: u32, minimum: u32 },
    /// The end of an element of the innermost loop.
    Again,
    /// The end of the marked column with this index.
    Mark(u32),
}

fn compile(columns: &[(String, DataType)], marked: usize) -> Result<RowLayout, LayoutError> {
    let mut compiler = Compiler::default();
    let mut ends = Vec::with_capacity(columns.len());
    for (index, (name, data_type)) in columns.iter().enumerate() {
        compiler.value(data_type)?;
        if index < marked {
            let mark = u32::try_from(index).map_err(|_| LayoutError::TooLarge)?;
            compiler.steps.push(Step::Mark(mark));
        }
        ends.push((name.clone(), compiler.here()?));
    }
    Ok(RowLayout {
        steps: compiler.steps.into(),
        choices: compiler.choices.into(),
        columns: ends.into(),
        marked,
    })
}

#[derive(Default)]
struct Compiler {
    steps: Vec<Step>,
    choices: Vec<Box<[u32]>>,
    /// The last step that a jump leads to. It must not be merged into the step before it.
    target: usize,
}

impl Compiler {
    /// Appends the steps over one value of the type.
    fn value(&mut self, data_type: &DataType) -> Result<(), LayoutError> {
        if let Some(width) = data_type.fixed_width() {
            self.fixed(width);
            return Ok(());
        }
        match data_type {
            DataType::Nullable(inner) => self.nullable(inner),
            DataType::LowCardinality(inner)
            | DataType::SimpleAggregateFunction { value: inner, .. } => self.value(inner),
            DataType::Array(element) | DataType::QBit { element, .. } => {
                self.elements(element.fixed_width(), element.minimum_width(), |compiler| {
                    compiler.value(element)
                })
            }
            DataType::Map(key, value) => self.elements(
                key.fixed_width()
                    .zip(value.fixed_width())
                    .map(|(key, value)| key.saturating_add(value)),
                key.minimum_width().saturating_add(value.minimum_width()),
                |compiler| {
                    compiler.value(key)?;
                    compiler.value(value)
                },
            ),
            DataType::Tuple(fields) => self.fields(fields),
            DataType::Nested(fields) => self.nested(fields),
            DataType::Variant(types) => self.variant(types),
            DataType::Geo(geo) => self.value(&geo.structure()),
            // `String` and `JSON`: all others are fixed in width.
            _ => {
                self.steps.push(Step::String);
                Ok(())
            }
        }
    }

    fn fields(&mut self, fields: &[Field]) -> Result<(), LayoutError> {
        fields.iter().try_for_each(|field| self.value(&field.data_type))
    }

    /// Appends the steps over a `Nested`, which is an array of tuples.
    fn nested(&mut self, fields: &[Field]) -> Result<(), LayoutError> {
        let widths = fields.iter().map(|field| field.data_type.fixed_width());
        let width =
            widths.reduce(|sum, width| Some(sum?.saturating_add(width?))).unwrap_or(Some(0));
        self.elements(width, minimum_width_of_fields(fields), |compiler| compiler.fields(fields))
    }

    /// Appends `width` bytes, merged into the step before unless a jump leads here.
    fn fixed(&mut self, width: u64) {
        if width == 0 {
            return;
        }
        match self.steps.get_mut(self.target..).and_then(<[Step]>::last_mut) {
            Some(Step::Fixed(before)) => *before = before.saturating_add(width),
            _ => self.steps.push(Step::Fixed(width)),
        }
    }

    /// Appends the steps over an array whose elements take `width` bytes, if fixed, and at least
    /// `minimum`.
    fn elements(
        &mut self,
        width: Option<u64>,
        minimum: u64,
        element: impl FnOnce(&mut Self) -> Result<(), LayoutError>,
    ) -> Result<(), LayoutError> {
        if let Some(width) = width {
            self.steps.push(Step::FixedElements(width));
            return Ok(());
        }
        let minimum = u32::try_from(minimum).unwrap_or(u32::MAX);
        let start = self.push_unfinished();
        element(self)?;
        self.steps.push(Step::Again);
        let end = self.here()?;
        self.finish(start, Step::Loop { end, minimum });
        Ok(())
    }

    fn nullable(&mut self, inner: &DataType) -> Result<(), LayoutError> {
        if let Some(width) = inner.fixed_width() {
            self.steps.push(Step::NullableFixed(width));
        } else if is_string(inner) {
            self.steps.push(Step::NullableString);
        } else {
            let start = self.push_unfinished();
            self.value(inner)?;
            let otherwise = self.here()?;
            self.finish(start, Step::Nullable { otherwise });
        }
        Ok(())
    }

    fn variant(&mut self, types: &[DataType]) -> Result<(), LayoutError> {
        let choice = u32::try_from(self.choices.len()).map_err(|_| LayoutError::TooLarge)?;
        self.choices.push(Box::default());
        let start = self.push_unfinished();
        let mut begins = Vec::with_capacity(types.len());
        let mut jumps = Vec::with_capacity(types.len());
        for data_type in types {
            begins.push(self.here()?);
            self.value(data_type)?;
            jumps.push(self.push_unfinished());
        }
        let end = self.here()?;
        for jump in jumps {
            self.finish(jump, Step::Jump(end));
        }
        self.finish(start, Step::Choice { choice, end });
        if let Some(part) = self.choices.get_mut(choice as usize) {
            *part = begins.into();
        }
        Ok(())
    }

    /// Appends a placeholder for a step that depends on those after it. Returns its index.
    fn push_unfinished(&mut self) -> usize {
        self.steps.push(Step::Jump(0));
        self.steps.len() - 1
    }

    /// Replaces a placeholder by a step that may jump to the end of the steps so far.
    fn finish(&mut self, index: usize, step: Step) {
        if let Some(unfinished) = self.steps.get_mut(index) {
            *unfinished = step;
        }
        self.target = self.steps.len();
    }

    /// The index of the next step.
    fn here(&self) -> Result<u32, LayoutError> {
        u32::try_from(self.steps.len()).map_err(|_| LayoutError::TooLarge)
    }
}

/// Whether values are encoded like a `String`.
fn is_string(data_type: &DataType) -> bool {
    match data_type {
        DataType::String | DataType::Json(_) => true,
        DataType::LowCardinality(inner)
        | DataType::SimpleAggregateFunction { value: inner, .. } => is_string(inner),
        _ => false,
    }
}

/// Bytes that are not a value of their column's type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}`: {kind}")]
pub struct Malformed {
    /// The name of the column.
    pub column: String,
    /// What is wrong.
    pub kind: MalformedKind,
}

/// What is wrong with bytes that are not a value of their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKind {
    /// The NULL flag of a `Nullable` is neither 0 nor 1.
    #[error("the flag of a Nullable is {0}, neither 0 nor 1")]
    NullFlag(u8),
    /// The discriminator of a `Variant` has no type.
    #[error("the discriminator of a Variant is {found}, but it has {types} types")]
    Discriminator {
        /// The discriminator.
        found: u8,
        /// The number of types.
        types: usize,
    },
    /// A length or count that does not fit into 64 bits.
    #[error("a length does not fit into 64 bits")]
    VarUintTooLong,
}

/// Columns that have no layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// More columns are marked than there are.
    #[error("{marked} columns are to be marked, but there are {columns}")]
    TooManyMarked {
        /// The number of columns to mark.
        marked: usize,
        /// The number of columns.
        columns: usize,
    },
    /// Rows of these columns take no bytes.
    #[error("rows of these columns take no bytes, so they cannot be told apart")]
    NoBytes,
    /// A layout would have more than 2³² steps.
    #[error("the columns' types are too large")]
    TooLarge,
}
