//! Each way in which a row can be wrong: found, and named by key and columns.

use super::fixture::{corrupt, filled, named, of_one_group, report, row, tool, verify};
use crate::orders::Orders;
use crate::support::assert_text_snapshot;

#[test]
fn an_equal_target_is_equal() {
    let orders = filled(2_000);
    let found = verify(&orders, 0);
    let rows: u64 = orders.server.text("SELECT count() FROM shipments FINAL").parse().unwrap();
    assert_eq!(found["equal"], true);
    for (name, figure) in [
        ("expected_rows", rows),
        ("target_rows", rows),
        ("differing_groups", 0),
        ("not_examined_rows", 0),
        ("chunks", 1),
    ] {
        assert_eq!(found[name], figure, "{name}\n{found:#}");
    }
    let names: Vec<_> = found.as_object().unwrap().keys().map(String::as_str).collect();
    // A contract with scripts: whoever changes this line breaks them.
    assert_eq!(
        names.join(" "),
        "chunks columns columns_not_compared differences differing_groups equal expected_rows expired_rows groups job live not_examined_rows partition rows run_id sample seconds source target target_rows tolerances tolerated"
    );
    assert_text_snapshot!(tool(&orders, "verify").run().expect(0).stdout, @"
    target                              default.shipments
    source                              default.orders, partition 202506, by shipments
    chunks                              1, those of run [RUN]
    expected rows                       1,960
    target rows                         1,960
    differing rows                      0

    equal: the target has the rows that the job makes ([DURATION])
    ");
}

#[test]
fn one_byte_of_one_column_of_one_row() {
    let orders = filled(2_000);
    corrupt(
        &orders,
        "note = concat(substring(note, 1, 5), 'X', substring(note, 7)) WHERE order_id = 17",
    );
    let found = verify(&orders, 4);
    assert_eq!(named(&found), [row("differing", 17, &["note"])]);
    assert_eq!(found["rows"][0]["key"]["customer"], "c17");
    assert_eq!(
        (found["differences"]["differing"].as_u64(), found["columns"][0]["name"].as_str()),
        (Some(1), Some("note")),
        "{found:#}"
    );
    assert_text_snapshot!(tool(&orders, "verify").run().expect(4).stdout, @"
    target                              default.shipments
    source                              default.orders, partition 202506, by shipments
    chunks                              1, those of run [RUN]
    expected rows                       1,960
    target rows                         1,960
    differing rows                      1
      differs                           1
    columns that differ                 note

    differs  customer=c17 order_id=17  in note  (chunk 1)
        note
          target    'note X7 and so on and so on and so on and so on and so on and so on and so on an…' (518 bytes)
          expected  'note 17 and so on and so on and so on and so on and so on and so on and so on an…' (518 bytes); first difference at byte 6

    different ([DURATION])
    ");
}

#[test]
fn values_that_two_rows_have_swapped() {
    let orders = filled(2_000);
    let (one, other) = of_one_group(&orders);
    let amount = |id: u64| {
        orders.server.text(&format!("SELECT amount FROM shipments FINAL WHERE order_id = {id}"))
    };
    let (ours, theirs) = (amount(one), amount(other));
    assert_ne!(ours, theirs);
    corrupt(
        &orders,
        &format!(
            "amount = if(order_id = {one}, toDecimal64('{theirs}', 2), toDecimal64('{ours}', 2)) WHERE order_id IN ({one}, {other})"
        ),
    );
    assert_eq!(
        named(&verify(&orders, 4)),
        [row("differing", one, &["amount"]), row("differing", other, &["amount"])]
    );
}

#[test]
fn a_deleted_row_and_an_added_one() {
    let orders = filled(2_000);
    orders.server.query("DELETE FROM shipments WHERE order_id = 17");
    orders.server.query("INSERT INTO shipments SELECT * REPLACE (1000000 AS order_id) FROM (SELECT * FROM shipments WHERE order_id = 18)");
    let found = verify(&orders, 4);
    assert_eq!(named(&found), [row("extra", 1_000_000, &[]), row("missing", 17, &[])]);
    // Their groups differ in the sums of all columns, but no value differs.
    assert_eq!(found["columns"], serde_json::json!([]), "{found:#}");
    assert_eq!(found["differing_groups"], 2, "{found:#}");
}

#[test]
fn columns_differ_where_values_do_beside_rows_that_are_missing() {
    let orders = filled(2_000);
    let (one, other) = of_one_group(&orders);
    corrupt(&orders, &format!("amount = amount + 1 WHERE order_id = {one}"));
    orders.server.query(&format!("DELETE FROM shipments WHERE order_id = {other}"));
    let found = verify(&orders, 4);
    assert_eq!(named(&found), [row("differing", one, &["amount"]), row("missing", other, &[])]);
    let amount = serde_json::json!([{"name": "amount", "groups": 1}]);
    assert_eq!((&found["columns"], &found["differing_groups"]), (&amount, &1.into()), "{found:#}");
}

#[test]
fn a_deleted_order_that_was_brought_back() {
    let orders = filled(2_000);
    assert_eq!(orders.server.text("SELECT count() FROM orders FINAL WHERE id = 50"), "0");
    orders.server.query(
        "INSERT INTO shipments SELECT id, customer, placed, amount * 2, note, [], '', version FROM orders WHERE id = 50 AND NOT is_deleted",
    );
    assert_eq!(named(&verify(&orders, 4)), [row("deleted_in_source", 50, &[])]);
}

/// The source's key has the customer, and so has the target's; an order that changed hands leaves
/// its old row behind.
#[test]
fn a_row_that_the_source_does_not_make_any_more() {
    let orders = filled(2_000);
    orders.server.script(
        "ALTER TABLE orders UPDATE note = 'another' WHERE id = 17 SETTINGS mutations_sync = 2
         --;;
         INSERT INTO shipments SELECT * REPLACE ('c1' AS customer) FROM shipments WHERE order_id = 17",
    );
    assert_eq!(
        named(&verify(&orders, 4)),
        [row("differing", 17, &["note"]), row("extra", 17, &[])]
    );
}

#[test]
fn a_newer_source_is_stale_and_a_newer_target_is_a_live_writer() {
    let orders = filled(2_000);
    orders
        .server
        .query("INSERT INTO shipments SELECT * REPLACE (version + 10 AS version, 'live' AS note) FROM shipments WHERE order_id = 17");
    let found = verify(&orders, 0);
    assert_eq!(named(&found), [row("written_since", 17, &["note", "version"])]);
    assert_eq!(
        (found["live"]["written_since"].as_u64(), found["equal"].as_bool()),
        (Some(1), Some(true)),
        "{found:#}"
    );
    // A group in doubt is no group that differs.
    assert_eq!(
        (&found["columns"], &found["differing_groups"]),
        (&serde_json::json!([]), &0.into()),
        "{found:#}"
    );
    orders.server.query("INSERT INTO orders SELECT * REPLACE (version + 5 AS version, 'newer' AS note) FROM orders WHERE id = 18");
    let found = verify(&orders, 4);
    assert_eq!(
        named(&found),
        [row("stale", 18, &["note", "version"]), row("written_since", 17, &["note", "version"])]
    );
    assert_eq!(found["differences"]["stale"], 1, "{found:#}");
    assert_eq!(found["differing_groups"], 1, "{found:#}");
    let columns: Vec<_> = found["columns"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(columns, ["note", "version"], "{found:#}");
}

#[test]
fn differences_are_counted_also_where_few_are_named() {
    let orders = filled(2_000);
    corrupt(&orders, "letter = 'x' WHERE order_id % 2 = 1");
    let output =
        tool(&orders, "verify").args(&["--json", "--max-differences", "3"]).run().expect(4);
    let found = report(&output);
    assert_eq!(found["rows"].as_array().unwrap().len(), 3, "{output}");
    let wrong = count(&orders, "SELECT count() FROM shipments FINAL WHERE order_id % 2 = 1");
    assert_eq!(found["differences"]["differing"].as_u64(), Some(wrong), "{output}");
    let text = tool(&orders, "verify").args(&["--max-differences", "3"]).run().expect(4);
    assert!(text.stdout.contains(&format!("… and {} more", wrong - 3)), "{text}");
}

fn count(orders: &Orders, sql: &str) -> u64 {
    orders.server.text(sql).parse().unwrap()
}

/// The columns that differ in the first row: what the target has, what is expected, and where these
/// differ.
fn values(found: &serde_json::Value) -> Vec<(String, String, String, u64)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let value = |value: &serde_json::Value| {
        let differ = value["first_differing_byte"].as_u64().unwrap();
        (
            text(&value["column"]),
            text(&value["found"]["text"]),
            text(&value["expected"]["text"]),
            differ,
        )
    };
    found["rows"][0]["values"].as_array().unwrap().iter().map(value).collect()
}

#[test]
fn the_values_that_differ_are_shown_and_long_ones_where_they_differ() {
    let orders = filled(2_000);
    orders.server.query("ALTER TABLE customers UPDATE letter = repeat('long ', 1000) WHERE id = 'c17' SETTINGS mutations_sync = 2");
    orders.tool().run().expect(0);
    corrupt(
        &orders,
        "amount = 1.5, tags = ['it\\'s\\t\\\\', 'b'], letter = concat(substring(letter, 1, 3000), 'X', substring(letter, 3002)) WHERE order_id = 17",
    );
    let found = verify(&orders, 4);
    assert_eq!(named(&found), [row("differing", 17, &["amount", "tags", "letter"])]);
    let (before, behind) = ("long ".repeat(4), "long ".repeat(12));
    let of = |column: &str, found: &str, expected: &str, differ: u64| {
        (column.to_owned(), found.to_owned(), expected.to_owned(), differ)
    };
    assert_eq!(
        values(&found),
        [
            of("amount", "1.5", "0.34", 1),
            of("tags", "['it\\\\'s\\\\t\\\\\\\\','b']", "['a','17']", 3),
            of(
                "letter",
                &format!("{before}Xong {}", &behind[5..]),
                &format!("{before}{behind}"),
                3001
            ),
        ]
    );
    let letter = &found["rows"][0]["values"][2]["found"];
    let place = ["from_byte", "to_byte", "bytes"].map(|name| letter[name].as_u64().unwrap());
    assert_eq!(place, [2981, 3060, 5000]);
    let text = tool(&orders, "verify").run().expect(4).stdout;
    for line in [
        "    amount\n      target    '1.5' (3 bytes)\n      expected  '0.34' (4 bytes); first difference at byte 1\n",
        &*format!(
            "      expected  '…{before}{behind}…' (5,000 bytes, from byte 2,981); first difference at byte 3,001\n"
        ),
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
#[ignore = "slow: about 9 s"]
fn chunks_have_the_numbers_that_the_ledger_gives_them() {
    let orders = Orders::on(crate::support::Server::shared(), 60_000);
    orders.tool().args(&["--chunk-rows", "8192"]).run().expect(0);
    let server = &orders.server;
    let range = |chunk: u64| {
        server.text(&format!(
            "SELECT range FROM load_state_chunks FINAL WHERE chunk = {chunk} FORMAT TSVRaw"
        ))
    };
    let run_id = server.text("SELECT run_id FROM load_state FINAL WHERE is_current");
    // Merges change the places at which chunks would be cut today.
    server.query("OPTIMIZE TABLE orders FINAL");
    let order: u64 = server
        .text(&format!("SELECT max(id) FROM orders FINAL WHERE {} AND NOT is_deleted", range(3)))
        .parse()
        .unwrap();
    corrupt(&orders, &format!("letter = 'x' WHERE order_id = {order}"));
    let found = verify(&orders, 4);
    assert_eq!(
        (found["run_id"].as_str(), &found["rows"][0]["chunk"]),
        (Some(run_id.as_str()), &4.into()),
        "{found:#}"
    );
    let output = tool(&orders, "repair").args(&["--json", "--chunk-rows", "20000"]).run().expect(0);
    assert_eq!(report(&output)["filled_chunks"], serde_json::Value::from(vec![4]), "{output}");
    // Without the load, the chunks are those of a plan of its own.
    server.query("TRUNCATE TABLE load_state");
    corrupt(&orders, &format!("letter = 'x' WHERE order_id = {order}"));
    let found = verify(&orders, 4);
    assert!(found["run_id"].is_null() && found["chunks"] == 1, "{found:#}");
    assert_eq!(named(&found), [row("differing", order, &["letter"])]);
}
