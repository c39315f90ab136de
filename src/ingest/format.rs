//! Where rows end in the input formats of ClickHouse that are text.

/// How an input is divided into rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// JSON values, one after another.
    Json {
        /// Whether a row is an array, not an object.
        arrays: bool,
    },
    /// [CSV](https://clickhouse.com/docs/interfaces/formats/CSV) with this many rows of header.
    Csv {
        /// Rows with names and types.
        header: u8,
    },
    /// [TabSeparated](https://clickhouse.com/docs/interfaces/formats/TabSeparated) with this many rows of header.
    TabSeparated {
        /// Rows with names and types.
        header: u8,
    },
    /// Any other format: it is not divided.
    Whole,
}

impl Framing {
    /// The framing of a format by its name.
    pub(crate) fn of(format: &str) -> Self {
        match format {
            "JSONEachRow" | "JSONLines" | "JSONL" | "NDJSON" | "JSONStringsEachRow" => {
                Self::Json { arrays: false }
            }
            "JSONCompactEachRow" | "JSONCompactStringsEachRow" => Self::Json { arrays: true },
            "CSV" => Self::Csv { header: 0 },
            "CSVWithNames" => Self::Csv { header: 1 },
            "CSVWithNamesAndTypes" => Self::Csv { header: 2 },
            "TabSeparated" | "TSV" => Self::TabSeparated { header: 0 },
            "TabSeparatedWithNames" | "TSVWithNames" => Self::TabSeparated { header: 1 },
            "TabSeparatedWithNamesAndTypes" | "TSVWithNamesAndTypes" => {
                Self::TabSeparated { header: 2 }
            }
            _ => Self::Whole,
        }
    }

    /// The rows of header, which every batch repeats.
    pub(super) fn header(self) -> u8 {
        match self {
            Self::Csv { header } | Self::TabSeparated { header } => header,
            Self::Json { .. } | Self::Whole => 0,
        }
    }
}

/// What a byte ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    /// A row.
    pub row: bool,
    /// A line at which the input may be cut.
    pub cut: bool,
}

/// Follows an input byte by byte.
#[derive(Clone, Debug)]
pub(super) struct Scanner {
    framing: Framing,
    /// Brackets of JSON that are open.
    depth: u32,
    is_quoted: bool,
    /// Behind a backslash, or in CSV behind a quote that may be the first of two.
    is_escaped: bool,
    /// At the begin of a field of CSV, where a quote begins a quoted one.
    begins: bool,
}

impl Scanner {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, depth: 0, is_quoted: false, is_escaped: false, begins: true }
    }

    /// Takes the next byte.
    pub(super) fn step(&mut self, byte: u8) -> Ends {
        match self.framing {
            Framing::Json { .. } => self.step_json(byte),
            Framing::Csv { .. } => self.step_csv(byte),
            Framing::TabSeparated { .. } => {
                let ends = byte == b'\n' && !self.is_escaped;
                self.is_escaped = byte == b'\\' && !self.is_escaped;
                Ends { row: ends, cut: ends }
            }
            Framing::Whole => Ends::default(),
        }
    }

    fn step_json(&mut self, byte: u8) -> Ends {
        if self.is_quoted {
            let ends = byte == b'"' && !self.is_escaped;
            self.is_escaped = byte == b'\\' && !self.is_escaped;
            self.is_quoted = !ends;
            return Ends::default();
        }
        match byte {
            b'"' => self.is_quoted = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return Ends { row: self.depth == 0, cut: false };
            }
            b'\n' => return Ends { row: false, cut: self.depth == 0 },
            _ => {}
        }
        Ends::default()
    }

    fn step_csv(&mut self, byte: u8) -> Ends {
        if self.is_quoted {
            if byte == b'"' {
                (self.is_quoted, self.is_escaped) = (false, true);
            }
            return Ends::default();
        }
        let is_second_quote = byte == b'"' && self.is_escaped;
        self.is_escaped = false;
        match byte {
            b'"' if self.begins || is_second_quote => self.is_quoted = true,
            b' ' | b'\t' => return Ends::default(),
            _ => {}
        }
        self.begins = matches!(byte, b',' | b'\n');
        Ends { row: byte == b'\n', cut: byte == b'\n' }
    }
}

