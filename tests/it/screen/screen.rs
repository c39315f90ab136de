//! A terminal's screen: the few control sequences that the program writes.
//!
//! See <https://invisible-island.net/xterm/ctlseqs/ctlseqs.html>. A sequence that is not known
//! fails the test, so that none is overlooked.

/// What a terminal of a certain size shows, with everything that has scrolled off its top.
#[derive(Debug, Clone)]
pub struct Screen {
    columns: usize,
    rows: usize,
    lines: Vec<Line>,
    line: usize,
    column: usize,
    /// The first line that the cursor can reach.
    top: usize,
    titles: Vec<String>,
    /// What does not fit a row goes on in the next one.
    wraps: bool,
}

#[derive(Debug, Default, Clone)]
struct Line {
    characters: Vec<char>,
    /// The next line goes on with this one, which was full.
    wraps: bool,
}

impl Screen {
    pub fn new(columns: usize, rows: usize) -> Self {
        Self {
            columns,
            rows,
            lines: vec![Line::default()],
            line: 0,
            column: 0,
            top: 0,
            titles: Vec::new(),
            wraps: true,
        }
    }

    /// The screen after these bytes.
    pub fn after(bytes: &[u8], columns: usize, rows: usize) -> Self {
        let mut screen = Self::new(columns, rows);
        screen.feed(bytes);
        screen
    }

    /// The terminal gets these bytes, which end behind a whole character or sequence.
    pub fn feed(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '\n' => self.down(),
                '\r' => self.column = 0,
                '\u{1b}' => match rest.next() {
                    Some('[') => {
                        let mut parameters = String::new();
                        let last = loop {
                            match rest.next().expect("the escape sequence ends") {
                                c @ ('0'..='9' | ';' | '?') => parameters.push(c),
                                c => break c,
                            }
                        };
                        self.control(&parameters, last);
                    }
                    Some(']') => {
                        let title: String = rest.by_ref().take_while(|&c| c != '\u{7}').collect();
                        self.titles.push(title.strip_prefix("0;").expect("the title").to_owned());
                    }
                    other => panic!("an escape sequence that is not known, {other:?} in {text:?}"),
                },
                c if c.is_control() => panic!("the control character {c:?} in {text:?}"),
                c => self.put(c),
            }
        }
    }

    /// The lines as they were written, wrapped ones joined, without blanks at their ends.
    pub fn text(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        for line in &self.lines {
            let last = lines.last_mut().unwrap();
            last.extend(&line.characters);
            if !line.wraps {
                *last = last.trim_end().to_owned();
                lines.push(String::new());
            }
        }
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    /// All rows, without blanks at their ends.
    pub fn all_rows(&self) -> Vec<String> {
        self.lines
            .iter()
            .map(|line| line.characters.iter().collect::<String>().trim_end().to_owned())
            .collect()
    }

    /// All titles that the terminal had.
    pub fn titles(&self) -> &[String] {
        &self.titles
    }

    fn down(&mut self) {
        self.line += 1;
        if self.line == self.lines.len() {
            self.lines.push(Line::default());
        }
        self.top = self.top.max((self.line + 1).saturating_sub(self.rows));
    }

    fn put(&mut self, character: char) {
        if self.column == self.columns && !self.wraps {
            self.column -= 1;
        }
        if self.column == self.columns {
            self.lines[self.line].wraps = true;
            self.column = 0;
            self.down();
        }
        let line = &mut self.lines[self.line].characters;
        while line.len() <= self.column {
            line.push(' ');
        }
        line[self.column] = character;
        self.column += 1;
    }

    fn control(&mut self, parameters: &str, last: char) {
        let number = parameters.parse::<usize>().ok();
        let count = number.unwrap_or(1).max(1);
        // A cursor behind the last column stands on it.
        self.column = if last == 'm' { self.column } else { self.column.min(self.columns - 1) };
        match last {
            'A' => self.line = self.line.saturating_sub(count).max(self.top),
            'K' if number.unwrap_or(0) == 0 => self.lines[self.line].erase_from(self.column),
            'J' if number.unwrap_or(0) == 0 => {
                self.lines[self.line].erase_from(self.column);
                self.lines[self.line + 1..].fill(Line::default());
            }
            'h' | 'l' if parameters == "?7" => self.wraps = last == 'h',
            // Colors, and modes such as that of synchronized output.
            'm' | 'h' | 'l' => {}
            't' => match parameters
                .split(';')
                .map(|number| number.parse().unwrap())
                .collect::<Vec<usize>>()[..]
            {
                [8, rows, columns] => self.resize(columns, rows),
                // Keeps the title, and puts it back.
                [22 | 23, 0] => {}
                _ => panic!("the control sequence {parameters}t"),
            },
            other => panic!("the control sequence {parameters}{other}"),
        }
    }

    /// As tmux does it, and most others: lines that had wrapped, or do not fit any more, are
    /// wrapped anew.
    fn resize(&mut self, columns: usize, rows: usize) {
        let (mut lines, mut cursor) = (Vec::<Line>::new(), (0, 0));
        let mut logical = Vec::new();
        let mut cursor_at = None;
        for (number, line) in std::mem::take(&mut self.lines).into_iter().enumerate() {
            if number == self.line {
                cursor_at = Some(logical.len() + self.column);
            }
            logical.extend(&line.characters);
            if line.wraps {
                continue;
            }
            if let Some(at) = cursor_at.take() {
                cursor = (lines.len() + at / columns, at % columns);
            }
            let mut parts: Vec<Vec<char>> = logical.chunks(columns).map(<[char]>::to_vec).collect();
            let last = parts.pop().unwrap_or_default();
            lines.extend(parts.into_iter().map(|characters| Line { characters, wraps: true }));
            lines.push(Line { characters: last, wraps: false });
            logical.clear();
        }
        (self.lines, self.columns, self.rows) = (lines, columns, rows);
        (self.line, self.column) = cursor;
        while self.lines.len() <= self.line {
            self.lines.push(Line::default());
        }
        self.top = (self.line + 1).saturating_sub(rows);
    }
}

