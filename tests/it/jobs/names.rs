//! Which columns an expression reads, under whatever name: one column for several targets, names
//! that are keywords, that have dots, blanks, quotes and backticks, names of nested columns,
//! subcolumns, and arguments of lambdas.

use super::fixture::{JobFile, assert_fills};
use crate::support::{Server, binary};

#[test]
fn one_source_column_for_several_targets_without_a_lookup() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE notes (id UInt64, text Nullable(String), unused String) ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO notes SELECT number, [NULL, '', 'x', 'ä\\0\\n\\xFF'][1 + number % 4], 'u' FROM numbers(1000)
         --;;
         CREATE TABLE copies (id UInt64, first String, second Nullable(String), third LowCardinality(String) DEFAULT 'third', constant Nullable(String),
             left_out String DEFAULT 'stays', computed UInt64 MATERIALIZED length(first))
         ENGINE = ReplacingMergeTree ORDER BY id",
    );
    let job = "
        name = 'copies'
        [source]
        table = 'notes'
        [target]
        table = 'copies'
        [columns]
        third = \"coalesce(source.text, 'null')\"
        id = 'source.id'
        second = 'source.text'
        first = \"coalesce(source.text, '') -- a comment ends the line\"
        constant = 'NULL'
        no_such_column = 'source.unused'
        computed = 'source.id'
    ";
    let expected = "
        SELECT id, ifNull(text, '') AS first, text AS second, ifNull(text, 'null') AS third, CAST(NULL, 'Nullable(String)') AS constant, 'stays' AS left_out
        FROM notes";
    let output = assert_fills(&server, job, "copies", &["id"], expected);
    let words = output.stdout + &output.stderr;
    for name in ["no_such_column", "computed"] {
        assert!(
            words.lines().any(|line| line.contains("left out") && line.contains(name)),
            "{name} is left out without a word\n{words}"
        );
    }
}

