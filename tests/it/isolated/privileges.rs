//! Users with exactly the rights that docs/reference/grants.md lists, and what is shown where one of them is missing.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use crate::oracle::fixture::{DECEMBER, YEAR_2026, adversarial_on, assert_filled, number, oracle};
use crate::support::{Binary, Output, Server, ServerOptions, binary};

const PARTITION: &str = "202511";

/// As the packages of ClickHouse configure it: tables of `system` that tell of others' data need a
/// grant.
const CONFIG: &str = "<clickhouse><access_control_improvements><select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>\
    </access_control_improvements></clickhouse>";

/// The grants of that page, as (user, grant).
fn grants() -> Vec<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/grants.md");
    let page = std::fs::read_to_string(page).unwrap();
    let grant = |line: &str| {
        let (grant, user) = line.strip_prefix("GRANT ")?.strip_suffix(';')?.rsplit_once(" TO ")?;
        Some((user.to_owned(), grant.to_owned()))
    };
    let grants: Vec<_> = page.lines().filter_map(grant).collect();
    assert!(KINDS.iter().all(|kind| grants.iter().any(|(user, _)| user == kind)), "{grants:?}");
    grants
}

/// The users of that page.
const KINDS: [&str; 4] = ["reader", "writer", "verifier", "repairer"];

/// Each user with its grants; and for each grant a user of the same kind who lacks it, named
/// `reader0` and so on by its position in the list.
fn users(grants: &[(String, String)]) -> String {
    let user = |name: &str, profile: &str, granted: &[&String]| {
        let granted = granted
            .iter()
            .map(|grant| format!("<query>GRANT {grant}</query>"))
            .collect::<Vec<_>>()
            .concat();
        format!(
            "<{name}><password>secret</password><networks><ip>::/0</ip></networks><profile>{profile}</profile><quota>default</quota>
            <grants>{granted}</grants></{name}>"
        )
    };
    let of = |kind: &str, lacking: Option<usize>| -> Vec<&String> {
        // Who may create a table may create a temporary one as well.
        let temporary = lacking.is_some_and(|lacking| {
            grants.get(lacking).is_some_and(|(_, grant)| grant.contains("TEMPORARY"))
        });
        let implied = |grant: &str| temporary && grant.starts_with("CREATE TABLE");
        let kept = grants.iter().enumerate();
        let kept = kept.filter(|(position, (user, grant))| {
            user == kind && Some(*position) != lacking && !implied(grant)
        });
        kept.map(|(_, (_, grant))| grant).collect()
    };
    let profile = |kind: &str| if kind == "reader" { "reading" } else { "default" };
    let whole = KINDS.map(|kind| user(kind, profile(kind), &of(kind, None))).concat();
    let lacking = grants.iter().enumerate();
    let lacking: String = lacking
        .map(|(position, (kind, _))| {
            user(&format!("{kind}{position}"), profile(kind), &of(kind, Some(position)))
        })
        .collect();
    format!(
        "<clickhouse><profiles><reading><readonly>2</readonly></reading></profiles><users>{whole}{lacking}</users></clickhouse>"
    )
}

fn server(grants: &[(String, String)]) -> Server {
    let options = ServerOptions {
        config_xml: Some(CONFIG.to_owned()),
        users_xml: Some(users(grants)),
        ..Default::default()
    };
    adversarial_on(Server::isolated_with(options), DECEMBER)
}

fn tool(server: &Server, reader: &str, writer: &str, arguments: &[&str]) -> Binary {
    let tool =
        binary().env("CLICKHOUSE_URL", server.url()).env("PARTITION", PARTITION).args(arguments);
    let tool = tool.env("CLICKHOUSE_USER", writer).env("CLICKHOUSE_PASSWORD", "secret");
    let tool = tool.env("RESTART", "true");
    tool.env("SOURCE_USER", reader).env("SOURCE_PASSWORD", "secret")
}

#[test]
#[ignore = "slow: about 17 s"]
fn the_listed_rights_are_enough() {
    let grants = grants();
    let server = server(&grants);
    let run = |arguments: &[&str]| tool(&server, "reader", "writer", arguments).run().expect(0);
    let plan = run(&["plan"]).stdout;
    assert!(plan.contains("user reader") && plan.contains("user writer"), "{plan}");
    let rehearsed = run(&["run", "--dry-run", "--show-rows", "1", "--exclude-dataset-items"]);
    assert!(rehearsed.stdout.contains("span_id"), "{rehearsed}");
    assert_eq!(number(&server, "SELECT count() FROM events"), 0);
    let filled = run(&["run", "--show-rows", "1"]);
    assert!(filled.stdout.contains("span_id") && !filled.stderr.contains("WARN"), "{filled}");
    assert_filled(&server, "events", PARTITION, &oracle(PARTITION));

    let verified = tool(&server, "reader", "verifier", &["verify"]).run().expect(0);
    assert!(
        verified.stdout.contains("those of run ") && !verified.stderr.contains("WARN"),
        "{verified}"
    );
    spoil(&server);
    tool(&server, "reader", "verifier", &["verify"]).run().expect(4);
    let repaired = tool(&server, "reader", "repairer", &["repair", "--remove"]).run().expect(0);
    assert!(
        repaired.stderr.contains("removed 1 row, ") && !repaired.stderr.contains("WARN"),
        "{repaired}"
    );
    assert_filled(&server, "events", PARTITION, &oracle(PARTITION));
}