/// The line, from 1, in which the row of this number, from 1, begins.
pub(super) fn line_of_row(framing: Framing, data: &[u8], number: u64) -> Option<u64> {
    let mut scanner = Scanner::new(framing);
    let (mut ended, mut line) = (0, 1);
    let mut is_between = true;
    for &byte in data {
        let is_blank =
            matches!(framing, Framing::Json { .. }) && (byte.is_ascii_whitespace() || byte == b',');
        if is_between && !is_blank {
            is_between = false;
            if ended + 1 == number {
                return Some(line);
            }
        }
        if scanner.step(byte).row {
            ended += 1;
            is_between = true;
        }
        line += u64::from(byte == b'\n');
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Framing = Framing::Json { arrays: false };

    /// The rows between the places at which the input may be cut, and the number of rows.
    fn cuts(framing: Framing, text: &str) -> (Vec<&str>, u32) {
        let mut scanner = Scanner::new(framing);
        let (mut parts, mut begin, mut rows) = (Vec::new(), 0, 0);
        for (position, byte) in text.bytes().enumerate() {
            let ends = scanner.step(byte);
            rows += u32::from(ends.row);
            if ends.cut {
                parts.push(&text[begin..=position]);
                begin = position + 1;
            }
        }
        if begin < text.len() {
            parts.push(&text[begin..]);
        }
        (parts, rows)
    }

    #[test]
    fn json_is_cut_between_values_alone() {
        let text = "{\"a\": \"}\\\"{\\n\"}\n{\"b\":\n [1, {}]}\n\n{} {}\n";
        let expected =
            ["{\"a\": \"}\\\"{\\n\"}\n", "{\"b\":\n [1, {}]}\n", "\n", "{} {}\n"].to_vec();
        assert_eq!(cuts(JSON, text), (expected, 4));
        assert_eq!(cuts(JSON, "[{},\n{}]\n").0.len(), 1, "one array");
    }

    #[test]
    fn csv_is_cut_outside_of_quoted_fields() {
        let csv = Framing::Csv { header: 0 };
        let text = "a,\"b\n\"\"c\"\"\n\",d\n \"x\ny\",1\nit\"s,2\n\"\",3\n\"\"\"\n\"\"\",4";
        let expected = [
            "a,\"b\n\"\"c\"\"\n\",d\n",
            " \"x\ny\",1\n",
            "it\"s,2\n",
            "\"\",3\n",
            "\"\"\"\n\"\"\",4",
        ];
        assert_eq!(cuts(csv, text), (expected.to_vec(), 4));
    }

    #[test]
    fn an_escaped_line_break_is_no_end_of_a_tab_separated_row() {
        let tsv = Framing::TabSeparated { header: 0 };
        let expected = ["a\\\nb\t1\n", "c\\\\\n", "d\n"].to_vec();
        assert_eq!(cuts(tsv, "a\\\nb\t1\nc\\\\\nd\n"), (expected, 3));
    }

    #[test]
    fn rows_know_their_line() {
        let line = |framing, text: &str, number| line_of_row(framing, text.as_bytes(), number);
        let json = "{}\n\n{\"a\":\n1}\n{} {}\n";
        assert_eq!(
            [1, 2, 3, 4, 5].map(|n| line(JSON, json, n)),
            [Some(1), Some(3), Some(5), Some(5), None]
        );
        let csv = "\"a\nb\"\nc\nd";
        let framing = Framing::Csv { header: 0 };
        assert_eq!([1, 2, 3, 4].map(|n| line(framing, csv, n)), [Some(1), Some(3), Some(4), None]);
    }
}
