//! What no load of objects can do is refused by name, before a row is written.

use super::fixture::{Export, MONTH, rows};
use crate::support::Binary;

/// Asserts that a command fails with these words.
#[track_caller]
fn refused(tool: Binary, code: i32, words: &[&str]) {
    let output = tool.run().expect(code);
    for words in words {
        assert!(output.stderr.contains(words), "{words}\n{output}");
    }
}

#[test]
fn objects_that_are_not_there_or_cannot_be_read_are_named() {
    let export = Export::delivered();
    let job = export.job();
    let empty = export.run().arg("--partition=2025-11");
    refused(empty, 3, &["month={period}/*.parquet", "the period 2025-11 has no object"]);
    std::fs::write(export.path("damaged.parquet"), "PAR1 and no footer").unwrap();
    refused(export.run(), 3, &["damaged.parquet cannot be read"]);
    export.remove("damaged.parquet");

    // A column that one object lacks.
    export.write("b.parquet", &format!("SELECT * EXCEPT tags FROM ({})", rows(1000, 500)));
    let words =
        ["the column tags is missing in 1 of 2 objects", "b.parquet", "optional under [source]"];
    refused(export.run(), 3, &words);
    assert_eq!(export.text(&format!("SELECT count() FROM {MONTH}")), "0");
    let optional =
        job.replace("format = \"Parquet\"", "format = \"Parquet\"\noptional = [\"tags\"]");
    let run = export.run_of(&optional).run().expect(0);
    assert!(run.stderr.contains("note"), "{run}");
    assert_eq!(
        export.text(&format!(
            "SELECT count(), sum(length(tags)), sumIf(length(tags), id >= 1000) FROM {MONTH}"
        )),
        format!("1500\t{}\t0", (0..1000).map(|id| id % 4).sum::<u64>())
    );
    export.command_of("verify", &optional).run().expect(0);
}

#[test]
fn what_only_a_table_can_have_is_refused() {
    let export = Export::delivered();
    let job = export.job();
    refused(export.command("run").args(&["--engine", "stream"]), 3, &["the server reads them"]);
    refused(export.command("repair"), 3, &["the job reads no table"]);
    // So another command is recommended where rows are missing.
    let words = "--engine server --restart` reads all objects again";
    refused(export.command("verify"), 4, &["hint: `clickhouse-backfill run --job job.toml", words]);
    refused(export.run().args(&["--worker", "1/2"]), 3, &["leave --worker out"]);
    let final_ = job.replace("format", "final = true\nformat");
    refused(
        export.plan_of(&final_),
        2,
        &["job.toml, line 3", "final, which only a table can have"],
    );
    let csv = job.replace("\"Parquet\"", "\"CSVWithNames\"");
    refused(export.plan_of(&csv), 2, &["need [source.structure]"]);
    let several = export.command("run").env_remove("PARTITION").args(&["--engine", "server"]);
    refused(several.arg("--partitions=202510..202511"), 3, &["for one period"]);
}

#[test]
fn rows_of_other_loads_are_not_replaced() {
    let export = Export::delivered();
    // The table has rows of other periods in its only partition.
    export
        .server
        .query("CREATE TABLE whole (id UInt64, account String) ENGINE = MergeTree ORDER BY id");
    let whole = "table = \"whole\"\npublish = \"replace\"\n\n[columns]\nid = \"source.id\"\naccount = \"source.account\"\n";
    let job = format!(
        "name = \"w\"\n[source]\n{}\nformat = \"Parquet\"\n[target]\n{whole}",
        export.source("*.parquet")
    );
    refused(export.run_of(&job), 3, &["it is not partitioned"]);

    // Another period has rows of the same month.
    export.run().run().expect(0);
    let other = export.path("").replace("2025-10", "2025-12");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::copy(export.path("a.parquet"), format!("{other}/a.parquet")).unwrap();
    let run = export.run().arg("--partition=2025-12");
    refused(run, 3, &["its partition 202510 has the rows of another load, partition 2025-10"]);
    export.assert_loaded();
}

#[test]
fn a_manifest_that_does_not_fit_the_objects_is_refused() {
    let export = Export::delivered();
    let manifest = export.source("list*.json").replacen("objects", "manifest = { object", 1);
    let manifest = format!("{manifest}, files = \"files\" }}\nformat");
    let job = export.job().replacen("format", &manifest, 1);
    let period = export.run_of(&job);
    refused(period, 3, &["the period 2025-10 needs one manifest at ", "and has none"]);
    let write = |name: &str, text: &str| std::fs::write(export.path(name), text).unwrap();
    write("list.json", r#"{"files": ["b.parquet", "c.parquet"]}"#);
    let words = "list.json: it names c.parquet, which is not among the objects";
    refused(export.run_of(&job), 3, &[words]);
    write("list.json", r#"{"file": ["b.parquet"]}"#);
    refused(export.run_of(&job), 3, &["list.json: its files is not a list"]);
    write("list.json", r#"{"files": ["b.parquet"]}"#);
    write("list2.json", r#"{"files": ["a.parquet"]}"#);
    refused(export.run_of(&job), 3, &["list.json, ", "list2.json"]);
    export.remove("list2.json");
    assert_eq!(export.text(&format!("SELECT count() FROM {MONTH}")), "0");

    // What is beside the delivery may be damaged, come and go.
    write("a.parquet", "no longer a Parquet file");
    let declared = "\n[source.structure]\nid = \"UInt64\"\naccount = \"String\"\nused = \"DateTime('UTC')\"\ncost = \"Decimal(18, 6)\"\ntags = \"Map(String, String)\"\n\n[target]";
    let job = job.replacen("\n[target]", declared, 1);
    export.run_of(&job).run().expect(0);
    assert_eq!(export.text(&format!("SELECT count(), min(id) FROM {MONTH}")), "500\t1000");
    export.remove("a.parquet");
    export.command_of("verify", &job).run().expect(0);
    let again = export.run_of(&job).run().expect(0);
    assert!(again.stderr.contains("there is nothing to do"), "{again}");
}
