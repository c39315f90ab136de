//! Compressed blocks as ClickHouse's own protocols have them: a checksum, the method, both sizes,
//! the data. Both sides check the checksum before they look at the data, so a bit that flips on the
//! way is an error and never a row
//! ([CompressedReadBuffer](https://github.com/ClickHouse/ClickHouse/blob/master/src/Compression/CompressedReadBufferBase.cpp)).
//!
//! Answers in Zstandard are a stream of HTTP, because the server compresses blocks of answers with
//! LZ4 only.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use zstd::stream::raw::{Decoder as ZstdDecoder, Operation};

use super::endpoint::WireCompression;
use super::error::Error;

/// The checksum, which covers all that follows it.
const CHECKSUM_BYTES: usize = 16;
/// One byte for the method, and four each for the compressed size with this header, and the size
/// without compression.
const HEADER_BYTES: usize = 9;

const NOT_COMPRESSED: u8 = 0x02;
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
    let mut framed = Vec::with_capacity(CHECKSUM_BYTES + block.len());
    framed.extend(checksum(&block));
    framed.extend(block);
    Ok(framed.into())
}

fn checksum(block: &[u8]) -> [u8; CHECKSUM_BYTES] {
    // The upper half comes first, each half with its lowest byte first.
    cityhash_rs::cityhash_102_128(block).rotate_left(64).to_le_bytes()
}

/// The parameter of a request whose body is in compressed blocks.
pub(super) const DECOMPRESS: (&str, &str) = ("decompress", "1");

/// The largest block of an answer, in bytes without compression; the server's have 1 MiB.
const LARGEST_BLOCK: usize = 64 << 20;
/// What a stream in Zstandard is decompressed to at once.
const ZSTD_PIECE: usize = 128 << 10;

/// How the body of an answer is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Not at all.
    Plain,
    /// In compressed blocks.
    Blocks,
    /// As a stream in Zstandard.
    Zstd,
}

/// A body that is not what its encoding says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged(String);

impl fmt::Display for Damaged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the answer cannot be decoded: {}", self.0)
    }
}

impl Damaged {
    /// An encoding that was not asked for.
    pub(super) fn unknown_encoding(name: &str) -> Self {
        Self(format!("its encoding is `{name}`, which was not asked for"))
    }
}

/// Decodes a body that arrives in pieces.
pub(super) enum Decoder {
    Plain(Option<Bytes>),
    Blocks(BytesMut),
    Zstd { stream: ZstdDecoder<'static>, input: Bytes, is_within_frame: bool },
}

impl Decoder {
    pub(super) fn new(encoding: Encoding) -> Result<Self, Damaged> {
        Ok(match encoding {
            Encoding::Plain => Self::Plain(None),
            Encoding::Blocks => Self::Blocks(BytesMut::new()),
            Encoding::Zstd => {
                let stream = ZstdDecoder::new().map_err(|error| Damaged(error.to_string()))?;
                Self::Zstd { stream, input: Bytes::new(), is_within_frame: false }
            }
        })
    }

    /// Takes the next piece. All of the one before was decoded.
    pub(super) fn push(&mut self, piece: Bytes) {
        match self {
            Self::Plain(next) => *next = Some(piece),
            Self::Blocks(input) => input.extend_from_slice(&piece),
            Self::Zstd { input, .. } => *input = piece,
        }
    }

    /// Decodes a part; `None` where that takes another piece.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Damaged> {
        match self {
            Self::Plain(next) => Ok(next.take()),
            Self::Blocks(input) => next_block(input),
            Self::Zstd { stream, input, is_within_frame } => {
                let mut output = vec![0; ZSTD_PIECE];
                while !input.is_empty() {
                    let status = stream
                        .run_on_buffers(input, &mut output)
                        .map_err(|error| Damaged(error.to_string()))?;
                    input.advance(status.bytes_read);
                    *is_within_frame = status.remaining != 0;
                    if status.bytes_written > 0 {
                        output.truncate(status.bytes_written);
                        return Ok(Some(output.into()));
                    }
                }
                Ok(None)
            }
        }
    }

    /// What was not decoded.
    pub(super) fn rest(&self) -> &[u8] {
        match self {
            Self::Plain(next) => next.as_deref().unwrap_or_default(),
            Self::Blocks(input) => input,
            Self::Zstd { input, .. } => input,
        }
    }

    /// Ends the body.
    pub(super) fn finish(&self) -> Result<(), Damaged> {
        let is_cut = match self {
            Self::Plain(_) => false,
            Self::Blocks(input) => !input.is_empty(),
            Self::Zstd { is_within_frame, .. } => *is_within_frame,
        };
        if is_cut { Err(Damaged("it ends within a block".to_owned())) } else { Ok(()) }
    }
}

