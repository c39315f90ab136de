//! Arguments, command, exit code, and nothing else.

fn main() -> std::process::ExitCode {
    clickhouse_backfill::cli::main()
}
