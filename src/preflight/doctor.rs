//! The servers and their users before there is a plan, or even a job: rights of each command, settings in
//! the way, clocks and disks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::check::{Check, ask, ask_one, ask_right};
use super::servers::check_version;
use crate::clickhouse::{
    Connection, Servers, TableName, literal_list, quote_identifier, quote_literal,
};
use crate::units::{bytes, count, duration};

/// A difference of clocks that a person should know.
const CLOCKS_APART: Duration = Duration::from_secs(5);
/// A disk with less free space than one part in this many is nearly full.
const NEARLY_FULL: u64 = 10;
/// A statement that a shorter limit ends may have been at work.
const LONG: f64 = 3600.0;

/// The tables that commands work with.
pub(crate) struct JobTables {
    /// The tables that are read, with the columns where they are known.
    pub reads: Vec<(TableName, Vec<String>)>,
    /// The target.
    pub target: TableName,
    /// Whether the job replaces partitions.
    pub replaces: bool,
    /// Whether the job says which rows of the target are its own.
    pub owns: bool,
}

/// What the checks are made of.
pub(crate) struct Doctor<'a> {
    /// Servers that have answered.
    pub servers: &'a Servers,
    /// The versions of the target's and of the source's server.
    pub versions: (&'a str, &'a str),
    /// The tables of the job; `None` for all tables of the databases.
    pub tables: Option<JobTables>,
    /// The database of the ledger's tables; `None` if it is in files.
    pub ledger: Option<&'a str>,
}

