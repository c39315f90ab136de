//! Text formats keep every digit, in place into a table that collapses rows, looked up and filtered.

use super::fixture::Export;

const TABLES: &str = "
CREATE TABLE accounts (id String, owner String) ENGINE = MergeTree ORDER BY id
--;;
INSERT INTO accounts SELECT leftPad(toString(number), 12, '0'), concat('owner ', toString(number)) FROM numbers(20)
--;;
CREATE TABLE lines (id UInt64, account String, cost Decimal(38, 18), note String, owner String, day Date)
ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(day) ORDER BY id
";

const ROWS: &str = "SELECT number AS id, leftPad(toString(number % 30), 12, '0') AS account, \
    concat('992.885', leftPad(toString(number), 12, '0'), '1') AS cost, \
    if(number % 5 = 0, 'two\\nlines, \"quoted\"', '') AS note, '2025-10-03' AS day";

fn job(export: &Export, objects: &str, format: &str) -> String {
    format!(
        r#"name = "lines"

[source]
{}
format = "{format}"
join_key = ["account"]

[source.structure]
id = "UInt64"
account = "String"
cost = "Decimal(38, 18)"
note = "String"
day = "Date"

[source.exclusions]
first = "source.id < 10"

[lookup]
table = "accounts"
join_key = ["id"]

[target]
table = "lines"

[columns]
id = "source.id"
account = "source.account"
cost = "source.cost"
note = "source.note"
owner = "lookup.owner"
day = "source.day"
"#,
        export.source(objects)
    )
}

#[test]
fn every_digit_of_text_arrives() {
    let export = Export::delivered();
    export.server.script(TABLES);
    for (name, format, first) in
        [("x.csv.gz", "CSVWithNames", 0), ("x.jsonl.zst", "JSONEachRow", 1000)]
    {
        let sql = format!("{ROWS} FROM numbers({first}, 300)");
        export.server.query(&format!(
            "INSERT INTO FUNCTION file('{}', '{format}') {sql}",
            export.path(name)
        ));
        let job = job(&export, name, format)
            .replace("\"lines\"\n\n[source]", &format!("\"{format}\"\n\n[source]"));
        let run = export.run_of(&job).args(&["--exclude", "first"]).run().expect(0);
        let excluded = if first == 0 { 10 } else { 0 };
        let expected = format!(
            "SELECT count(), countIf(account = '000000000025'), sum(cost), countIf(note LIKE '%\\n%'), countIf(owner != '') \
             FROM (SELECT * REPLACE (toDecimal128(cost, 18) AS cost), if(toUInt64(account) < 20, 'x', '') AS owner FROM ({sql})) WHERE id >= 10"
        );
        let found = format!(
            "SELECT count(), countIf(account = '000000000025'), sum(cost), countIf(note LIKE '%\\n%'), countIf(owner = concat('owner ', toString(toUInt64(account)))) \
             FROM lines FINAL WHERE id BETWEEN {first} AND {first} + 299"
        );
        assert_eq!(export.text(&found), export.text(&expected), "{run}");
        assert_eq!(
            export.text(&format!("SELECT count() FROM lines FINAL WHERE id >= {first}")),
            (300 - excluded).to_string()
        );
        export.command_of("verify", &job).args(&["--exclude", "first"]).run().expect(0);
    }
}

#[test]
fn a_header_without_a_column_is_refused() {
    let export = Export::delivered();
    export.server.script(TABLES);
    std::fs::write(export.path("y.csv"), "id,account,cost,day\n1,000000000025,1.5,2025-10-03\n")
        .unwrap();
    let job = job(&export, "y.csv", "CSVWithNames");
    let output = export.run_of(&job).run().expect(3);
    assert!(output.stderr.contains("the column note is missing in 1 of 1 objects"), "{output}");
    assert_eq!(export.text("SELECT count() FROM lines"), "0");
}
