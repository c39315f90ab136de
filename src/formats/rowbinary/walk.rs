//! Walking over one row, with the option to stop at any byte and to resume.

use super::layout::{Malformed, MalformedKind, RowLayout, Step};
use crate::formats::varint::{self, VarintError};

/// What framing found at the front of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A whole row, of this many bytes.
    Complete(usize),
    /// The beginning of a row.
    Incomplete {
        /// The minimum length of the row in bytes, more than there are. It saturates at
        /// `usize::MAX`.
        at_least: usize,
    },
    /// Bytes that no row begins with.
    Malformed(Malformed),
}

/// The state of a walk over one row. The default is the beginning of the row.
#[derive(Debug, Clone, Default)]
pub(super) struct Walk {
    /// The next step.
    step: usize,
    /// The number of bytes walked over.
    position: usize,
    /// The loops around the next step, outermost first. Bounded by the nesting of types.
    loops: Vec<Loop>,
}

/// A loop over the elements of an array.
#[derive(Debug, Clone, Copy)]
struct Loop {
    /// The first step of an element.
    start: usize,
    /// The number of elements left, including the current one.
    left: u64,
}

/// How a walk stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// At the end of the row, this many bytes from its beginning. The walk is reset.
    Complete(usize),
    /// At the end of the bytes. The walk can resume when there are at least this many.
    Incomplete { at_least: usize },
    /// At malformed bytes, read by a step. The walk cannot resume.
    Malformed { step: usize, kind: MalformedKind },
}

impl Walk {
    fn restart(&mut self) {
        self.step = 0;
        self.position = 0;
        self.loops.clear();
    }
}

impl RowLayout {
    /// Frames the row at the front of `bytes`; other bytes may follow it.
    ///
    /// If the row is complete, `ends` receives the end of each marked column, in bytes from the
    /// row's beginning. A shorter `ends` receives only the first ones.
    ///
    /// Takes time linear in the row's length. For rows that arrive in pieces, use a
    /// [`RowFramer`](super::RowFramer), which does not restart with each piece.
    #[must_use]
    pub fn frame(&self, bytes: &[u8], ends: &mut [usize]) -> Frame {
        match self.advance(&mut Walk::default(), bytes, ends) {
            Progress::Complete(length) => Frame::Complete(length),
            Progress::Incomplete { at_least } => Frame::Incomplete { at_least },
            Progress::Malformed { step, kind } => Frame::Malformed(self.malformed(step, kind)),
        }
    }

    /// Continues a walk over a row. `bytes` always start at the beginning of the row.
    ///
    /// `ends` receives the ends of the marked columns; pass the same slice throughout a row.
    pub(super) fn advance(&self, walk: &mut Walk, bytes: &[u8], ends: &mut [usize]) -> Progress {
        let mut index = walk.step;
        let mut position = walk.position;
        let stop = loop {
            let Some(&step) = self.steps.get(index) else {
                walk.restart();
                return Progress::Complete(position);
            };
            // The position after the step, and the next step.
            let passed = match step {
                Step::Fixed(width) => Ok((after(position, width), index + 1)),
                Step::String => string(bytes, position).map(|end| (end, index + 1)),
                Step::NullableFixed(width) => null_flag(bytes, position).map(|is_null| {
                    let value = position + 1;
                    (if is_null { value } else { after(value, width) }, index + 1)
                }),
                Step::NullableString => null_flag(bytes, position).and_then(|is_null| {
                    let value = position + 1;
                    Ok((if is_null { value } else { string(bytes, value)? }, index + 1))
                }),
                Step::FixedElements(width) => varint(bytes, position).map(|(elements, first)| {
                    (after(first, elements.saturating_mul(width)), index + 1)
                }),
                Step::Nullable { otherwise } => null_flag(bytes, position).map(|is_null| {
                    (position + 1, if is_null { otherwise as usize } else { index + 1 })
                }),
                Step::Choice { choice, end } => {
                    self.choose(bytes, position, choice, end).map(|chosen| (position + 1, chosen))
                }
                Step::Jump(to) => Ok((position, to as usize)),
                Step::Loop { end, minimum } => {
                    varint(bytes, position).and_then(|(elements, first)| {
                        if elements == 0 {
                            return Ok((first, end as usize));
                        }
                        // Waiting until all elements can be there reports early that a row is too
                        // long.
                        let at_least = after(first, elements.saturating_mul(u64::from(minimum)));
                        if at_least > bytes.len() {
                            return Err(Stop::NeedsBytes(at_least));
                        }
                        walk.loops.push(Loop { start: index + 1, left: elements });
                        Ok((first, index + 1))
                    })
                }
                Step::Again => {
                    let next = match walk.loops.last_mut() {
                        Some(innermost) if innermost.left > 1 => {
                            innermost.left -= 1;
                            innermost.start
                        }
                        _ => {
                            walk.loops.pop();
                            index + 1
                        }
                    };
                    Ok((position, next))
                }
                Step::Mark(column) => {
                    if let Some(end) = ends.get_mut(column as usize) {
                        *end = position;
                    }
                    Ok((position, index + 1))
                }
            };
            match passed {
                Ok((end, next)) if end <= bytes.len() => (position, index) = (end, next),
                Ok((end, _)) => break Stop::NeedsBytes(end),
                Err(reason) => break reason,
            }
        };
        walk.step = index;
        walk.position = position;
        match stop {
            Stop::NeedsBytes(at_least) => Progress::Incomplete { at_least },
            Stop::Malformed(kind) => Progress::Malformed { step: index, kind },
        }
    }

    /// The step that follows the discriminator of a `Variant`.
    fn choose(&self, bytes: &[u8], position: usize, choice: u32, end: u32) -> Result<usize, Stop> {
        const NULL: u8 = 255;
        let found = byte(bytes, position)?;
        let begins = self.choices.get(choice as usize).map_or(&[][..], AsRef::as_ref);
        match begins.get(usize::from(found)) {
            Some(begin) => Ok(*begin as usize),
            None if found == NULL => Ok(end as usize),
            None => {
                Err(Stop::Malformed(MalformedKind::Discriminator { found, types: begins.len() }))
            }
        }
    }
}

/// Why a walk stops before the end of the row.
enum Stop {
    /// At least this many bytes are needed.
    NeedsBytes(usize),
    Malformed(MalformedKind),
}

/// The position `width` bytes later. It saturates, beyond any slice.
fn after(position: usize, width: u64) -> usize {
    position.saturating_add(usize::try_from(width).unwrap_or(usize::MAX))
}

fn byte(bytes: &[u8], position: usize) -> Result<u8, Stop> {
    bytes.get(position).copied().ok_or(Stop::NeedsBytes(position.saturating_add(1)))
}

fn null_flag(bytes: &[u8], position: usize) -> Result<bool, Stop> {
    match byte(bytes, position)? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Stop::Malformed(MalformedKind::NullFlag(other))),
    }
}

/// The end of a string with its length in front. It may be beyond the bytes.
fn string(bytes: &[u8], position: usize) -> Result<usize, Stop> {
    let (length, first) = varint(bytes, position)?;
    Ok(after(first, length))
}

/// A varint and the position after it.
#[inline]
fn varint(bytes: &[u8], position: usize) -> Result<(u64, usize), Stop> {
    match varint::decode(bytes.get(position..).unwrap_or_default()) {
        Ok((value, length)) => Ok((value, position + length)),
        Err(VarintError::Truncated) => Err(Stop::NeedsBytes(bytes.len().saturating_add(1))),
        Err(VarintError::Overflow) => Err(Stop::Malformed(MalformedKind::VarUintTooLong)),
    }
}