impl Line {
    fn erase_from(&mut self, column: usize) {
        self.characters.truncate(column);
        self.wraps = false;
    }
}

#[test]
fn a_screen_is_what_a_terminal_shows() {
    let text = |bytes: &[u8]| Screen::after(bytes, 5, 3).text();
    assert_eq!(text(b"ab\r\ncd\x1b[1A\rX\x1b[K\r\n"), ["X", "cd"]);
    assert_eq!(text(b"abcdefg\r\n\x1b[31mh\x1b[0m"), ["abcdefg", "h"]);
    assert_eq!(text(b"abcde\r\nf"), ["abcde", "f"]);
    assert_eq!(text(b"1\r\n2\r\n3\r\n4\x1b[9A\rX"), ["1", "X", "3", "4"]);
    assert_eq!(text(b"\x1b[?7labcdefg\x1b[?7h\r\nabcdefg"), ["abcdg", "abcdefg"]);
    assert_eq!(
        text(b"1\r\n2\r\n3\r\n4\x1b[2A\r\x1b[J\x1b[9A\rX"),
        ["1", "X"],
        "what is erased does not scroll back"
    );
    let screen = Screen::after(b"\x1b]0;a title\x07abc", 5, 3);
    assert_eq!(
        (screen.titles(), screen.text()),
        (&["a title".to_owned()][..], vec!["abc".to_owned()])
    );
}

#[test]
fn a_screen_that_is_resized_wraps_its_lines_anew() {
    let resized = |bytes: &[u8]| Screen::after(bytes, 6, 4);
    let narrower = resized(b"abcdef\r\ngh\r\n\x1b[8;4;4tX");
    assert_eq!(
        (narrower.all_rows(), narrower.text()),
        (
            vec!["abcd".into(), "ef".into(), "gh".into(), "X".into()],
            vec!["abcdef".into(), "gh".into(), "X".into()]
        )
    );
    let wider = resized(b"abcdefgh\r\n\x1b[8;4;10t\x1b[1AX");
    assert_eq!(wider.all_rows(), ["Xbcdefgh", ""]);
}
