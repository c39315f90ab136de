//! Job files.

use super::{changed, fails, few_orders, refuses};
use crate::orders::{JOB, Orders};
use crate::support::shown::titled;
use crate::support::{Binary, assert_text_snapshot, binary};

fn with(orders: &Orders, text: &str) -> Binary {
    orders.tool().file("job.toml", text)
}

#[test]
fn typos_and_contradictions_point_at_the_line() {
    let orders = few_orders();
    let changes = [
        ("table = \"orders\"", "tabel = \"orders\""),
        ("table = \"orders\"", "table = \"orders"),
        ("final = true", "final = \"yes\""),
        ("[lookup]", "[lookups]"),
        ("name = \"shipments\"", "name = \"\""),
        // A contradiction between two tables is shown at the one that came later.
        ("join_key = [\"id\"]", "join_key = [\"id\", \"city\"]"),
        ("join_key = [\"id\"]", "join_key = []"),
        ("time = \"placed\"", "tags = \"x\""),
        ("tags = \"lookup.tags\"", "tags = \"lookup.tags\"\ntags = \"lookup.tags\""),
        ("tags = \"lookup.tags\"", "tags = 1"),
    ];
    let failures = changes.map(|(from, to)| {
        let text = changed(from, to);
        let failure = refuses(&orders, with(&orders, &text), 2);
        let shown = binary().file("job.toml", &text).args(&["job", "show", "job.toml"]);
        assert_eq!(fails(shown, 2), failure);
        (to, failure)
    });
    assert_text_snapshot!(titled(failures), @r#"
    # tabel = "orders"
    exit code 2
    error: the job file job.toml cannot be read:
    TOML parse error at line 5, column 1
      |
    5 | tabel = "orders"
      | ^^^^^
    unknown field `tabel`, expected one of `table`, `objects`, `manifest`, `postgres`, `format`, `collection`, `structure`, `optional`, `final`, `version`, `deleted`, `newest_by`, `snapshot`, `join_key`, `time`, `where`, `exclusions`, `filters`, `before`
    hint: did you mean table?

    # table = "orders
    exit code 2
    error: the job file job.toml cannot be read:
    TOML parse error at line 5, column 16
      |
    5 | table = "orders
      |                ^
    invalid basic string, expected `"`

    # final = "yes"
    exit code 2
    error: the job file job.toml cannot be read:
    TOML parse error at line 6, column 9
      |
    6 | final = "yes"
      |         ^^^^^
    invalid type: string "yes", expected a boolean

    # [lookups]
    exit code 2
    error: the job file job.toml cannot be read:
    TOML parse error at line 12, column 2
       |
    12 | [lookups]
       |  ^^^^^^^
    unknown field `lookups`, expected one of `name`, `description`, `source`, `lookup`, `target`, `checks`, `settings`, `group`, `columns`
    hint: did you mean lookup?

    # name = ""
    exit code 2
    error: job.toml, line 1: the name is empty

    # join_key = ["id", "city"]
    exit code 2
    error: job.toml, line 12: the join_key of [lookup] has 2 columns and that of [source] 1

    # join_key = []
    exit code 2
    error: job.toml, line 12: [lookup] needs at least one column in join_key

    # tags = "x"
    exit code 2
    error: the job file job.toml cannot be read:
    TOML parse error at line 10, column 1
       |
    10 | tags = "x"
       | ^^^^
    unknown field `tags`, expected one of `table`, `objects`, `manifest`, `postgres`, `format`, `collection`, `structure`, `optional`, `final`, `version`, `deleted`, `newest_by`, `snapshot`, `join_key`, `time`, `where`, `exclusions`, `filters`, `before`

    # tags = "lookup.tags"
    tags = "lookup.tags"
    exit code 2
    error: the job file job.toml cannot be read:
    TOML parse error at line 28, column 1
       |
    28 | tags = "lookup.tags"
       | ^^^^
    duplicate key

    # tags = 1
    exit code 2
    error: the job file job.toml cannot be read:
    TOML parse error at line 27, column 8
       |
    27 | tags = 1
       |        ^
    invalid type: integer `1`, expected a string
    "#);
    let columns = JOB.find("order_id").unwrap();
    let window = changed("time = \"placed\"\n", "").replace(
        "[target]",
        "window = { column = \"x\", days_before = 1, days_after = 1 }\n\n[target]",
    );
    let texts = [
        ("nothing", ""),
        ("a name only", "name = 'x'\n"),
        ("a null character", "\u{0}"),
        ("no columns", &JOB[..columns]),
        ("a window without a time", &window),
    ];
    let failures = texts.map(|(title, text)| (title, refuses(&orders, with(&orders, text), 2)));
    assert_text_snapshot!(titled(failures), @r"
    # nothing
    exit code 2
    error: the job file job.toml cannot be read:
    TOML parse error at line 1, column 1
      |
    1 | 
      | ^
    missing field `name`

    # a name only
    exit code 2
    error: the job file job.toml cannot be read:
    TOML parse error at line 1, column 1
      |
    1 | name = 'x'
      | ^
    missing field `source`

    # a null character
    exit code 2
    error: the job file job.toml cannot be read:
    TOML parse error at line 1, column 2
      |
    1 | \u0000
      |  ^
    key with no value, expected `=`

    # no columns
    exit code 2
    error: job.toml, line 21: [columns] is empty: nothing would be written

    # a window without a time
    exit code 2
    error: job.toml, line 11: [lookup] has a window, so [source] must name its time column
    ");
    let excluded = refuses(&orders, orders.tool().arg("--exclude-dataset-items"), 2);
    assert_text_snapshot!(excluded, @r#"
    exit code 2
    error: job.toml: there is no "dataset-items" in [source.exclusions]
    "#);
}

#[test]
fn expressions_that_are_refused_point_at_the_line() {
    let orders = few_orders();
    let expressions = [
        "",
        "source.amount + + * 2",
        "source.amount +",
        "(source.amount",
        "'source.amount",
        "source.amuont",
        "lookup.amount",
        "amount",
        "orders.amount",
        "nofunction(source.amount)",
        "sum(source.amount)",
        "count()",
        "arrayJoin([source.amount])",
        "row_number() OVER (ORDER BY source.amount)",
        "sum(source.amount) OVER ()",
        "*",
        "source.*",
        "tuple(lookup.*)",
        "COLUMNS('amount')",
        "source.COLUMNS('amount')",
        "(SELECT 1)",
        "source.amount IN (SELECT 1)",
        "source.amount IN customers",
        "source.amount IN default.customers",
        "source.amount AS amount",
        "source.amount, source.amount",
        "source.amount; DROP TABLE shipments",
        "source.amount FROM numbers(10) --",
        "now()",
        "rand()",
        "source.amount + toUInt8(generateUUIDv4() = generateUUIDv4())",
        "rowNumberInAllBlocks()",
    ];
    let failures = expressions.map(|expression| {
        let text = changed("\"source.amount * 2\"", &format!("\"\"\"{expression}\"\"\""));
        (expression, refuses(&orders, with(&orders, &text), 2))
    });
    assert_text_snapshot!(titled(failures), @r#"
    # 
    exit code 2
    error: job.toml, line 25: the expression of column amount is empty

    # source.amount + + * 2
    exit code 2
    error: job.toml, line 25: the expression of column amount is refused by the server: Code: 62. [WORDS OF THE SERVER] (SYNTAX_ERROR)

    # source.amount +
    exit code 2
    error: job.toml, line 25: the expression of column amount is refused by the server: Code: 62. [WORDS OF THE SERVER] (SYNTAX_ERROR)

    # (source.amount
    exit code 2
    error: job.toml, line 25: the expression of column amount has a '(' that is not closed

    # 'source.amount
    exit code 2
    error: job.toml, line 25: the expression of column amount has a string that does not end

    # source.amuont
    exit code 2
    error: job.toml, line 25: the expression of column amount names source.amuont, which is no column; did you mean source.amount?

    # lookup.amount
    exit code 2
    error: job.toml, line 25: the expression of column amount names lookup.amount, which is no column; did you mean source.amount?

    # amount
    exit code 2
    error: job.toml, line 25: the expression of column amount is refused by the server: Code: 47. [WORDS OF THE SERVER] (UNKNOWN_IDENTIFIER)

    # orders.amount
    exit code 2
    error: job.toml, line 25: the expression of column amount is refused by the server: Code: 47. [WORDS OF THE SERVER] (UNKNOWN_IDENTIFIER)

    # nofunction(source.amount)
    exit code 2
    error: job.toml, line 25: the expression of column amount is refused by the server: Code: 46. [WORDS OF THE SERVER] (UNKNOWN_FUNCTION)

    # sum(source.amount)
    exit code 2
    error: job.toml, line 25: the expression of column amount uses sum, which is an aggregate function; only the current row can be used

    # count()
    exit code 2
    error: job.toml, line 25: the expression of column amount uses count, which is an aggregate function; only the current row can be used

    # arrayJoin([source.amount])
    exit code 2
    error: job.toml, line 25: the expression of column amount uses arrayJoin, which makes several rows of one

    # row_number() OVER (ORDER BY source.amount)
    exit code 2
    error: job.toml, line 25: the expression of column amount uses row_number, which is a window function; only the current row can be used

    # sum(source.amount) OVER ()
    exit code 2
    error: job.toml, line 25: the expression of column amount uses sum, which is a window function; only the current row can be used

    # *
    exit code 2
    error: job.toml, line 25: the expression of column amount has an asterisk that stands for columns; name them

    # source.*
    exit code 2
    error: job.toml, line 25: the expression of column amount has an asterisk that stands for columns; name them

    # tuple(lookup.*)
    exit code 2
    error: job.toml, line 25: the expression of column amount has an asterisk that stands for columns; name them

    # COLUMNS('amount')
    exit code 2
    error: job.toml, line 25: the expression of column amount uses COLUMNS(); name the columns

    # source.COLUMNS('amount')
    exit code 2
    error: job.toml, line 25: the expression of column amount is refused by the server: Code: 47. [WORDS OF THE SERVER] (UNKNOWN_IDENTIFIER)

    # (SELECT 1)
    exit code 2
    error: job.toml, line 25: the expression of column amount has a subquery; only the current row can be used

    # source.amount IN (SELECT 1)
    exit code 2
    error: job.toml, line 25: the expression of column amount has a subquery; only the current row can be used

    # source.amount IN customers
    exit code 2
    error: job.toml, line 25: the expression of column amount needs more than the current row: the server would run a step "CreatingSets" for it

    # source.amount IN default.customers
    exit code 2
    error: job.toml, line 25: the expression of column amount is refused by the server: Code: 47. [WORDS OF THE SERVER] (UNKNOWN_IDENTIFIER)

    # source.amount AS amount
    exit code 2
    error: job.toml, line 25: the expression of column amount gives itself a name with AS; the column's name is the key on its left

    # source.amount, source.amount
    exit code 2
    error: job.toml, line 25: the expression of column amount is a list: it has a comma outside of brackets

    # source.amount; DROP TABLE shipments
    exit code 2
    error: job.toml, line 25: the expression of column amount has a semicolon

    # source.amount FROM numbers(10) --
    exit code 2
    error: job.toml, line 25: the expression of column amount is refused by the server: Code: 62. [WORDS OF THE SERVER] (SYNTAX_ERROR)

    # now()
    exit code 2
    error: job.toml, line 25: the expression of column amount uses now, which is not deterministic: it may give another result when a batch is sent again or verified; to allow it, list it in allow_functions under [target]

    # rand()
    exit code 2
    error: job.toml, line 25: the expression of column amount uses rand, which is not deterministic: it may give another result when a batch is sent again or verified; to allow it, list it in allow_functions under [target]

    # source.amount + toUInt8(generateUUIDv4() = generateUUIDv4())
    exit code 2
    error: job.toml, line 25: the expression of column amount uses generateUUIDv4, which is not deterministic: it may give another result when a batch is sent again or verified; to allow it, list it in allow_functions under [target]

    # rowNumberInAllBlocks()
    exit code 2
    error: job.toml, line 25: the expression of column amount uses rowNumberInAllBlocks, which is not deterministic: it may give another result when a batch is sent again or verified; to allow it, list it in allow_functions under [target]
    "#);
}

/// What looks like something that is refused and is not.
#[test]
#[ignore = "slow: about 9 s"]
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