/// A row that differs, and one that should not be there.
fn spoil(server: &Server) {
    for (replace, row) in [("'spoilt' AS name", 1), ("'too many' AS span_id", 2)] {
        let row = format!(
            "SELECT * FROM events FINAL WHERE _partition_id = '{PARTITION}' AND span_id = 'null-observation-{row}'"
        );
        server.query(&format!("INSERT INTO events SELECT * REPLACE ({replace}) FROM ({row})"));
    }
}

/// What each missing grant leads to: the arguments that need it, the exit code, and the words that
/// must be said.
fn without(grant: &str) -> (&'static [&'static str], i32, &'static [&'static str]) {
    match grant {
        "SELECT ON default.observations" => (
            &["run"],
            3,
            &[
                "the source table default.observations does not exist, or the user has no right",
                "needs SELECT ON default.observations",
            ],
        ),
        "SELECT ON default.traces" => (
            &["run"],
            3,
            &[
                "the lookup table default.traces does not exist, or the user has no right",
                "needs SELECT ON default.traces",
            ],
        ),
        "SELECT ON default.dataset_run_items_rmt" => (
            &["run", "--exclude-dataset-items"],
            3,
            &[
                "the server rejects the exclusion",
                "the grant SELECT ON default.dataset_run_items_rmt",
            ],
        ),
        "SELECT ON default.events" => {
            (&["run"], 3, &["the server rejects the search for live rows", "ON default.events"])
        }
        "SELECT ON system.parts" => {
            (&["run"], 0, &["GRANT SELECT ON system.parts", "unknown size"])
        }
        "ALTER DELETE ON default.events" => (
            &["run"],
            0,
            &[
                "removal: rows that are removed or deleted in the source stay in default.events (the user ",
            ],
        ),
        "INSERT ON default.events" => (
            &["run"],
            3,
            &["the server refuses the insert of a run", "ACCESS_DENIED", "the grant INSERT("],
        ),
        "CREATE TEMPORARY TABLE ON *.*" => (
            &["run", "--dry-run"],
            3,
            &["the server refuses the insert", "ACCESS_DENIED", "CREATE TEMPORARY TABLE ON *.*"],
        ),
        "CREATE TABLE, SELECT, INSERT ON default.load_state"
        | "CREATE TABLE, SELECT, INSERT ON default.load_state_chunks"
        | "CREATE TABLE, SELECT, INSERT ON default.load_claims" => (
            &["run"],
            3,
            &["the ledger's table default.load_", "ACCESS_DENIED", "--ledger file:DIR"],
        ),
        "CREATE TABLE, SELECT, INSERT ON default.load_samples" => {
            (&["run"], 0, &["completed: ", "its report will not show how it went", "ACCESS_DENIED"])
        }
        // Runs before this one have created the tables.
        "TABLE ENGINE ON ReplacingMergeTree" => (&["run"], 0, &["completed: "]),
        other => {
            panic!("the page lists the grant {other}, and nothing says what its absence leads to")
        }
    }
}

#[test]
#[ignore = "slow: about 10 s"]
fn each_right_that_is_missing_is_named() {
    let grants = grants();
    let server = server(&grants);
    let running =
        grants.iter().enumerate().filter(|(_, (kind, _))| matches!(&**kind, "reader" | "writer"));
    for (position, (kind, grant)) in running {
        let (arguments, code, words) = without(grant);
        let lacking = format!("{kind}{position}");
        let (reader, writer) = if kind == "reader" {
            (lacking.as_str(), "writer")
        } else {
            ("reader", lacking.as_str())
        };
        let output: Output = tool(&server, reader, writer, arguments).run().expect(code);
        for part in words {
            assert!(output.stderr.contains(part), "without {grant}: {part:?} is not in\n{output}");
        }
        if code == 0 {
            assert_filled(&server, "events", PARTITION, &oracle(PARTITION));
            server.query("TRUNCATE TABLE events");
        } else {
            assert_eq!(
                number(&server, "SELECT count() FROM events"),
                0,
                "without {grant}\n{output}"
            );
        }
    }
}

