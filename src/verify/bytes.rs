//! Taking values off the front of an answer in RowBinary. The error says what is wrong with it.

/// So many bytes.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], String> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or_else(cut)?;
    *bytes = rest;
    Ok(*taken)
}

/// LEB128, as RowBinary writes lengths.
pub(super) fn varuint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = take::<1>(bytes)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(cut())
}

fn cut() -> String {
    "it ends in the middle of a row".to_owned()
}

/// The bytes of a string.
pub(super) fn bytes<'a>(answer: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = usize::try_from(varuint(answer)?).map_err(|_| cut())?;
    let (taken, rest) = answer.split_at_checked(length).ok_or_else(cut)?;
    *answer = rest;
    Ok(taken)
}

/// A string.
pub(super) fn text(answer: &mut &[u8]) -> Result<String, String> {
    bytes(answer).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}
