//! The config file: `config show`, connections, and next commands.

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Binary, Server, assert_text_snapshot, binary};

/// The server without its password, as a config file has it.
fn database(server: &Server) -> String {
    format!(
        "host = '127.0.0.1'\nport = {}\nuser = '{}'\ndatabase = '{}'\n",
        server.url().rsplit(':').next().unwrap().trim_end_matches('/'),
        server.user(),
        server.database()
    )
}

const FILE: &str = r#"
[database.clickhouse]
host = "one.example"
user = "ann"
password = "Tangerine"

[connections.prod]
host = "two.example"
secure = true
user = "bob"
password_file = "prod-password"

[connections.prod.source]
host = "three.example"
password = "Tangerine"

[connections.bare]
host = "four.example"

[common]
claim-timeout = "2m"

[run]
memory = "4GiB"
hook = ["on-finish=curl Tangerine"]

[plan]
measure = "0s"

[status]
job = "mine.toml"
watch = 7
"#;

/// The lines of `config show` that are not defaults, but for those that a test is not about.
fn shown(tool: Binary) -> String {
    let output = tool.run().expect(0);
    assert!(!format!("{output}").contains("Tangerine"), "{output}");
    let lines = output.stdout.lines().map(|line| {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.collect::<Vec<_>>().join("  ")
    });
    let given = lines.filter(|line| line.contains("  ") && !line.ends_with("  default"));
    given.filter(|line| !line.ends_with('–')).flat_map(|line| [line, "\n".to_owned()]).collect()
}

fn show(words: &[&str]) -> Binary {
    binary().args(&["config", "show"]).args(words).file("clickhouse-backfill.toml", FILE)
}

