//! Cutting an input into batches at the ends of rows.

use bytes::{Bytes, BytesMut};

use super::format::{Framing, Scanner, line_of_row};

/// The most bytes of one row, and of an input that is not divided. Fewer in unit tests, which fill them.
pub(super) const WHOLE_BYTES: usize = if cfg!(test) { 4 << 20 } else { 256 << 20 };

/// When a batch is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Its rows.
    pub rows: u64,
    /// Its bytes; the row that exceeds them is its last.
    pub bytes: usize,
}

/// Rows that are inserted at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Its number, from 1.
    pub number: u64,
    /// The rows of header, with their line breaks.
    pub header: Bytes,
    /// The rows.
    pub data: Bytes,
    /// Their number; `None` if the format is not divided.
    pub rows: Option<u64>,
    /// The line of the input in which they begin, from 1.
    pub first_line: u64,
    /// How the rows are found.
    pub framing: Framing,
}

impl Batch {
    /// The line of the input in which the row of this number, from 1, begins.
    pub(crate) fn line_of_row(&self, number: u64) -> Option<u64> {
        line_of_row(self.framing, &self.data, number).map(|line| self.first_line + line - 1)
    }
}

/// An input that cannot be cut.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum CutError {
    /// A row without an end, or rows without a line break between them.
    #[error(
        "the input has no row that ends at the end of a line within {} MiB from line {line} on", WHOLE_BYTES >> 20
    )]
    Endless {
        /// Counted from 1.
        line: u64,
    },
    /// One array instead of one value a line.
    #[error("the input is one JSON array, which cannot be divided at the ends of lines")]
    Array,
    /// A format that is not divided, with too many bytes.
    #[error("the input is longer than {} MiB, and this format is inserted whole", WHOLE_BYTES >> 20)]
    TooLong,
}

/// Gathers bytes until a batch is full.
#[derive(Debug)]
pub(crate) struct Cutter {
    framing: Framing,
    limits: Limits,
    scanner: Scanner,
    /// Whether something but white space has come.
    has_begun: bool,
    /// Rows of header that have not come yet.
    header_left: u8,
    header: Vec<u8>,
    /// Bytes since the last batch.
    pending: BytesMut,
    /// Those of them that were scanned.
    scanned: usize,
    /// The row ends among those.
    rows: u64,
    /// The bytes since the last row end, at their begin.
    row_begin: usize,
    /// The line after the scanned bytes, and the first of the pending ones.
    line: u64,
    first_line: u64,
    number: u64,
}

impl Cutter {
    pub(crate) fn new(framing: Framing, limits: Limits) -> Self {
        Self {
            framing,
            limits,
            scanner: Scanner::new(framing),
            header_left: framing.header(),
            header: Vec::new(),
            pending: BytesMut::new(),
            scanned: 0,
            rows: 0,
            row_begin: 0,
            line: 1,
            first_line: 1,
            number: 0,
            has_begun: false,
        }
    }