/// The same for who compares and mends: kind and grant, the exit code, and the words.
const WITHOUT: [(&str, &str, i32, &[&str]); 13] = [
    (
        "verifier",
        "CREATE TABLE, INSERT ON default.load_verifications",
        4,
        &["the result is not in the ledger"],
    ),
    (
        "repairer",
        "CREATE TABLE, INSERT ON default.load_verifications",
        0,
        &["the result is not in the ledger"],
    ),
    // Comparisons before this one have created the table.
    ("verifier", "TABLE ENGINE ON ReplacingMergeTree", 4, &[]),
    ("repairer", "TABLE ENGINE ON ReplacingMergeTree", 0, &[]),
    ("verifier", "SELECT ON system.parts", 4, &["GRANT SELECT ON system.parts"]),
    ("repairer", "SELECT ON system.parts", 0, &["GRANT SELECT ON system.parts"]),
    (
        "verifier",
        "SELECT ON default.events",
        3,
        &[
            "the target table default.events does not exist, or the user has no right",
            "SELECT ON default.events",
        ],
    ),
    ("verifier", "SELECT ON default.load_state", 4, &["the ledger cannot be read"]),
    (
        "repairer",
        "SELECT ON default.events",
        3,
        &["ACCESS_DENIED", "the grant SELECT", "hint: the user needs SELECT ON default.events"],
    ),
    (
        "repairer",
        "INSERT ON default.events",
        3,
        &["the server refuses the insert of a repair", "ACCESS_DENIED"],
    ),
    (
        "repairer",
        "ALTER DELETE ON default.events",
        3,
        &[
            "the check removal blocks the repair --remove",
            "hint: GRANT ALTER DELETE ON default.events TO repairer",
        ],
    ),
    ("repairer", "SELECT ON default.load_state", 0, &["the ledger cannot be read"]),
    (
        "repairer",
        "SELECT, INSERT ON default.load_claims",
        3,
        &[
            "ACCESS_DENIED",
            "hint: the user needs SELECT and INSERT on the ledger's table load_claims",
        ],
    ),
];

#[test]
#[ignore = "slow: about 51 s"]
fn each_right_that_is_missing_for_verify_and_repair_is_named() {
    let grants = grants();
    let server = server(&grants);
    tool(&server, "reader", "writer", &["run"]).run().expect(0);
    tool(&server, "reader", "verifier", &["verify"]).run().expect(0);
    let comparing = grants
        .iter()
        .enumerate()
        .filter(|(_, (kind, _))| matches!(&**kind, "verifier" | "repairer"));
    for (position, (kind, grant)) in comparing {
        spoil(&server);
        let found = WITHOUT.iter().find(|(whose, what, ..)| (*whose, *what) == (&**kind, &**grant));
        let (.., code, words) = found.unwrap_or_else(|| {
            panic!("the page lists {grant} for {kind}, and nothing says what its absence leads to")
        });
        let arguments: &[&str] =
            if kind == "verifier" { &["verify"] } else { &["repair", "--remove"] };
        let output =
            tool(&server, "reader", &format!("{kind}{position}"), arguments).run().expect(*code);
        for part in *words {
            assert!(
                output.stderr.contains(part),
                "{kind} without {grant}: {part:?} is not in\n{output}"
            );
        }
    }
}

/// A target without a mark for deleted rows.
#[test]
fn removing_by_delete_needs_a_right_of_its_own() {
    let tables = [
        "SELECT ON default.stored",
        "SELECT ON default.copies",
        "INSERT ON default.copies",
        "ALTER DELETE ON default.copies",
    ];
    let grants: Vec<_> =
        tables.iter().map(|grant| ("writer".to_owned(), (*grant).to_owned())).collect();
    let options = ServerOptions {
        config_xml: Some(CONFIG.to_owned()),
        users_xml: Some(users(&grants)),
        ..Default::default()
    };
    let server = Server::isolated_with(options);
    server.script(
        "CREATE TABLE stored (number UInt32, version UInt8) ENGINE = ReplacingMergeTree(version) ORDER BY number
         --;;
         CREATE TABLE copies AS stored
         --;;
         INSERT INTO stored SELECT number, 1 FROM numbers(100)
         --;;
         INSERT INTO copies SELECT number, 1 FROM numbers(101)",
    );
    let job = "name = 'x'\n[source]\ntable = 'stored'\nfinal = true\nversion = 'version'\n[target]\ntable = 'copies'\n\
               [columns]\nnumber = 'source.number'\nversion = 'source.version'\n";
    let repair = |user: &str| {
        let arguments = ["repair", "--remove", "--job", "job.toml", "--partition", "id:all"];
        tool(&server, user, user, &arguments).file("job.toml", job)
    };
    let output = repair("writer3").run().expect(1);
    assert!(
        output.stderr.contains("ALTER DELETE") && output.stderr.contains("removing 1 row"),
        "{output}"
    );
    let output = repair("writer").run().expect(0);
    assert!(output.stderr.contains("each by DELETE"), "{output}");
    assert_eq!(number(&server, "SELECT count() FROM copies"), 100);
}

