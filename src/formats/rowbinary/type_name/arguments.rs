//! What types' parameters have in common: parentheses, commas and lists.

use super::cursor::Cursor;
use super::error::Problem;

pub(super) fn comma(cursor: &mut Cursor<'_>) -> Result<(), Problem> {
    cursor.expect(b',', "`,`")
}

/// What `inner` parses, between parentheses; it is told where they open.
pub(super) fn parenthesized<'a, T>(
    cursor: &mut Cursor<'a>,
    inner: impl FnOnce(&mut Cursor<'a>, usize) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let opened = cursor.offset();
    cursor.expect(b'(', "`(`")?;
    let parsed = inner(cursor, opened)?;
    cursor.expect(b')', "`)`")?;
    Ok(parsed)
}

/// What `inner` parses if a parenthesis opens here.
pub(super) fn optional<'a, T>(
    cursor: &mut Cursor<'a>,
    inner: impl FnOnce(&mut Cursor<'a>) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    if cursor.peek() == Some(b'(') { inner(cursor).map(Some) } else { Ok(None) }
}

/// Items between parentheses, with commas between them.
pub(super) fn list<'a, T>(
    cursor: &mut Cursor<'a>,
    may_be_empty: bool,
    item: impl Fn(&mut Cursor<'a>) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    parenthesized(cursor, |cursor, _| {
        let mut items = Vec::new();
        if may_be_empty && cursor.peek() == Some(b')') {
            return Ok(items);
        }
        loop {
            items.push(item(cursor)?);
            if !cursor.take(b',') {
                return Ok(items);
            }
        }
    })
}