#[test]
fn strange_names() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE `the source` (
             `select` UInt32, `from` Nullable(String), `a b` String, `back\\`tick` String, `back\\\\slash` String, `quo\"te'` String,
             `source` String, `lookup` String, `dotted.name.deep` String, `ünïcode` String, `1` String,
             `n.x` Array(Int32), `n.y` Array(String), `map` Map(String, UInt8), `tuple` Tuple(first String, `second one` UInt8), `AS` String, `lookup key` String)
         ENGINE = MergeTree ORDER BY `select`
         --;;
         INSERT INTO `the source` SELECT number, if(number % 3 = 0, NULL, 'from'), 'a b', '`', '\\\\', '\"''', 'source', 'lookup',
             'dotted', 'ü', '1', range(number % 4), arrayMap(i -> toString(i), range(number % 4)), map('k', number % 256), ('t', 1), 'as', toString(number % 50)
         FROM numbers(200)
         --;;
         CREATE TABLE `the lookup` (`key of it` String, `from` Nullable(String), `select` UInt32, `a b` Array(String), `n.x` Array(Int32), `n.y` Array(String))
         ENGINE = MergeTree ORDER BY `key of it`
         --;;
         INSERT INTO `the lookup` SELECT toString(number), if(number % 2 = 0, NULL, 'looked up'), number * 7, [toString(number)], [1, number], ['y', toString(number)] FROM numbers(40)
         --;;
         CREATE TABLE `the target` (
             `select` UInt32, `from` Nullable(String), `a b` String, `back\\`tick` String, `back\\\\slash` String, `quo\"te'` String,
             source String, lookup String, `dotted.name.deep` String, `ünïcode` String, `1` String,
             `n.x` Array(Int64), `n.y` Array(String), keys Array(String), size UInt64, second UInt8, `AS` String,
             looked_from Nullable(String), looked_select UInt64, looked_lambda Array(String), looked_nested Array(String))
         ENGINE = ReplacingMergeTree ORDER BY `select`",
    );
    let job = r#"
        name = "strange names"
        [source]
        table = "the source"
        join_key = ["lookup key"]
        [lookup]
        table = "the lookup"
        join_key = ["key of it"]
        [target]
        table = "the target"
        [columns]
        select = "source.select"
        from = "source.from"
        "a b" = "source.`a b`"
        "back`tick" = "source.`back\\`tick`"
        "back\\slash" = "source.`back\\\\slash`"
        "quo\"te'" = "source.`quo\"te'`"
        source = "source.source"
        lookup = "source.lookup"
        "dotted.name.deep" = "source.dotted.name.deep"
        "ünïcode" = "source.`ünïcode`"
        1 = "source.`1`"
        "n.x" = "arrayMap(x -> x * 2, source.n.x)"
        "n.y" = "arrayMap((x, source) -> concat(toString(x), source), source.`n.x`, source.n.y)"
        keys = "source.map.keys"
        size = "length(source.n.x) + source.n.y.size0"
        second = "source.tuple.`second one`"
        AS = "source.AS"
        looked_from = "lookup.from"
        looked_select = '''
            -- a comment, with a quote ' in it
            lookup.select /* and, (another */ + 1'''
        looked_lambda = "arrayMap(x -> x || coalesce(lookup.from, ',()[]\\'--'), lookup.`a b`)"
        looked_nested = "arrayMap((x, y) -> toString(x) || y, lookup.n.x, lookup.n.y)"
    "#;
    let expected = r#"
        SELECT `select`, s.`from` AS `from`, s.`a b` AS `a b`, `back\`tick`, `back\\slash`, `quo"te'`, s.`source` AS source,
            s.`lookup` AS lookup, s.`dotted.name.deep` AS `dotted.name.deep`, s.`ünïcode` AS `ünïcode`, s.`1` AS `1`,
            arrayMap(i -> i * 2, xs) AS `n.x`, arrayMap((i, j) -> toString(i) || j, xs, ys) AS `n.y`,
            mapKeys(s.map) AS keys, length(xs) * 2 AS size, tupleElement(s.tuple, 2) AS second, s.`AS` AS `AS`,
            l.looked_from AS looked_from, l.looked_select + 1 AS looked_select,
            arrayMap(i -> i || ifNull(l.looked_from, ',()[]\'--'), l.looked_ab) AS looked_lambda,
            arrayMap((i, j) -> toString(i) || j, l.lx, l.ly) AS looked_nested
        FROM (SELECT *, `n.x` AS xs, `n.y` AS ys FROM `the source`) AS s
        LEFT ANY JOIN (SELECT `key of it` AS k, `from` AS looked_from, `select` AS looked_select, `a b` AS looked_ab, `n.x` AS lx, `n.y` AS ly FROM `the lookup`) AS l
        ON s.`lookup key` = l.k"#;
    assert_fills(&server, job, "the target", &["select"], expected);
}

