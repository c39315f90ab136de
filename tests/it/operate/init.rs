//! `init`: a job file and `.env` from what the server says about the tables.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::orders::{Orders, PARTITION};
use crate::support::shown::titled;
use crate::support::{Binary, assert_text_snapshot, binary};

/// The tool in this folder.
fn tool(folder: &Path) -> Binary {
    binary().after(&format!("cd {}", folder.display()))
}

fn init(orders: &Orders, folder: &Path, more: &[&str]) -> Binary {
    tool(folder).envs(&orders.server.environment()).arg("init").args(more)
}

const TABLES: [&str; 6] = ["--source", "orders", "--lookup", "customers", "--target", "shipments"];

#[test]
fn a_drafted_job_is_planned_run_and_verified_with_the_written_files_alone() {
    let orders = Orders::start(1_000);
    // A merge would change the number of stored rows.
    orders.server.query("OPTIMIZE TABLE orders FINAL");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let written = init(&orders, folder, &TABLES).run().expect(0);
    assert_text_snapshot!(written.stdout, @"
    wrote job.toml: default.orders into default.shipments, 8 columns
    wrote .env, readable by this user alone
    guess: source.customer finds lookup.id
    default.orders has 1 partition; the smallest is 202506, with 1,000 rows
    next: clickhouse-backfill plan --job job.toml --partition 202506
    ");
    let job = std::fs::read_to_string(folder.join("job.toml")).unwrap();
    assert_text_snapshot!(job, @r#"
    # A draft by `clickhouse-backfill init`, from the names, types, keys and engines of the tables.
    # Lines with `guess:` are to be checked. `clickhouse-backfill plan --job FILE --partition P` checks the job
    # against its tables; docs/reference/job-file.md lists all keys.
    name = "shipments"

    [source]
    table = "orders"
    final = true    # rows of a ReplacingMergeTree: only the newest version of each
    version = "version"
    deleted = "is_deleted"
    join_key = ["customer"]    # guess: by name and type

    [lookup]
    table = "customers"
    join_key = ["id"]
    version = "version"
    deleted = "is_deleted"

    [target]
    table = "shipments"
    # owned = "source = 'backfill'"    # a condition on the rows of this job, for verify, repair and undo

    [columns]
    order_id = "source.id"    # guess: by name
    customer = "source.customer"
    placed = "source.placed"
    amount = "source.amount"
    note = "source.note"
    tags = "lookup.tags"
    letter = "lookup.letter"
    version = "source.version"
    "#);
    let mode = std::fs::metadata(folder.join(".env")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let partition = ["--partition", PARTITION];
    tool(folder).args(&["plan", "--measure", "0s"]).args(&partition).run().expect(0);
    tool(folder).arg("run").args(&partition).run().expect(0);
    tool(folder).arg("verify").args(&partition).run().expect(0);
    let filled = "SELECT count(), countIf(tags != []), countIf(letter != '') FROM shipments FINAL";
    let expected = "SELECT count(), countIf(c.tags != []), countIf(c.letter != '') FROM (SELECT * FROM orders FINAL) AS o \
        LEFT ANY JOIN (SELECT * FROM customers FINAL) AS c ON o.customer = c.id";
    assert_eq!(orders.server.text(filled), orders.server.text(expected));

    // Nothing is overwritten.
    std::fs::write(folder.join(".env"), "CLICKHOUSE_DB=other\n").unwrap();
    let cases = [
        ("the file is there", init(&orders, folder, &TABLES)),
        (
            "another file",
            init(&orders, folder, &[&TABLES[..], &["--output", "other.toml"]].concat()),
        ),
    ];
    let shown = cases.map(|(case, tool)| (case, tool.run().everything()));
    assert_text_snapshot!(titled(shown), @"
    # the file is there
    exit code 2
    --- stderr
    error: the file job.toml exists, and init overwrites nothing
    hint: --output names another file

    # another file
    exit code 0
    --- stdout
    wrote other.toml: default.orders into default.shipments, 8 columns
    .env exists and stays as it is
    guess: source.customer finds lookup.id
    default.orders has 1 partition; the smallest is 202506, with 1,000 rows
    next: clickhouse-backfill plan --job other.toml --partition 202506
    ");
    assert_eq!(std::fs::read_to_string(folder.join(".env")).unwrap(), "CLICKHOUSE_DB=other\n");
    assert_eq!(std::fs::read_to_string(folder.join("job.toml")).unwrap(), job);

    // A first try is short in the smallest partition.
    orders.server.query(
        "INSERT INTO orders SELECT id, customer, placed - INTERVAL 2 MONTH, amount, 1, 0, note FROM orders LIMIT 10",
    );
    let third = init(&orders, folder, &[&TABLES[..], &["--output", "third.toml"]].concat());
    let third = third.run().expect(0);
    let words = "default.orders has 2 partitions; the smallest is 202504, with 10 rows\n\
        next: clickhouse-backfill plan --job third.toml --partition 202504\n";
    let words = words.replace("default", orders.server.database());
    assert!(third.stdout.ends_with(&words), "{third}");
}

#[test]
fn what_cannot_be_drafted_is_refused_and_nothing_is_written() {
    let orders = Orders::start(10);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let with = |more: &[&str]| init(&orders, folder, more);
    let cases = [
        ("no terminal", with(&[])),
        ("no such table", with(&["--source", "order", "--target", "shipments"])),
        ("no target", with(&["--source", "orders", "--target", "filled"])),
        ("no key", with(&["--source", "customers", "--lookup", "orders", "--target", "shipments"])),
        ("no such column", with(&[&TABLES[..], &["--join", "client=id"]].concat())),
        ("half a pair", with(&[&TABLES[..], &["--join", "client"]].concat())),
    ];
    let shown = cases.map(|(case, tool)| (case, tool.run().failure()));
    assert_text_snapshot!(titled(shown), @"
    # no terminal
    exit code 2
    error: --source and --target are needed where there is no terminal to ask at
    hint: tables of default: customers, orders, shipments, expected

    # no such table
    exit code 2
    error: the source table default.order does not exist; did you mean orders?
    hint: tables of default: customers, orders, shipments, expected

    # no target
    exit code 2
    error: the target table default.filled does not exist
    hint: tables of default: customers, orders, shipments, expected
    hint: create the target with the columns that it is to have, as a ReplacingMergeTree, or with non_replicated_deduplication_window

    # no key
    exit code 2
    error: no column of customers seems to be customer of orders (String)
    hint: --join COLUMN=customer names the column of the source

    # no such column
    exit code 2
    error: orders has no column client
    hint: --join SOURCE=LOOKUP names a column of each

    # half a pair
    exit code 2
    error: invalid value 'client' for '--join <SOURCE=LOOKUP>': give a column of the source and one of the lookup, such as user_id=id
    hint: `--help` behind the command explains its flags
    ");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
}