/// What the rights to remove rows from a target and from the table behind its view are, and what is
/// said where one is missing.
#[test]
#[ignore = "slow: about 18 s"]
fn removing_rows_behind_a_view_needs_rights_on_both() {
    let all = [
        "SELECT ON default.observations",
        "SELECT ON default.traces",
        "SELECT, INSERT ON default.events_full",
        "ALTER DELETE ON default.events_full",
        "SHOW TABLES ON default.events_core_view",
        "SELECT, ALTER DELETE ON default.events_core",
        "SELECT ON system.parts",
    ];
    let grants: Vec<_> =
        all.iter().map(|grant| ("writer".to_owned(), (*grant).to_owned())).collect();
    let options = ServerOptions {
        config_xml: Some(CONFIG.to_owned()),
        users_xml: Some(users(&grants)),
        ..Default::default()
    };
    let server = adversarial_on(Server::isolated_with(options), YEAR_2026);
    let tool = |user: &str, arguments: &[&str]| {
        let ledger = ["--ledger", "file:ledger", "--target-table", "events_full"];
        tool(&server, user, user, arguments).args(&ledger)
    };
    let run = tool("writer", &["run"]).run().expect(0);
    assert!(!run.stderr.contains("removal: "), "{run}");
    server.query("INSERT INTO events_full SELECT * REPLACE ('too many' AS span_id) FROM (SELECT * FROM events_full WHERE span_id = 'null-observation-1')");
    for (lacking, table, grant) in [
        ("writer3", "events_full", "GRANT ALTER DELETE ON default.events_full TO writer3"),
        ("writer4", "events_core_view", "GRANT SHOW TABLES ON default.events_core_view TO writer4"),
        ("writer5", "events_core", "GRANT SELECT, ALTER DELETE ON default.events_core TO writer5"),
    ] {
        let run = tool(lacking, &["run"]).run().expect(0);
        let words = format!(
            "removal: rows that are removed or deleted in the source stay in default.{table} ("
        );
        assert!(run.stderr.contains(&words), "{words}\n{run}");
        let output = tool(lacking, &["repair", "--remove"]).run().expect(3);
        assert!(output.stderr.contains(grant), "{grant}\n{output}");
    }
    let seen = |table: &str| {
        number(&server, &format!("SELECT count() FROM {table} WHERE span_id = 'too many'"))
    };
    assert_eq!((seen("events_full"), seen("events_core")), (1, 1));
    tool("writer", &["repair", "--remove"]).run().expect(0);
    assert_eq!((seen("events_full"), seen("events_core")), (0, 0));
}

/// Without the names of parts in `system.parts` the partition is cut in the same places.
#[test]
fn chunks_do_not_depend_on_the_right_to_see_parts() {
    let tables = ["SELECT ON default.narrow", "INSERT ON default.copy"];
    let grants: Vec<_> = tables
        .iter()
        .chain(&["SELECT ON system.parts"])
        .map(|grant| ("writer".to_owned(), (*grant).to_owned()))
        .collect();
    let options = ServerOptions {
        config_xml: Some(CONFIG.to_owned()),
        users_xml: Some(users(&grants)),
        ..Default::default()
    };
    let server = Server::isolated_with(options);
    server.script(
        "CREATE TABLE narrow (key UInt64) ENGINE = MergeTree ORDER BY key\n--;;\nCREATE TABLE copy AS narrow ENGINE = ReplacingMergeTree ORDER BY key\n--;;\n\
         INSERT INTO narrow SELECT number FROM numbers(2500000) SETTINGS max_insert_block_size = 3000000, min_insert_block_size_rows = 3000000",
    );
    let job = "name = 'x'\n[source]\ntable = 'narrow'\n[target]\ntable = 'copy'\n[columns]\nkey = 'source.key'\n";
    let chunks = |user: &str| {
        let tool =
            tool(&server, user, user, &["plan", "--job", "job.toml", "--partition", "id:all"])
                .file("job.toml", job);
        let plan = tool.args(&["--measure", "0s", "--json"]).run().expect(0).stdout;
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        plan["chunks"].as_array().unwrap().clone()
    };
    let seen = chunks("writer");
    assert!(seen.len() > 1, "{seen:?}");
    assert_eq!(chunks("writer2"), seen);
}
