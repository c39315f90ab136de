//! The command to run next, with the flags of this one, so that it can be pasted into a shell.

use crate::cli::config::{JobConfig, LedgerConfig, ServerConfig};
use crate::cli::shell::quoted;
use crate::ledger::LedgerLocation;
use crate::plan::Partition;

/// A command line that is being built.
pub(crate) struct NextCommand {
    words: Vec<String>,
}

impl NextCommand {
    /// A command, such as `run`.
    pub(crate) fn new(command: &str) -> Self {
        Self { words: vec!["clickhouse-backfill".to_owned(), command.to_owned()] }
    }

    /// The servers, without passwords and without what the environment has.
    pub(crate) fn servers(self, config: &ServerConfig) -> Self {
        config.flags().iter().fold(self, |next, (flag, value)| next.value(flag, value))
    }

    /// The job and its target.
    pub(crate) fn job(mut self, config: &JobConfig) -> Self {
        let JobConfig { reference, options } = config;
        if reference != "langfuse-events" {
            self = self.value("--job", reference);
        }
        if let Some(table) = &options.target_table {
            self = self.value("--target-table", table);
        }
        options.exclusions.iter().fold(self, |command, name| command.value("--exclude", name))
    }

    /// The ledger.
    pub(crate) fn ledger(mut self, config: &LedgerConfig, servers: &ServerConfig) -> Self {
        if config.location != LedgerLocation::Tables {
            self = self.value("--ledger", &config.location.to_string());
        }
        if config.database == servers.target_database() {
            self
        } else {
            self.value("--ledger-db", &config.database)
        }
    }

    /// The partition.
    pub(crate) fn partition(self, partition: &Partition) -> Self {
        self.value("--partition", &partition.to_string())
    }

    /// A flag with a value.
    pub(crate) fn value(mut self, flag: &str, value: &str) -> Self {
        self.words.extend([flag.to_owned(), quoted(value)]);
        self
    }

    /// A flag without a value.
    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.words.push(flag.to_owned());
        self
    }

    /// The line.
    pub(crate) fn text(self) -> String {
        self.words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Command, StatusArguments};
    use crate::cli::config::LoadConfig;

    fn next(arguments: &[&str]) -> String {
        let line = ["clickhouse-backfill", "status", "--partition=202511"];
        let Ok(Command::Status(parsed)) = Command::of(line.iter().chain(arguments)) else {
            panic!("{arguments:?}");
        };
        let StatusArguments { which, what, server, ledger, .. } = &*parsed;
        let config = LoadConfig::resolve(what, &which.partition, server, ledger).unwrap();
        NextCommand::new("run")
            .servers(&config.servers)
            .job(&config.job)
            .ledger(&config.ledger, &config.servers)
            .partition(&config.partition)
            .text()
    }

    #[test]
    fn flags_of_the_servers_are_kept_and_passwords_are_not() {
        assert_eq!(next(&[]), "clickhouse-backfill run --partition 202511");
        assert_eq!(
            next(&[
                "--clickhouse-url=https://ann:secret@db:8443",
                "--clickhouse-user=bob",
                "--clickhouse-password=secret",
                "--clickhouse-db=it's",
                "--source-url=http://eve:secret@src",
            ]),
            r"clickhouse-backfill run --clickhouse-url https://db:8443/ --clickhouse-user bob --clickhouse-db 'it'\''s' --source-url http://src/ --partition 202511"
        );
    }

    #[test]
    fn the_job_and_the_ledger_are_named_where_they_are_not_the_default() {
        assert_eq!(
            next(&["--job=it's mine.toml", "--target-table=events_full", "--ledger=file:/var/lib"]),
            r"clickhouse-backfill run --job 'it'\''s mine.toml' --target-table events_full --ledger file:/var/lib --partition 202511"
        );
    }
}