/// In the job file, which begins with a byte order mark, and in flags.
#[test]
fn names_of_tables_with_dots() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE `orders.v1` (id UInt64, x String, customer UInt8) ENGINE = ReplacingMergeTree PARTITION BY id % 2 ORDER BY id
         --;;
         INSERT INTO `orders.v1` SELECT number, toString(number), number % 10 FROM numbers(20)
         --;;
         CREATE TABLE `customers.v1` (id UInt8, city String) ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO `customers.v1` SELECT number, 'city ' || toString(number) FROM numbers(7)
         --;;
         CREATE TABLE `ship``ped.v1` (id UInt64, x String, city String) ENGINE = ReplacingMergeTree PARTITION BY id % 2 ORDER BY id
         --;;
         CREATE TABLE `ship``ped.v2` AS `ship``ped.v1`",
    );
    let database = server.database();
    let job = JobFile::new(&format!(
        "\u{feff}name = 'dots'\n[source]\ntable = '`orders.v1`'\njoin_key = ['customer']\n\
         [lookup]\ntable = '{database}.`customers.v1`'\njoin_key = ['id']\n[target]\ntable = '`ship``ped.v1`'\n\
         [columns]\nid = 'source.id'\nx = 'source.x'\ncity = 'lookup.city'\n"
    ));
    let flags = ["--target-table", "`ship``ped.v2`"];
    let tool = |command: &str, flags: &[&str]| {
        job.tool_without_partition(&server, command).args(&["--partition", "id:1"]).args(flags)
    };
    for (flags, table) in [(&[][..], "`ship``ped.v1`"), (&flags, "`ship``ped.v2`")] {
        tool("run", flags).run().expect(0);
        let rows = server.text(&format!("SELECT count(), sum(id), groupUniqArray(city = if(id % 10 < 7, 'city ' || toString(id % 10), '')) FROM {table}"));
        assert_eq!(rows, "10\t100\t[1]", "{table}");
    }
    server.query("DELETE FROM `ship``ped.v2` WHERE id = 5");
    tool("repair", &flags).run().expect(0);
    assert_eq!(server.text("SELECT count() FROM `ship``ped.v2` FINAL"), "10");
    let status = tool("status", &flags).arg("--json").run().expect(0);
    assert!(status.stdout.contains("\"completed\""), "{status}");
    let report = tool("report", &[]).run().expect(0);
    assert!(report.stdout.contains("orders.v1"), "{report}");
    let history = binary().envs(&server.environment()).args(&["history", "--json"]).run().expect(0);
    let history: serde_json::Value = serde_json::from_str(&history.stdout).unwrap();
    let targets: Vec<_> = history.as_array().unwrap().iter().map(|one| &one["target"]).collect();
    let targets = format!("{targets:?}").replace(database, "DB");
    assert_eq!(targets, r#"[String("DB.`ship``ped.v1`"), String("DB.`ship``ped.v2`")]"#);
    // Of such a name without backquotes, the part before the dot is a database.
    let refused = tool("run", &["--target-table", "shipped.v2"]).run().expect(3);
    assert!(refused.stderr.contains("the target table shipped.v2 does not exist"), "{refused}");
}

#[test]
fn columns_named_like_the_qualifiers() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE rows (id UInt64, x String, `source.x` String, `lookup.x` String, `lookup.y` String) ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO rows SELECT number, 'x of source', 'source.x of source', 'lookup.x of source', 'lookup.y of source' FROM numbers(10)
         --;;
         CREATE TABLE attributes (id UInt64, x String, `source.x` String, `lookup.x` String) ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO attributes SELECT number, 'x of lookup', 'source.x of lookup', 'lookup.x of lookup' FROM numbers(5)
         --;;
         CREATE TABLE joined (id UInt64, x String, y String) ENGINE = ReplacingMergeTree ORDER BY id",
    );
    let cases = [
        ("source.x", "''"),
        ("lookup.x", "''"),
        ("source.`source.x`", "''"),
        ("source.`lookup.x`", "''"),
        ("lookup.`source.x`", "''"),
        ("lookup.`lookup.x`", "''"),
        ("source.`lookup.y`", "lookup.x"),
    ];
    for (x, y) in cases {
        server.query("TRUNCATE TABLE joined SYNC");
        let job = format!(
            "name = 'qualifiers'\n[source]\ntable = 'rows'\njoin_key = ['id']\n[lookup]\ntable = 'attributes'\njoin_key = ['id']\n[target]\ntable = 'joined'\n\
             [columns]\nid = 'source.id'\nx = \"{x}\"\ny = \"{y}\"\n"
        );
        // Each value says whose it is.
        let by_hand = |expression: &str| match expression.split_once('.') {
            Some(("source", column)) => format!("'{} of source'", column.trim_matches('`')),
            Some((_, column)) => {
                format!("if(id < 5, '{} of lookup', '')", column.trim_matches('`'))
            }
            None => "''".to_owned(),
        };
        let expected = format!(
            "SELECT number AS id, {} AS x, {} AS y FROM numbers(10)",
            by_hand(x),
            by_hand(y)
        );
        println!("{x}, {y}");
        let output = JobFile::new(&job).tool(&server, "run").run();
        if matches!(output.status, Some(2 | 3)) {
            // That it cannot be told what is meant is right as well.
            assert_eq!(server.text("SELECT count() FROM joined"), "0", "{output}");
        } else {
            output.expect(0);
            assert_fills(&server, &job, "joined", &["id"], &expected);
        }
    }
}

