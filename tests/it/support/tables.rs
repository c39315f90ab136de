//! The tables and data of the built-in jobs, from the files in `scripts/sql`.

use std::path::Path;

use super::Server;

/// The text of a file in `scripts/sql`.
pub fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/sql").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The statements of such a file: each ends with a semicolon at the end of its line, and comments
/// have lines of their own.
pub fn statements(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    let mut statements = vec![String::new()];
    for line in lines {
        let last = statements.last_mut().unwrap();
        let trimmed = line.trim_end();
        last.push_str(trimmed.strip_suffix(';').unwrap_or(trimmed));
        last.push('\n');
        if trimmed.ends_with(';') {
            statements.push(String::new());
        }
    }
    statements.retain(|statement| !statement.trim().is_empty());
    statements
}

/// Runs the statements of a file in the test's database.
pub fn load(server: &Server, name: &str) {
    for statement in statements(&file(name)) {
        server.query(&statement);
    }
}

#[test]
fn statements_end_at_the_ends_of_lines() {
    let text = "-- a; comment\nSELECT 1;\n\nSELECT ';',\n    -- another\n    2;\nSELECT 3\n";
    assert_eq!(statements(text), ["SELECT 1\n", "\nSELECT ';',\n    2\n", "SELECT 3\n"]);
    assert_eq!(statements(&file("traces.sql")).len(), 1);
}
