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

/// A string.
pub(super) fn text(bytes: &mut &[u8]) -> Result<String, String> {
    let length = usize::try_from(varuint(bytes)?).map_err(|_| cut())?;
    let (text, rest) = bytes.split_at_checked(length).ok_or_else(cut)?;
    *bytes = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}
