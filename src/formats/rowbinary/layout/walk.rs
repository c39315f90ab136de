//! Walking over one row, with stops.

use super::{MalformedKind, RowLayout, Step};

/// How far the walk over one row has come. The default is its beginning.
#[derive(Debug, Clone, Default)]
pub(in crate::formats::rowbinary) struct Walk {
    /// The step to be taken next.
    step: usize,
    /// The bytes walked over.
    position: usize,
    /// The loops that the next step is in, from the outside in: never more than types are nested.
    loops: Vec<Loop>,
}

/// A loop over the elements of an array.
#[derive(Debug, Clone, Copy)]
struct Loop {
    /// The first step of an element.
    start: usize,
    /// The elements that are left, the current one included.
    left: u64,
}

/// Where a walk has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::formats::rowbinary) enum Progress {
    /// The row's end, which is this many bytes from its beginning. The walk is at the beginning
    /// again.
    Complete(usize),
    /// The end of the bytes. The walk can go on when there are at least that many.
    Incomplete { at_least: usize },
    /// Bytes that cannot be, met at a step. The walk is of no use any more.
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
    /// Goes on with a walk over a row. `bytes` begin where the row begins, also if the walk has
    /// come further.
    ///
    /// `ends` receives the ends of the marked columns as they are passed; it must be the same
    /// throughout a row.
    pub(in crate::formats::rowbinary) fn advance(
        &self,
        walk: &mut Walk,
        bytes: &[u8],
        ends: &mut [usize],
    ) -> Progress {
        let mut index = walk.step;
        let mut position = walk.position;
        let stop = loop {
            let Some(&step) = self.steps.get(index) else {
                walk.restart();
                return Progress::Complete(position);
            };
            // Where the step ends, and which one comes next.
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
                Step::FixedElements(width) => varuint(bytes, position).map(|(elements, first)| {
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
                    varuint(bytes, position).and_then(|(elements, first)| {
                        if elements == 0 {
                            return Ok((first, end as usize));
                        }
                        // Not entering before all elements can be there tells early of a row that
                        // is too long.
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

/// Why a walk cannot go on.
enum Stop {
    /// There must be at least that many bytes.
    NeedsBytes(usize),
    Malformed(MalformedKind),
}

/// The position that many bytes later. It saturates, which is beyond all bytes that can be there.
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

/// The end of a string that begins with its length. It may lie beyond the bytes.
fn string(bytes: &[u8], position: usize) -> Result<usize, Stop> {
    let (length, first) = varuint(bytes, position)?;
    Ok(after(first, length))
}

/// A varuint and the position after it.
fn varuint(bytes: &[u8], position: usize) -> Result<(u64, usize), Stop> {
    let first = byte(bytes, position)?;
    if first < 0x80 {
        return Ok((u64::from(first), position + 1));
    }
    long_varuint(bytes, position)
}

/// A varuint of more than one byte: seven bits in each, the lowest first; the top bit says that
/// more follow.
#[cold]
fn long_varuint(bytes: &[u8], position: usize) -> Result<(u64, usize), Stop> {
    // Nine bytes hold 63 bits, and a tenth can only hold the last.
    const LONGEST: usize = 10;
    let mut value = 0;
    for index in 0..LONGEST {
        let byte = byte(bytes, position + index)?;
        if index == LONGEST - 1 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte < 0x80 {
            return Ok((value, position + index + 1));
        }
    }
    Err(Stop::Malformed(MalformedKind::VarUintTooLong))
}
