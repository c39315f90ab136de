//! The documents that follow from the definitions of the flags.

use std::path::Path;

/// `scripts/generate-references` writes them.
#[test]
fn the_generated_documents_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let stale: Vec<_> = clickhouse_backfill::cli::references()
        .into_iter()
        .filter(|(path, text)| {
            std::fs::read_to_string(folder.join(path)).ok().as_ref() != Some(text)
        })
        .map(|(path, _)| path)
        .collect();
    assert!(stale.is_empty(), "{stale:?} are stale; run scripts/generate-references");
}

/// Each command and each of its flags has a line.
#[test]
fn the_reference_of_the_command_line_has_every_flag() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(folder.join("docs/reference/cli.md")).unwrap();
    for command in clickhouse_backfill::cli::command().get_subcommands() {
        let name = command.get_name();
        let head = format!("\n## {name}\n");
        let section = page.split(&head).nth(1).unwrap_or_else(|| panic!("{name} is missing"));
        let section = section.split("\n## ").next().unwrap();
        for argument in command.get_arguments() {
            let Some(long) = argument.get_long() else { continue };
            let cell = format!("--{long}");
            let row = section.lines().filter(|line| line.starts_with("| ")).find(|line| {
                let flag = line.split(" | ").next().unwrap_or_default();
                flag.split(['`', ' ', '[']).any(|word| word == cell)
            });
            let row = row.unwrap_or_else(|| panic!("{name} {cell} has no row"));
            assert!(row.trim_end_matches(['|', ' ']).ends_with('.'), "{row}");
            if let Some(variable) = argument.get_env() {
                assert!(row.contains(&format!("`{}`", variable.to_string_lossy())), "{row}");
            }
        }
    }
}
