//! The steps of a walk over a row.

/// One step of a walk. Each step that reads bytes reads one value, or part of one, and is repeated
/// as a whole if the bytes end before it is done; so a step takes constant time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// That many bytes.
    Fixed(u64),
    /// A length, and as many bytes.
    String,
    /// A flag; unless it says NULL, that many bytes.
    NullableFixed(u64),
    /// A flag; unless it says NULL, a length and as many bytes.
    NullableString,
    /// A number of elements of that many bytes each. With 0 bytes, any number of elements takes
    /// none.
    FixedElements(u64),
    /// A flag; if it says NULL, the walk goes on at the given step, else at the next one.
    Nullable { otherwise: u32 },
    /// A discriminator: the walk goes on where the layout's choice of this number says, or for NULL
    /// at `end`.
    Choice { choice: u32, end: u32 },
    /// The walk goes on at the given step.
    Jump(u32),
    /// A number of elements: the steps from the next one up to the loop's `Again` are walked as
    /// often. Then, or if there are none, the walk goes on at `end`. An element takes at least
    /// `minimum` bytes, which is not 0.
    Loop { end: u32, minimum: u32 },
    /// The end of an element of the innermost loop.
    Again,
    /// The end of the marked column of this number.
    Mark(u32),
}
