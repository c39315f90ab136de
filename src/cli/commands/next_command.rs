//! The command to run next, with the flags that were given.

use crate::cli::args::WhatArguments;
use crate::ledger::LedgerLocation;
use crate::ledger::status::State;
use crate::plan::Partition;

/// What is to be done after a load was found in this state. Flags that say which server and as whom
/// are left out: they may hold a password, and are where those of this command came from.
pub(crate) fn next_command(
    what: &WhatArguments,
    partition: &Partition,
    ledger: &LedgerLocation,
    ledger_db: Option<&str>,
    state: State,
) -> String {
    let command = match state {
        State::NotBegun | State::Interrupted | State::Failed => "run",
        State::UnderWay => "status",
        State::Completed => "verify",
    };
    let WhatArguments { job, target_table, exclude_dataset_items } = what;
    let mut words = vec!["clickhouse-backfill".to_owned(), command.to_owned()];
    let mut flag = |name: &str, value: &str| words.extend([name.to_owned(), quoted(value)]);
    if job != "langfuse-events" {
        flag("--job", job);
    }
    if let Some(table) = target_table {
        flag("--target-table", table);
    }
    if *ledger != LedgerLocation::Tables {
        flag("--ledger", &ledger.to_string());
    }
    if let Some(database) = ledger_db.filter(|name| !name.is_empty()) {
        flag("--ledger-db", database);
    }
    flag("--partition", &partition.to_string());
    if *exclude_dataset_items {
        words.push("--exclude-dataset-items".to_owned());
    }
    if state == State::UnderWay {
        words.push("--watch".to_owned());
    }
    words.join(" ")
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(job: &str, table: Option<&str>, ledger: &str, state: State) -> String {
        let what = WhatArguments {
            job: job.to_owned(),
            target_table: table.map(str::to_owned),
            exclude_dataset_items: false,
        };
        next_command(&what, &"202511".parse().unwrap(), &ledger.parse().unwrap(), None, state)
    }

    #[test]
    fn commands_name_what_is_not_the_default_and_can_be_pasted() {
        assert_eq!(
            next("langfuse-events", None, "tables", State::Failed),
            "clickhouse-backfill run --partition 202511"
        );
        assert_eq!(
            next("it's mine.toml", Some("events_full"), "file:/var/lib", State::Completed),
            r"clickhouse-backfill verify --job 'it'\''s mine.toml' --target-table events_full --ledger file:/var/lib --partition 202511"
        );
        assert_eq!(
            next("j.toml", None, "tables", State::UnderWay),
            "clickhouse-backfill status --job j.toml --partition 202511 --watch"
        );
    }
}