/// The data of the block at the front of the input; `None` where it is incomplete.
fn next_block(input: &mut BytesMut) -> Result<Option<Bytes>, Damaged> {
    let Some((expected, rest)) = input.split_first_chunk::<CHECKSUM_BYTES>() else {
        return Ok(None);
    };
    let Some(([method, sizes @ ..], _)) = rest.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let (framed, plain) = sizes.split_at(4);
    let (framed, plain) = (size(framed), size(plain));
    let is_possible = (HEADER_BYTES..=2 * LARGEST_BLOCK).contains(&framed)
        && plain <= LARGEST_BLOCK
        && [NOT_COMPRESSED, LZ4, ZSTD].contains(method);
    if !is_possible {
        return Err(Damaged("no block begins where one is expected".to_owned()));
    }
    let Some(block) = rest.get(..framed) else {
        return Ok(None);
    };
    if checksum(block) != *expected {
        return Err(Damaged("the checksum of a block differs".to_owned()));
    }
    let data = block.get(HEADER_BYTES..).unwrap_or_default();
    let data = match *method {
        LZ4 => lz4_flex::block::decompress(data, plain).map_err(|error| error.to_string()),
        ZSTD => zstd::bulk::decompress(data, plain).map_err(|error| error.to_string()),
        _ => Ok(data.to_vec()),
    };
    let data = data.map_err(Damaged)?;
    if data.len() != plain {
        return Err(Damaged("a block has another size than it says".to_owned()));
    }
    input.advance(CHECKSUM_BYTES + framed);
    Ok(Some(data.into()))
}

fn size(bytes: &[u8]) -> usize {
    let number = bytes.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(encoding: Encoding, pieces: &[&[u8]]) -> Result<Vec<u8>, Damaged> {
        let (mut decoder, mut found) = (Decoder::new(encoding)?, Vec::new());
        for piece in pieces {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(part) = decoder.next()? {
                found.extend_from_slice(&part);
            }
        }
        decoder.finish().map(|()| found)
    }

    fn data() -> Vec<u8> {
        (0..3000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect()
    }

    fn bodies() -> Vec<(Encoding, Vec<u8>)> {
        let (first, second) = (data().split_off(4000), b"and another".to_vec());
        let block = |bytes: &[u8], compression| {
            compress(&Bytes::copy_from_slice(bytes), compression).unwrap().to_vec()
        };
        let blocks = |compression| {
            [
                block(&data()[..4000], compression),
                block(&first, compression),
                block(&second, compression),
            ]
            .concat()
        };
        let whole = [data(), second.clone()].concat();
        // A stream may consist of several.
        let zstd = [&data()[..], &second[..]].map(|part| zstd::encode_all(part, 1).unwrap());
        vec![
            (Encoding::Plain, whole),
            (Encoding::Blocks, blocks(WireCompression::Lz4)),
            (Encoding::Blocks, blocks(WireCompression::Zstd)),
            (Encoding::Zstd, zstd.concat()),
        ]
    }

    #[test]
    fn bodies_are_decoded_however_they_are_cut() {
        let expected = [data(), b"and another".to_vec()].concat();
        for (encoding, body) in bodies() {
            for cut in 0..=body.len() {
                let (left, right) = body.split_at(cut);
                assert!(
                    decode(encoding, &[left, right]) == Ok(expected.clone()),
                    "{encoding:?} {cut}"
                );
            }
            let bytes: Vec<_> = body.chunks(1).collect();
            assert!(decode(encoding, &bytes) == Ok(expected.clone()), "{encoding:?}");
        }
    }

    #[test]
    fn a_cut_body_and_a_flipped_bit_are_errors() {
        for (encoding, body) in bodies() {
            if encoding == Encoding::Plain {
                continue;
            }
            assert!(decode(encoding, &[&body[..body.len() - 1]]).is_err(), "{encoding:?}");
        }
        let block = compress(&Bytes::from(data()), WireCompression::Lz4).unwrap().to_vec();
        for position in 0..block.len() {
            for bit in 0..8 {
                let mut flipped = block.clone();
                flipped[position] ^= 1 << bit;
                assert!(decode(Encoding::Blocks, &[&flipped]).is_err(), "{position} {bit}");
            }
        }
    }

    #[test]
    fn a_block_that_claims_to_be_huge_is_refused_before_it_is_read() {
        let mut block = vec![0; CHECKSUM_BYTES];
        block.push(LZ4);
        block.extend(u32::MAX.to_le_bytes());
        block.extend(u32::MAX.to_le_bytes());
        assert!(decode(Encoding::Blocks, &[&block]).is_err());
        assert!(decode(Encoding::Blocks, &[b"Code: 60. DB::Exception: not compressed"]).is_err());
    }
}
