//! Job files.

use super::{changed, fails, few_orders, line, refuses};
use crate::orders::{JOB, Orders};
use crate::support::{Binary, binary};

fn with(orders: &Orders, text: &str) -> Binary {
    orders.tool().file("job.toml", text)
}

#[test]
fn typos_and_contradictions_point_at_the_line() {
    let orders = few_orders();
    for (from, to, part) in [
        ("table = \"orders\"", "tabel = \"orders\"", "unknown field `tabel`"),
        ("table = \"orders\"", "table = \"orders", "table = \"orders"),
        ("final = true", "final = \"yes\"", "expected a boolean"),
        ("[lookup]", "[lookups]", "unknown field `lookups`"),
        ("name = \"shipments\"", "name = \"\"", "the name is empty"),
        ("join_key = [\"id\"]", "join_key = [\"id\", \"city\"]", ""),
        ("join_key = [\"id\"]", "join_key = []", ""),
        ("time = \"placed\"", "tags = \"x\"", "unknown field `tags`"),
        (
            "tags = \"lookup.tags\"",
            "tags = \"lookup.tags\"\ntags = \"lookup.tags\"",
            "duplicate key",
        ),
        ("tags = \"lookup.tags\"", "tags = 1", "expected a string"),
    ] {
        let text = changed(from, to);
        // A contradiction between two tables is shown at the one that came later, and a repeated
        // key where it is repeated.
        let place = match to {
            _ if to.starts_with("join_key") => line(&text, "[lookup]"),
            _ if to.contains('\n') => format!(
                "line {}",
                text.lines().take_while(|line| !line.starts_with("letter")).count()
            ),
            _ => line(&text, to),
        };
        refuses(&orders, with(&orders, &text), 2, &["job.toml", &place, part]);
        fails(
            binary().file("job.toml", &text).args(&["job", "show", "job.toml"]),
            2,
            &["job.toml", &place, part],
        );
    }
    for (text, part) in
        [("", "missing field"), ("name = 'x'\n", "missing field `source`"), ("\u{0}", "line 1")]
    {
        refuses(&orders, with(&orders, text), 2, &["job.toml", part]);
    }
    let columns = JOB.find("order_id").unwrap();
    refuses(&orders, with(&orders, &JOB[..columns]), 2, &["job.toml", "[columns] is empty"]);
    let window = changed("time = \"placed\"\n", "").replace(
        "[target]",
        "window = { column = \"x\", days_before = 1, days_after = 1 }\n\n[target]",
    );
    refuses(&orders, with(&orders, &window), 2, &["job.toml", "must name its time column"]);
    refuses(
        &orders,
        orders.tool().arg("--exclude-dataset-items"),
        2,
        &["dataset-items", "[source.exclusions]"],
    );
}

#[test]
fn expressions_that_are_refused_point_at_the_line() {
    let orders = few_orders();
    for (expression, part) in [
        ("", "is empty"),
        ("source.amount + + * 2", "SYNTAX_ERROR"),
        ("source.amount +", "SYNTAX_ERROR"),
        ("(source.amount", "not closed"),
        ("'source.amount", "does not end"),
        ("source.amuont", "UNKNOWN_IDENTIFIER"),
        ("lookup.amount", "UNKNOWN_IDENTIFIER"),
        ("amount", "UNKNOWN_IDENTIFIER"),
        ("orders.amount", "UNKNOWN_IDENTIFIER"),
        ("nofunction(source.amount)", "UNKNOWN_FUNCTION"),
        ("sum(source.amount)", "aggregate function"),
        ("count()", "aggregate function"),
        ("arrayJoin([source.amount])", "arrayJoin"),
        ("row_number() OVER (ORDER BY source.amount)", "window function"),
        ("sum(source.amount) OVER ()", "window function"),
        ("*", "asterisk"),
        ("source.*", "asterisk"),
        ("tuple(lookup.*)", "asterisk"),
        ("COLUMNS('amount')", "COLUMNS()"),
        ("source.COLUMNS('amount')", ""),
        ("(SELECT 1)", "subquery"),
        ("source.amount IN (SELECT 1)", "subquery"),
        ("source.amount IN customers", ""),
        ("source.amount IN default.customers", ""),
        ("source.amount AS amount", "AS"),
        ("source.amount, source.amount", "comma"),
        ("source.amount; DROP TABLE shipments", "semicolon"),
        ("source.amount FROM numbers(10) --", ""),
        ("now()", "now, which is not deterministic"),
        ("rand()", "rand, which is not deterministic"),
        ("source.amount + toUInt8(generateUUIDv4() = generateUUIDv4())", "generateUUIDv4"),
        ("rowNumberInAllBlocks()", "rowNumberInAllBlocks"),
    ] {
        let text = changed("\"source.amount * 2\"", &format!("\"\"\"{expression}\"\"\""));
        let place =
            format!("job.toml, {}: the expression of column amount", line(&text, "amount = "));
        refuses(&orders, with(&orders, &text), 2, &[&place, part]);
    }
}

/// What looks like something that is refused and is not.
#[test]
fn expressions_that_only_look_wrong_are_taken() {
    let orders = few_orders();
    for expression in [
        "source.amount * 2 -- with a comment, and a * ; (",
        "source.amount * length('SELECT * FROM x; AS') / 19 * 2",
        "/* sum(x) */ source.amount * 2",
        "CAST(source.amount * 2 AS Decimal(18, 2))",
        "arraySum(x -> x, [source.amount, source.amount])",
        "`source.amount` * 2",
    ] {
        let text = changed("\"source.amount * 2\"", &format!("\"\"\"{expression}\"\"\""));
        with(&orders, &text).run().expect(0);
        orders.assert_complete();
        orders.server.query("TRUNCATE TABLE shipments");
    }
}

#[test]
fn settings_that_the_server_does_not_know_are_named() {
    let orders = few_orders();
    for statement in ["source", "lookup", "insert"] {
        let text = changed(
            "[columns]",
            &format!("[settings.{statement}]\nno_such_setting = 1\n\n[columns]"),
        );
        let output = with(&orders, &text).run();
        assert!(
            matches!(output.status, Some(2 | 3)),
            "[settings.{statement}] is not checked before the first row\n{output}"
        );
        assert!(
            output.stderr.contains("no_such_setting")
                && !output.stderr.contains("cannot be converted"),
            "[settings.{statement}]\n{output}"
        );
        assert_eq!(orders.target_rows(), 0);
    }
}