#[test]
fn columns_that_only_look_like_qualified_names() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE rows (id UInt64, `source.y` String, `lookup.y` String, `lookup.source.y` String) ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO rows SELECT number, 'source.y', 'lookup.y', 'lookup.source.y' FROM numbers(10)
         --;;
         CREATE TABLE attributes (id UInt64, x String, `source.x` String, `lookup.y` String) ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO attributes SELECT number, 'x', 'source.x', 'lookup.y' FROM numbers(5)
         --;;
         CREATE TABLE joined (id UInt64, a String, b String, c String, d String, e String, f String) ENGINE = ReplacingMergeTree ORDER BY id",
    );
    let job = r#"
        name = "qualifiers"
        [source]
        table = "rows"
        join_key = ["id"]
        [lookup]
        table = "attributes"
        join_key = ["id"]
        [target]
        table = "joined"
        [columns]
        id = "source.id"
        a = "source.`source.y`"
        b = "source.`lookup.y`"
        c = "source.`lookup.source.y`"
        d = "lookup.x"
        e = "lookup.`source.x`"
        f = "lookup.`lookup.y` || '!'"
    "#;
    let expected = "
        SELECT number AS id, 'source.y' AS a, 'lookup.y' AS b, 'lookup.source.y' AS c, if(id < 5, 'x', '') AS d, if(id < 5, 'source.x', '') AS e,
            if(id < 5, 'lookup.y!', '!') AS f
        FROM numbers(10)";
    assert_fills(&server, job, "joined", &["id"], expected);
}

/// The statement of such an insert has 300 KB; in a request line it would be refused.
#[test]
#[ignore = "slow: about 19 s"]
fn a_thousand_columns_with_long_expressions() {
    let server = Server::shared();
    let each = |f: &dyn Fn(u32) -> String| (0..1000).map(f).collect::<Vec<_>>().join(", ");
    server.query(&format!(
        "CREATE TABLE wide (id UInt32, {}) ENGINE = MergeTree ORDER BY id",
        each(&|n| format!("c{n} UInt32"))
    ));
    server.query(&format!(
        "INSERT INTO wide SELECT number, {} FROM numbers(50)",
        each(&|n| format!("number + {n}"))
    ));
    server.query(&format!(
        "CREATE TABLE wide_copy (id UInt32, {}) ENGINE = ReplacingMergeTree ORDER BY id",
        each(&|n| format!("c{n} UInt64"))
    ));
    let comment = "a comment that makes the statement long ".repeat(5);
    let columns: Vec<_> =
        (0..1000).map(|n| format!("c{n} = 'source.c{n} + {n} /* {comment} */'")).collect();
    let job = format!(
        "name = 'wide'\n[source]\ntable = 'wide'\n[target]\ntable = 'wide_copy'\n[columns]\nid = 'source.id'\n{}",
        columns.join("\n")
    );
    let expected =
        format!("SELECT id, {} FROM wide", each(&|n| format!("toUInt64(number_{n}) AS c{n}")))
            .replace("number_", "c");
    let expected = (0..1000).rev().fold(expected, |sql, n| {
        sql.replace(&format!("toUInt64(c{n})"), &format!("toUInt64(c{n} + {n})"))
    });
    assert_fills(&server, &job, "wide_copy", &["id"], &expected);
}
