//! Writes the documents that follow from the definitions of flags and keys: run it in the root of the
//! repository, as `scripts/generate-references` does.

fn main() -> std::io::Result<()> {
    for (path, text) in clickhouse_backfill::cli::references() {
        std::fs::write(path, text)?;
    }
    Ok(())
}