    /// Takes more of the input, and gives the batches that are full.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<Vec<Batch>, CutError> {
        self.pending.extend_from_slice(piece);
        let mut full = Vec::new();
        if self.framing == Framing::Whole {
            return if self.pending.len() > WHOLE_BYTES {
                Err(CutError::TooLong)
            } else {
                Ok(full)
            };
        }
        while let Some(&byte) = self.pending.get(self.scanned) {
            if !self.has_begun && !byte.is_ascii_whitespace() {
                self.has_begun = true;
                if byte == b'[' && self.framing == (Framing::Json { arrays: false }) {
                    return Err(CutError::Array);
                }
            }
            let ends = self.scanner.step(byte);
            self.scanned += 1;
            self.line += u64::from(byte == b'\n');
            if ends.row {
                self.rows += 1;
                self.row_begin = self.scanned;
            }
            if ends.cut && self.header_left > 0 {
                self.header_left -= 1;
                self.header.extend_from_slice(&self.pending.split_to(self.scanned));
                self.begin_batch();
            } else if ends.cut
                && (self.rows >= self.limits.rows || self.scanned >= self.limits.bytes)
                && self.rows > 0
            {
                full.push(self.batch(self.scanned));
            }
        }
        if self.pending.len() > self.limits.bytes.saturating_add(WHOLE_BYTES) {
            return Err(CutError::Endless { line: self.first_line });
        }
        Ok(full)
    }

    /// The rest of the input, if there is any.
    pub(crate) fn finish(mut self) -> Option<Batch> {
        let unfinished = self.pending.get(self.row_begin..).unwrap_or_default();
        let is_row = match self.framing {
            Framing::Json { .. } => unfinished.iter().any(|byte| !byte.is_ascii_whitespace()),
            _ => !unfinished.is_empty(),
        };
        self.rows += u64::from(is_row);
        let is_header = self.header_left > 0;
        (self.rows > 0 && !is_header).then(|| self.batch(self.pending.len()))
    }

    fn batch(&mut self, length: usize) -> Batch {
        let data = self.pending.split_to(length).freeze();
        self.number += 1;
        let batch = Batch {
            number: self.number,
            header: self.header.clone().into(),
            data,
            rows: (self.framing != Framing::Whole).then_some(self.rows),
            first_line: self.first_line,
            framing: self.framing,
        };
        self.begin_batch();
        batch
    }

    fn begin_batch(&mut self) {
        (self.scanned, self.rows, self.row_begin, self.first_line) = (0, 0, 0, self.line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The batches of a text that arrives in pieces of this size: header, data, rows, first line.
    fn batches(
        format: &str,
        rows: u64,
        size: usize,
        text: &str,
    ) -> Vec<(String, String, u64, u64)> {
        let limits = Limits { rows, bytes: 1 << 20 };
        let mut cutter = Cutter::new(Framing::of(format), limits);
        let mut found = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            found.extend(cutter.push(piece).unwrap());
        }
        found.extend(cutter.finish());
        let numbers: Vec<_> = found.iter().map(|batch| batch.number).collect();
        assert_eq!(numbers, (1..=found.len() as u64).collect::<Vec<_>>());
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        found
            .iter()
            .map(|batch| {
                (text(&batch.header), text(&batch.data), batch.rows.unwrap_or(0), batch.first_line)
            })
            .collect()
    }

    #[test]
    fn batches_are_the_same_however_the_input_arrives() {
        let csv = "a,b\n1,\"x\ny\"\n2,z\n3,w\n4,v";
        let expected = [("1,\"x\ny\"\n2,z\n", 2, 2), ("3,w\n4,v", 2, 5)]
            .map(|(data, rows, line)| ("a,b\n".to_owned(), data.to_owned(), rows, line));
        let json = "{\"a\":1}\n{\"a\":2} {\"a\":3}\n\n{\"a\":4}\n \n";
        let of_json = [("{\"a\":1}\n{\"a\":2} {\"a\":3}\n", 3, 1), ("\n{\"a\":4}\n \n", 1, 3)]
            .map(|(data, rows, line)| (String::new(), data.to_owned(), rows, line));
        for size in 1..30 {
            assert_eq!(batches("CSVWithNames", 2, size, csv), expected, "{size}");
            assert_eq!(batches("JSONEachRow", 2, size, json), of_json, "{size}");
        }
    }

    #[test]
    fn bytes_fill_a_batch_and_an_input_without_rows_has_none() {
        let limits = Limits { rows: 100, bytes: 6 };
        let mut cutter = Cutter::new(Framing::of("TSV"), limits);
        let full = cutter.push(b"ab\ncd\nef\n").unwrap();
        assert_eq!(full.iter().map(|batch| batch.data.len()).collect::<Vec<_>>(), [6]);
        assert_eq!(cutter.finish().map(|batch| (batch.rows, batch.first_line)), Some((Some(1), 3)));
        for (format, text) in
            [("JSONEachRow", " \n\n"), ("CSVWithNames", "a,b\n"), ("CSV", ""), ("Parquet", "")]
        {
            assert_eq!(batches(format, 2, 1, text), Vec::new(), "{format}");
        }
    }

    #[test]
    fn what_cannot_be_divided_is_refused() {
        let limits = Limits { rows: 100, bytes: 1 };
        let refused = |format: &str, piece: &[u8]| {
            let mut cutter = Cutter::new(Framing::of(format), limits);
            (0..6).find_map(|_| cutter.push(piece).err())
        };
        let piece = vec![b'x'; 1 << 20];
        assert_eq!(refused("JSONEachRow", b"\n ["), Some(CutError::Array));
        assert_eq!(refused("JSONCompactEachRow", b"[1]\n"), None);
        assert_eq!(refused("Parquet", &piece), Some(CutError::TooLong));
        assert_eq!(refused("CSV", &piece), Some(CutError::Endless { line: 1 }));
    }
}
