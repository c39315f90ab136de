//! A terminal's screen: the few control sequences that bars are made of.
//!
//! See <https://www.xfree86.org/current/ctlseqs.html>. A sequence that is not known fails the test, so that none is overlooked.

/// What a terminal of a certain size shows, with everything that has scrolled off its top.
#[derive(Debug)]
pub struct Screen {
    columns: usize,
    rows: usize,
    lines: Vec<Line>,
    line: usize,
    column: usize,
}

#[derive(Debug, Default, Clone)]
struct Line {
    characters: Vec<char>,
    /// The next line goes on with this one, which was full.
    wraps: bool,
}

impl Screen {
    /// The screen after these bytes.
    pub fn after(bytes: &[u8], columns: usize, rows: usize) -> Self {
        let mut screen = Self { columns, rows, lines: vec![Line::default()], line: 0, column: 0 };
        let text = String::from_utf8_lossy(bytes);
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '\n' => screen.down(),
                '\r' => screen.column = 0,
                '\u{1b}' => {
                    assert_eq!(rest.next(), Some('['), "an escape sequence that is not known in {text:?}");
                    let mut parameters = String::new();
                    let last = loop {
                        match rest.next().expect("the escape sequence ends") {
                            c @ ('0'..='9' | ';' | '?') => parameters.push(c),
                            c => break c,
                        }
                    };
                    screen.control(&parameters, last);
                }
                c if c.is_control() => panic!("the control character {c:?} in {text:?}"),
                c => screen.put(c),
            }
        }
        screen
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

    /// The rows of the screen, without blanks at their ends.
    pub fn rows(&self) -> Vec<String> {
        self.lines.iter().map(|line| line.characters.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    fn down(&mut self) {
        self.line += 1;
        if self.line == self.lines.len() {
            self.lines.push(Line::default());
        }
    }

    fn put(&mut self, character: char) {
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
        let number = parameters.parse::<usize>();
        let count = number.clone().unwrap_or(1).max(1);
        let top = self.lines.len().saturating_sub(self.rows);
        // A cursor behind the last column stands on it.
        self.column = if last == 'm' { self.column } else { self.column.min(self.columns - 1) };
        match last {
            'A' => self.line = self.line.saturating_sub(count).max(top),
            'B' => self.line = (self.line + count).min(self.lines.len() - 1),
            'C' => self.column = (self.column + count).min(self.columns - 1),
            'D' => self.column = self.column.saturating_sub(count),
            'G' => self.column = count - 1,
            'K' => {
                let line = &mut self.lines[self.line];
                match number.unwrap_or(0) {
                    0 => line.characters.truncate(self.column),
                    2 => line.characters.clear(),
                    other => panic!("erasing lines in the way {other}"),
                }
                line.wraps = false;
            }
            'J' if number.unwrap_or(0) == 0 => {
                self.lines.truncate(self.line + 1);
                self.lines[self.line].characters.truncate(self.column);
                self.lines[self.line].wraps = false;
            }
            // Colors, and modes such as a hidden cursor.
            'm' | 'h' | 'l' => {}
            other => panic!("the control sequence {parameters}{other}"),
        }
    }
}

#[test]
fn a_screen_is_what_a_terminal_shows() {
    let text = |bytes: &[u8]| Screen::after(bytes, 5, 3).text();
    assert_eq!(text(b"ab\r\ncd\x1b[1A\x1b[2K\rX\n"), ["X", "cd"]);
    assert_eq!(text(b"abcdefg\r\n\x1b[31mh\x1b[0m"), ["abcdefg", "h"]);
    assert_eq!(text(b"abcde\r\nf"), ["abcde", "f"]);
    assert_eq!(text(b"1\r\n2\r\n3\r\n4\x1b[9A\rX"), ["1", "X", "3", "4"]);
    assert_eq!(text(b"abc\x1b[2D\x1b[K"), ["a"]);
}