#[test]
fn values_are_shown_with_the_place_that_they_come_from() {
    let tool = show(&["status", "--partition", "202511"])
        .file(".env", "# \nLEDGER=file:x\nCLAIM_TIMEOUT=3m\n")
        .env("CLAIM_TIMEOUT", "4m");
    assert_text_snapshot!(shown(tool), @"
    --partition  202511  flag
    --job  mine.toml  clickhouse-backfill.toml, line 31
    --watch  7  clickhouse-backfill.toml, line 32
    --ledger  file:x  .env, line 2
    --claim-timeout  4m  environment, CLAIM_TIMEOUT
    --clickhouse-url  http://one.example:8123  clickhouse-backfill.toml, line 3
    --clickhouse-user  ann  clickhouse-backfill.toml, line 4
    --clickhouse-password  (hidden)  clickhouse-backfill.toml, line 5
    ");
    // `plan` shows what `run` does.
    assert_text_snapshot!(shown(show(&["plan"])), @"
    --measure  0s  clickhouse-backfill.toml, line 28
    --claim-timeout  2m  clickhouse-backfill.toml, line 21
    --clickhouse-url  http://one.example:8123  clickhouse-backfill.toml, line 3
    --clickhouse-user  ann  clickhouse-backfill.toml, line 4
    --clickhouse-password  (hidden)  clickhouse-backfill.toml, line 5
    --memory  4GiB  clickhouse-backfill.toml, line 24
    ");
    assert_text_snapshot!(shown(show(&[])), @"
    --clickhouse-url  http://one.example:8123  clickhouse-backfill.toml, line 3
    --clickhouse-user  ann  clickhouse-backfill.toml, line 4
    --clickhouse-password  (hidden)  clickhouse-backfill.toml, line 5
    --claim-timeout  2m  clickhouse-backfill.toml, line 21
    --memory  4GiB  clickhouse-backfill.toml, line 24
    --hook  (hidden)  clickhouse-backfill.toml, line 25
    ");
    // Of two that exclude each other the higher one counts, and the other one is not shown.
    let tool = show(&["run", "--clickhouse-password-file", "other", "--partitions=202401..202403"]);
    assert_text_snapshot!(shown(tool.env("PARTITION", "202511")), @"
    --partitions  202401..202403  flag
    --clickhouse-url  http://one.example:8123  clickhouse-backfill.toml, line 3
    --clickhouse-user  ann  clickhouse-backfill.toml, line 4
    --clickhouse-password-file  other  flag
    --claim-timeout  2m  clickhouse-backfill.toml, line 21
    --memory  4GiB  clickhouse-backfill.toml, line 24
    --hook  (hidden)  clickhouse-backfill.toml, line 25
    ");
    // Commands below a command have tables of their own.
    let tool = show(&["ctl", "status", "--config", "other.toml"]).file(
        "other.toml",
        "[ctl]\nsocket = 'a.sock'\n[pack.apply]\nclickhouse-db = 'metrics'\n[common]\nlog-file = 'x.log'\n",
    );
    assert_text_snapshot!(shown(tool), @"
    --socket  a.sock  other.toml, line 2
    --log-file  x.log  other.toml, line 6
    ");
    let output = show(&["--json", "job", "list"]).run();
    assert_text_snapshot!(output.failure(), @"
    exit code 2
    error: `job list` has no settings
    ");
    assert_text_snapshot!(show(&["runn"]).run().failure(), @"
    exit code 2
    error: unrecognized subcommand 'runn'

    Usage: clickhouse-backfill <COMMAND>
    hint: a similar subcommand exists: 'run'
    hint: `--help` behind the command explains its flags
    ");
    assert_text_snapshot!(show(&["ctl"]).run().failure(), @"
    exit code 2
    error: `ctl` needs a command behind it
    ");
    assert_text_snapshot!(show(&["run", "--memory", "lots"]).run().failure(), @"
    exit code 2
    error: invalid value 'lots' for '--memory <SIZE>': it must be a size such as 128MiB or 2GiB
    hint: `--help` behind the command explains its flags
    ");
}

#[test]
fn settings_are_shown_as_json() {
    let output = show(&["--json", "--connection", "prod", "history"]).run().expect(0);
    assert!(!output.stdout.contains("Tangerine"), "{output}");
    let document: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(document["command"], "history");
    assert_eq!(document["config"], "clickhouse-backfill.toml");
    let settings = document["settings"].as_array().unwrap();
    let of = |flag: &str| {
        let found = settings.iter().find(|setting| setting["flag"] == flag);
        found.unwrap_or_else(|| panic!("{flag} is not in\n{output}"))
    };
    let text = |value: &serde_json::Value| serde_json::to_string(value).unwrap();
    let flags = ["--clickhouse-url", "--source-password", "--connection", "--ledger", "--job"];
    let lines: Vec<_> = flags.iter().map(|flag| text(of(flag))).collect();
    assert_text_snapshot!(lines.join("\n"), @r#"
    {"connection":"prod","file":"clickhouse-backfill.toml","flag":"--clickhouse-url","from":"config","line":8,"value":"https://two.example:8443","variable":null}
    {"connection":"prod","file":"clickhouse-backfill.toml","flag":"--source-password","from":"config","line":15,"value":"(hidden)","variable":null}
    {"connection":null,"file":null,"flag":"--connection","from":"flag","line":null,"value":"prod","variable":null}
    {"connection":null,"file":null,"flag":"--ledger","from":"default","line":null,"value":"tables","variable":null}
    {"connection":null,"file":null,"flag":"--job","from":"default","line":null,"value":"all jobs in the ledger","variable":null}
    "#);
}

/// A connection counts as the layer that names it, and takes nothing from the servers below.
#[test]
fn a_connection_replaces_the_servers_of_the_layers_below() {
    let variables = [
        ("CLICKHOUSE_URL", "http://five.example"),
        ("CLICKHOUSE_USER", "eve"),
        ("CLICKHOUSE_DB", "other"),
        ("CLICKHOUSE_PASSWORD", "Tangerine"),
        ("SOURCE_USER", "eve"),
    ];
    let named = |words: &[&str]| show(&[words, &["history"]].concat()).envs(&variables);
    assert_text_snapshot!(shown(named(&["--connection", "prod"])), @"
    --claim-timeout  2m  clickhouse-backfill.toml, line 21
    --clickhouse-url  https://two.example:8443  clickhouse-backfill.toml, line 8 (connection prod)
    --clickhouse-user  bob  clickhouse-backfill.toml, line 10 (connection prod)
    --clickhouse-password-file  prod-password  clickhouse-backfill.toml, line 11 (connection prod)
    --source-url  http://three.example:8123  clickhouse-backfill.toml, line 14 (connection prod)
    --source-password  (hidden)  clickhouse-backfill.toml, line 15 (connection prod)
    --connection  prod  flag
    ");
    // The password of the environment belongs to a connection that has none.
    assert_text_snapshot!(shown(named(&["--connection", "bare"])), @"
    --claim-timeout  2m  clickhouse-backfill.toml, line 21
    --clickhouse-url  http://four.example:8123  clickhouse-backfill.toml, line 18 (connection bare)
    --clickhouse-password  (hidden)  environment, CLICKHOUSE_PASSWORD
    --connection  bare  flag
    ");
    // A flag still overrides a value of the connection; variables do where they name it.
    let tool = show(&["--connection=bare", "history", "--clickhouse-db=mine"]);
    assert_text_snapshot!(shown(tool), @"
    --claim-timeout  2m  clickhouse-backfill.toml, line 21
    --clickhouse-url  http://four.example:8123  clickhouse-backfill.toml, line 18 (connection bare)
    --clickhouse-db  mine  flag
    --connection  bare  flag
    ");
    assert_text_snapshot!(shown(named(&[]).env("CONNECTION", "prod")), @"
    --claim-timeout  2m  clickhouse-backfill.toml, line 21
    --clickhouse-url  http://five.example  environment, CLICKHOUSE_URL
    --clickhouse-user  eve  environment, CLICKHOUSE_USER
    --clickhouse-password  (hidden)  environment, CLICKHOUSE_PASSWORD
    --clickhouse-db  other  environment, CLICKHOUSE_DB
    --source-url  http://three.example:8123  clickhouse-backfill.toml, line 14 (connection prod)
    --source-user  eve  environment, SOURCE_USER
    --source-password  (hidden)  clickhouse-backfill.toml, line 15 (connection prod)
    --connection  prod  environment, CONNECTION
    ");
    let tool = named(&[]).file(".env", "CONNECTION=prod\n");
    assert_text_snapshot!(shown(tool), @"
    --claim-timeout  2m  clickhouse-backfill.toml, line 21
    --clickhouse-url  http://five.example  environment, CLICKHOUSE_URL
    --clickhouse-user  eve  environment, CLICKHOUSE_USER
    --clickhouse-password  (hidden)  environment, CLICKHOUSE_PASSWORD
    --clickhouse-db  other  environment, CLICKHOUSE_DB
    --source-url  http://three.example:8123  clickhouse-backfill.toml, line 14 (connection prod)
    --source-user  eve  environment, SOURCE_USER
    --source-password  (hidden)  clickhouse-backfill.toml, line 15 (connection prod)
    --connection  prod  .env, line 1
    ");
    let tool = show(&["history"]).file(".env", "CONNECTION=prod\nCLICKHOUSE_USER=eve\n");
    assert_text_snapshot!(shown(tool), @"
    --claim-timeout  2m  clickhouse-backfill.toml, line 21
    --clickhouse-url  https://two.example:8443  clickhouse-backfill.toml, line 8 (connection prod)
    --clickhouse-user  eve  .env, line 2
    --clickhouse-password-file  prod-password  clickhouse-backfill.toml, line 11 (connection prod)
    --source-url  http://three.example:8123  clickhouse-backfill.toml, line 14 (connection prod)
    --source-password  (hidden)  clickhouse-backfill.toml, line 15 (connection prod)
    --connection  prod  .env, line 1
    ");
    let file = format!("{FILE}[history]\nconnection = 'prod'\nclickhouse-user = 'eve'\n");
    let tool = show(&["history"]).file("clickhouse-backfill.toml", &file);
    assert_text_snapshot!(shown(tool), @"
    --claim-timeout  2m  clickhouse-backfill.toml, line 21
    --clickhouse-url  https://two.example:8443  clickhouse-backfill.toml, line 8 (connection prod)
    --clickhouse-user  eve  clickhouse-backfill.toml, line 35
    --clickhouse-password-file  prod-password  clickhouse-backfill.toml, line 11 (connection prod)
    --source-url  http://three.example:8123  clickhouse-backfill.toml, line 14 (connection prod)
    --source-password  (hidden)  clickhouse-backfill.toml, line 15 (connection prod)
    --connection  prod  clickhouse-backfill.toml, line 34
    ");
}

/// An empty variable counts as not set, as `.env.example` has lines of this form.
#[test]
fn an_empty_variable_leaves_the_value_of_the_file() {
    let tool =
        show(&["history"]).env("CLICKHOUSE_USER", "").env("CONFIG", "").env("CONNECTION", "");
    assert_text_snapshot!(shown(tool), @"
    --claim-timeout  2m  clickhouse-backfill.toml, line 21
    --clickhouse-url  http://one.example:8123  clickhouse-backfill.toml, line 3
    --clickhouse-user  ann  clickhouse-backfill.toml, line 4
    --clickhouse-password  (hidden)  clickhouse-backfill.toml, line 5
    ");
}

#[test]
fn a_flag_takes_back_what_excludes_it_in_the_file() {
    let file = "[common]\njson = true\n[run]\nquiet = true\n";
    let tool = |words: &[&str]| {
        binary().args(words).file("clickhouse-backfill.toml", file).file("job.toml", JOB)
    };
    let json = tool(&["pack", "list"]).run().expect(0);
    let shown = tool(&["config", "show", "--format", "text", "run", "-v"]).run().expect(0);
    assert!(shown.stdout.starts_with("--partition "), "{shown}");
    let of = |flag: &str| {
        let line = shown.stdout.lines().find(|line| line.starts_with(&format!("{flag} ")));
        line.unwrap().split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((of("--quiet"), of("--verbose")), ("false default".into(), "1 flag".into()));
    assert!(json.stderr.is_empty(), "{json}");
}

/// What a next command finds in the file is left out, and what it finds otherwise is written.
#[test]
fn next_commands_are_right_where_values_are_from_the_file() {
    let orders = Orders::on(Server::shared(), 10);
    let server = &orders.server;
    let connection = format!("{}password = '{}'\n", database(server), server.password());
    let tool = |file: &str, words: &[&str]| {
        let tool =
            binary().args(words).file("job.toml", JOB).file("clickhouse-backfill.toml", file);
        tool.file("other.toml", file)
    };
    let next = |tool: Binary| {
        let output = tool.run().expect(0);
        let all = format!("{}\n{}", output.stdout, output.stderr);
        let is_next = |line: &&str| line.trim_start().starts_with("next");
        let line = all.lines().find(is_next).unwrap_or_else(|| panic!("{output}")).to_owned();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let common = format!("[common]\njob = 'job.toml'\npartition = {PARTITION}\n");
    let file = format!("[database.clickhouse]\n{connection}{common}");
    let named = format!("[connections.prod]\n{connection}{common}");
    let chosen = ["--config", "other.toml", "--connection", "prod"];
    // Only `plan` has the file: `run` would look for other rows.
    let of_plan = format!("{file}[plan]\nwhere = ['paid']\nmeasure = '0s'\nmemory = '1GiB'\n");
    let of_both = format!("{file}[run]\nmemory = '1GiB'\n");
    let cases = [
        next(tool(&file, &["status"])),
        next(tool(&named, &[&["status"], &chosen[..]].concat())),
        next(tool(&named, &[&["plan", "--measure=0s"], &chosen[..]].concat())),
        next(tool(&of_both, &["plan", "--measure=0s"])),
        next(tool(&of_plan, &["plan"]).file("job.toml", &with_filter())),
        next(
            tool(&file, &["status"]).env("JOB", "job.toml").env("CLICKHOUSE_DB", server.database()),
        ),
    ];
    assert_text_snapshot!(cases.join("\n"), @"
    next clickhouse-backfill run --job job.toml --partition 202506
    next clickhouse-backfill run --config other.toml --connection prod --job job.toml --partition 202506
    next clickhouse-backfill run --config other.toml --connection prod --partition 202506
    next clickhouse-backfill run --partition 202506
    next clickhouse-backfill run --where paid --memory 1GiB --partition 202506
    next clickhouse-backfill run --job job.toml --partition 202506
    ");
}

/// The job with a filter.
fn with_filter() -> String {
    JOB.replacen("[lookup]", "[source.filters]\npaid = 'source.id > 0'\n\n[lookup]", 1)
}

#[test]
fn a_run_takes_everything_from_the_file_and_tells_no_secret() {
    let orders = Orders::on(Server::shared(), 100);
    let server = &orders.server;
    let log = orders.file("run.log");
    let file = format!(
        "\u{feff}[database]\nbackend = 'clickhouse'\n[database.clickhouse]\n{}password_file = 'password'\n\
         [common]\njob = 'job.toml'\nledger = 'file:ledger'\npartition = {PARTITION}\n\
         [run]\nbatch-size = 7\nverbose = 2\nlog-file = '{}'\nno-progress = true\n\
         [connections.other]\npassword = 'Tangerine'\n",
        database(server),
        log.display()
    );
    let tool = binary().arg("run").file("job.toml", JOB).file("password", server.password());
    let output = tool.file("config.toml", &file).env("CONFIG", "config.toml").run().expect(0);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(output.stderr.contains("batches     7 rows"), "{output}");
    assert!(log.contains("DEBUG"), "{log}");
    assert!(!format!("{output}{log}").contains("Tangerine"), "{output}");
    orders.assert_complete();
}

/// `init` writes what the file does not have, and the file stays in use.
#[test]
fn init_leaves_what_the_file_has_to_the_file() {
    let orders = Orders::on(Server::shared(), 10);
    let server = &orders.server;
    let file = format!(
        "[connections.prod]\n{}password = '{}'\n[common]\nclaim-timeout = '2m'\n[init]\nlookup = 'customers'\n",
        database(server),
        server.password()
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("other.toml"), file).unwrap();
    let tool =
        |words: &[&str]| binary().after(&format!("cd {}", folder.path().display())).args(words);
    let written = tool(&["init", "--config=other.toml", "--connection=prod", "--source=orders"])
        .arg("--target=shipments")
        .run()
        .expect(0);
    assert!(written.stdout.contains("guess: source.customer finds lookup.id"), "{written}");
    let dotenv = std::fs::read_to_string(folder.path().join(".env")).unwrap();
    assert_text_snapshot!(dotenv, @r"
    # Written by `clickhouse-backfill init`. A flag overrides the environment, and the environment this file.
    # .env.example of the program lists all variables.
    CONFIG=other.toml
    CONNECTION=prod
    JOB=job.toml
    ");
    tool(&["plan", "--measure=0s", "--partition", PARTITION]).run().expect(0);
}