impl Doctor<'_> {
    /// Makes the checks.
    pub(crate) async fn run(&self) -> Vec<Check> {
        let (profile, clock, disk, rights) = tokio::join!(
            check_profile(self.servers),
            check_clock(self.servers),
            check_disks(&self.servers.target),
            self.check_rights(),
        );
        let version = check_version(self.versions.0, self.versions.1);
        [version, profile, clock, disk].into_iter().chain(rights).collect()
    }

    /// The rights of each command.
    async fn check_rights(&self) -> Vec<Check> {
        let (mut checks, created) = (Vec::new(), self.tables_to_create().await);
        let cannot_undo =
            self.tables.as_ref().is_some_and(|tables| !tables.owns && !tables.replaces);
        for (name, mut rights) in self.rights() {
            if name == "undo" && cannot_undo {
                let words = "not for this job: without `owned` under [target], it is not known which rows are its own";
                checks.push(Check::ok(name, words));
                continue;
            }
            if name == "run" {
                rights.extend(created.clone());
            }
            checks.push(self.check_command(name, rights).await);
        }
        checks
    }

    /// The rights to create those tables of the ledger that do not exist.
    async fn tables_to_create(&self) -> Vec<Right> {
        #[derive(Deserialize)]
        struct Name {
            name: String,
        }
        let Some(database) = self.ledger else { return Vec::new() };
        let sql = format!(
            "SELECT name FROM system.tables WHERE database = {} AND name IN ({})",
            quote_literal(database),
            literal_list(WRITTEN)
        );
        let found = ask::<Name>(&self.servers.target, "system.tables", &sql).await;
        let found = found.unwrap_or_default();
        let missing = WRITTEN.iter().filter(|table| !found.iter().any(|row| row.name == **table));
        self.of_ledger(&missing.copied().collect::<Vec<_>>(), &["CREATE TABLE"])
    }

    /// Asks for rights. Without a job, a missing one is a warning: rights on single tables may suffice.
    async fn check_command(&self, name: &'static str, rights: Vec<Right>) -> Check {
        let mut missing: Vec<Right> = Vec::new();
        for right in rights {
            match ask_right(self.connection(&right), &right.sql).await {
                Ok(true) => {}
                Ok(false) => missing.push(right),
                Err(reason) => return Check::unknown(name, reason),
            }
        }
        if missing.is_empty() {
            let of = if self.tables.is_some() { "the job's tables" } else { "all tables" };
            return Check::ok(name, format!("rights granted on {of}"));
        }
        let user = |right: &Right| self.connection(right).endpoint().user();
        let words = missing.iter().map(|right| format!("{} lacks {}", user(right), right.sql));
        let words = words.collect::<Vec<_>>().join("; ");
        let grants = missing.iter().map(|right| format!("GRANT {} TO {}", right.sql, user(right)));
        let blocks = self.tables.is_some() && missing.iter().any(|right| !right.is_optional);
        if blocks {
            return Check::refused(name, format!("the user {words}"), grants.collect());
        }
        let check = if self.tables.is_some() {
            Check::warning(name, format!("the user {words}"))
        } else {
            let words = format!("the user {words}; rights on single tables may suffice");
            Check::warning(name, words).lifted_by("--job checks the tables of a job")
        };
        grants.fold(check, Check::lifted_by)
    }

    fn connection(&self, right: &Right) -> &Connection {
        if right.is_of_source { &self.servers.source } else { &self.servers.target }
    }

    /// The rights that each command needs.
    fn rights(&self) -> Vec<(&'static str, Vec<Right>)> {
        let endpoint = self.servers.target.endpoint();
        let all = |database: &str| format!("{}.*", quote_identifier(database));
        let (reads, target) = if let Some(tables) = &self.tables {
            let read = |(table, columns): &(TableName, Vec<String>)| {
                let names: Vec<_> =
                    columns.iter().map(|name| quote_identifier(name).to_string()).collect();
                let columns = if names.is_empty() {
                    String::new()
                } else {
                    format!("({})", names.join(", "))
                };
                Right::of_source(format!("SELECT{columns} ON {}", table.quoted()))
            };
            (tables.reads.iter().map(read).collect(), tables.target.quoted())
        } else {
            let source = all(self.servers.source.endpoint().database());
            (vec![Right::of_source(format!("SELECT ON {source}"))], all(endpoint.database()))
        };
        let of_target = |rights: &[&str]| -> Vec<Right> {
            rights.iter().map(|right| Right::of_target(format!("{right} ON {target}"))).collect()
        };
        let replaces = self.tables.as_ref().is_some_and(|tables| tables.replaces);
        let temporary = || vec![Right::of_target("CREATE TEMPORARY TABLE ON *.*").optional()];
        let building = if replaces {
            let database = self.tables.as_ref().map(|tables| all(&tables.target.database));
            let rights = ["CREATE TABLE", "DROP TABLE", "ALTER DELETE"];
            let on = database.unwrap_or_default();
            rights.iter().map(|right| Right::of_target(format!("{right} ON {on}"))).collect()
        } else {
            Vec::new()
        };
        let written = self.of_ledger(&WRITTEN, &["SELECT", "INSERT"]);
        let read = self.of_ledger(&WRITTEN, &["SELECT"]);
        let kept = self.of_ledger(&["load_verifications"], &["SELECT", "INSERT"]);
        let kept = || kept.iter().cloned().map(Right::optional).collect();
        let deletion = of_target(&["ALTER DELETE"]);
        let removal = deletion.iter().cloned().map(Right::optional).collect();
        vec![
            ("plan", [reads.clone(), of_target(&["INSERT"]), temporary()].concat()),
            ("run", [reads.clone(), of_target(&["INSERT"]), building, written.clone()].concat()),
            ("verify", [reads.clone(), of_target(&["SELECT"]), read.clone(), kept()].concat()),
            (
                "repair",
                [reads, of_target(&["SELECT", "INSERT"]), written.clone(), removal, kept()]
                    .concat(),
            ),
            ("undo", [of_target(&["SELECT"]), deletion, written].concat()),
            ("status", read),
        ]
    }

    /// Rights on tables of the ledger.
    fn of_ledger(&self, tables: &[&str], rights: &[&str]) -> Vec<Right> {
        let Some(database) = self.ledger else { return Vec::new() };
        let on = |table: &&str| {
            let (database, table) = (quote_identifier(database), quote_identifier(table));
            rights
                .iter()
                .map(move |right| Right::of_target(format!("{right} ON {database}.{table}")))
        };
        tables.iter().flat_map(on).collect()
    }
}

/// The tables of the ledger that a run needs.
const WRITTEN: [&str; 3] = ["load_state", "load_state_chunks", "load_claims"];

/// A right, as it is granted.
#[derive(Clone)]
struct Right {
    sql: String,
    is_of_source: bool,
    /// Whether the command works without it, but does less.
    is_optional: bool,
}

impl Right {
    fn of_target(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), is_of_source: false, is_optional: false }
    }

    fn of_source(sql: impl Into<String>) -> Self {
        Self { is_of_source: true, ..Self::of_target(sql) }
    }

    fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }
}

#[derive(Deserialize)]
struct ProfileLimits {
    readonly: u64,
    seconds: f64,
    memory: u64,
    rows: u64,
}

