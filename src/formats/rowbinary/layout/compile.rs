//! From the types of columns to the steps over a row.

use super::{LayoutError, RowLayout, Step};
use crate::formats::rowbinary::data_type::minimum_width_of_fields;
use crate::formats::rowbinary::{DataType, Field};

pub(super) fn compile(
    columns: &[(String, DataType)],
    marked: usize,
) -> Result<RowLayout, LayoutError> {
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
    /// A step that the walk may go to from elsewhere: what comes here must not be merged into the
    /// step before.
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

    /// Appends bytes of a fixed number, together with those before them where the walk always comes
    /// from there.
    fn fixed(&mut self, width: u64) {
        if width == 0 {
            return;
        }
        match self.steps.get_mut(self.target..).and_then(<[Step]>::last_mut) {
            Some(Step::Fixed(before)) => *before = before.saturating_add(width),
            _ => self.steps.push(Step::Fixed(width)),
        }
    }

    /// Appends the steps over a number of elements, each of which takes `width` bytes, if that is
    /// fixed, and at least `minimum`.
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
        if let Some(slot) = self.choices.get_mut(choice as usize) {
            *slot = begins.into();
        }
        Ok(())
    }

    /// Appends a step that can be known only when those after it are, and says where it is.
    fn push_unfinished(&mut self) -> usize {
        self.steps.push(Step::Jump(0));
        self.steps.len() - 1
    }

    /// Replaces an unfinished step, whose walk may go on after all that has been appended.
    fn finish(&mut self, index: usize, step: Step) {
        if let Some(unfinished) = self.steps.get_mut(index) {
            *unfinished = step;
        }
        self.target = self.steps.len();
    }

    /// The number of the step that will be appended next.
    fn here(&self) -> Result<u32, LayoutError> {
        u32::try_from(self.steps.len()).map_err(|_| LayoutError::TooLarge)
    }
}

/// Whether values are encoded as a `String` is.
fn is_string(data_type: &DataType) -> bool {
    match data_type {
        DataType::String | DataType::Json(_) => true,
        DataType::LowCardinality(inner)
        | DataType::SimpleAggregateFunction { value: inner, .. } => is_string(inner),
        _ => false,
    }
}
