//! Compressed blocks as ClickHouse's own protocols have them: a checksum, the method, both sizes,
//! the data. The server checks the checksum before it looks at the data, so a bit that flips on the
//! way is an error and never a row
//! ([CompressedReadBuffer](https://github.com/ClickHouse/ClickHouse/blob/master/src/Compression/CompressedReadBufferBase.cpp)).

use bytes::Bytes;

use super::endpoint::WireCompression;
use super::error::Error;

/// The checksum, which covers all that follows it.
const CHECKSUM_BYTES: usize = 16;
/// One byte for the method, and four each for the compressed size with this header, and the size
/// without compression.
const HEADER_BYTES: usize = 9;

const LZ4: u8 = 0x82;
const ZSTD: u8 = 0x90;
const ZSTD_LEVEL: i32 = 1;

/// A block of these bytes, or the bytes themselves where nothing is compressed.
///
/// # Errors
/// [`Error::Compression`] where they are 4 GiB or more, or the compressor fails.
pub(super) fn compress(bytes: &Bytes, compression: WireCompression) -> Result<Bytes, Error> {
    let (method, data) = match compression {
        WireCompression::None => return Ok(bytes.clone()),
        WireCompression::Lz4 => (LZ4, lz4_flex::block::compress(bytes)),
        WireCompression::Zstd => {
            let data = zstd::bulk::compress(bytes, ZSTD_LEVEL);
            (ZSTD, data.map_err(|error| Error::Compression(error.to_string()))?)
        }
    };
    let size = |bytes: usize| {
        u32::try_from(bytes).map_err(|_| Error::Compression("a piece has 4 GiB or more".to_owned()))
    };
    let mut block = Vec::with_capacity(HEADER_BYTES + data.len());
    block.push(method);
    block.extend(size(HEADER_BYTES + data.len())?.to_le_bytes());
    block.extend(size(bytes.len())?.to_le_bytes());
    block.extend(data);
    let checksum = cityhash_rs::cityhash_102_128(&block);
    let mut framed = Vec::with_capacity(CHECKSUM_BYTES + block.len());
    // The upper half comes first, each half with its lowest byte first.
    framed.extend(checksum.rotate_left(64).to_le_bytes());
    framed.extend(block);
    Ok(framed.into())
}