/// Settings of the profiles that are in the way.
async fn check_profile(servers: &Servers) -> Check {
    const NAME: &str = "profile";
    let (mut blocking, mut limits, mut overridden) = (Vec::new(), Vec::new(), Vec::new());
    for connection in servers.each() {
        let user = connection.endpoint().user();
        let sql = "SELECT toUInt64(getSetting('readonly')) AS readonly, toFloat64(getSetting('max_execution_time')) AS seconds, \
            toUInt64(getSetting('max_memory_usage')) AS memory, toUInt64(getSetting('max_rows_to_read')) AS rows";
        let found = match ask_one::<ProfileLimits>(connection, "the user's settings", sql).await {
            Ok(found) => found,
            Err(reason) => return Check::unknown(NAME, reason),
        };
        let is_target = std::ptr::eq(connection, &raw const servers.target);
        if found.readonly == 1 || (found.readonly == 2 && is_target) {
            blocking.push(format!("readonly = {} for {user}", found.readonly));
        }
        for setting in connection.profile().forced() {
            blocking.push(format!("{} = {}, fixed for {user}", setting.name, setting.value));
        }
        if found.seconds > 0.0 && found.seconds < LONG {
            let limit = duration(Duration::try_from_secs_f64(found.seconds).unwrap_or_default());
            limits.push(format!("max_execution_time ends statements of {user} after {limit}"));
        }
        if found.memory > 0 {
            let limit = bytes(found.memory);
            limits.push(format!("max_memory_usage is {limit} for each statement of {user}"));
        }
        if found.rows > 0 {
            let limit = count(found.rows);
            limits.push(format!("max_rows_to_read is {limit} for {user}"));
        }
        let names = connection.profile().overridden().iter().map(|setting| setting.name.clone());
        overridden.extend(names);
    }
    if !blocking.is_empty() {
        let means =
            "use a user whose profile sets none of them; readonly = 2 is enough for the source";
        return Check::refused(NAME, blocking.join("; "), vec![means.to_owned()]);
    }
    if !limits.is_empty() {
        return Check::warning(NAME, limits.join("; "))
            .lifted_by("raise the limit in the user's profile, or set it under [settings] of the job; `plan` compares it with what a run needs");
    }
    overridden.sort();
    overridden.dedup();
    let words = if overridden.is_empty() {
        "no setting is in the way".to_owned()
    } else {
        format!("no setting is in the way; statements override {}", overridden.join(", "))
    };
    Check::ok(NAME, words)
}

/// The clocks of the servers against this machine's: claims and rows of live writers are told by them.
async fn check_clock(servers: &Servers) -> Check {
    const NAME: &str = "clock";
    #[derive(Deserialize)]
    struct Now {
        now: i64,
    }
    let own = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    };
    let mut apart = Vec::new();
    let mut greatest = Duration::ZERO;
    for connection in servers.each() {
        let before = own();
        let sql = "SELECT toUnixTimestamp64Micro(now64(6)) AS now";
        let now = match ask_one::<Now>(connection, "the clock", sql).await {
            Ok(Now { now }) => now,
            Err(reason) => return Check::unknown(NAME, reason),
        };
        // The answer was made at some moment between the two.
        let after = own();
        let difference = if now < before { before - now } else { (now - after).max(0) };
        let difference = Duration::from_micros(u64::try_from(difference).unwrap_or_default());
        greatest = greatest.max(difference);
        if difference > CLOCKS_APART {
            let (host, verb) = (
                connection.endpoint().url().host_str().unwrap_or("the server"),
                if now < before { "behind" } else { "ahead of" },
            );
            apart.push(format!("{host} is {} {verb} this machine", duration(difference)));
        }
    }
    if apart.is_empty() {
        let words = format!("no clock differs by more than {}", duration(CLOCKS_APART));
        return Check::ok(NAME, words);
    }
    Check::warning(NAME, apart.join("; "))
        .lifted_by("synchronize the clocks, with chrony or ntpd: moments in the ledger and in logs are told by them")
}

#[derive(Deserialize)]
struct Disk {
    name: String,
    free: u64,
    total: u64,
}

/// The free space of the target's disks.
async fn check_disks(target: &Connection) -> Check {
    const NAME: &str = "disk";
    // A disk of objects has no size.
    let sql = "SELECT name, toUInt64(unreserved_space) AS free, toUInt64(total_space) AS total FROM system.disks \
        WHERE total_space < 1152921504606846976 ORDER BY name";
    let disks = match ask::<Disk>(target, "system.disks", sql).await {
        Ok(disks) => disks,
        Err(reason) => return Check::unknown(NAME, reason),
    };
    let words = |disk: &Disk| {
        format!("{} has {} of {} free", disk.name, bytes(disk.free), bytes(disk.total))
    };
    let full: Vec<_> =
        disks.iter().filter(|disk| disk.free < disk.total / NEARLY_FULL).map(words).collect();
    if full.is_empty() {
        let all: Vec<_> = disks.iter().map(words).collect();
        let all = if all.is_empty() { "disks without a size".to_owned() } else { all.join("; ") };
        return Check::ok(NAME, all);
    }
    Check::warning(NAME, full.join("; "))
        .lifted_by("free disk space on the server; `plan` compares it with what a run needs")
}
