//! Values that compare otherwise than they look: NULL and defaults, maps, NaN, dictionaries, JSON.

use crate::jobs::fixture::{JobFile, UNUSUAL_TYPES, make};
use crate::support::Server;

const JOB: &str = "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = 'copies'\n[settings.insert]\ntype_json_skip_duplicated_paths = 1\n[columns]\n\
    id = 'source.id'\ntext = 'source.text'\nnumber = 'source.number'\nmap = 'source.map'\nmaps = 'source.maps'\nfloat = 'source.float'\n\
    floats = 'source.floats'\nlow = 'source.low'\njson = 'source.map'\npair = 'source.pair'\n";

const COLUMNS: &str =
    "id UInt32, text Nullable(String), number Nullable(UInt32), map Map(LowCardinality(String), String), maps Array(Map(String, UInt8)),
    float Float64, floats Array(Nullable(Float32)), low LowCardinality(Nullable(String)), pair Tuple(a Map(String, Float64), b String)";

fn filled() -> (Server, JobFile) {
    let server = Server::shared();
    make(
        &server,
        &[
            format!("CREATE TABLE stored ({COLUMNS}) ENGINE = MergeTree ORDER BY id"),
            format!("CREATE TABLE copies ({COLUMNS}, json JSON) ENGINE = ReplacingMergeTree ORDER BY id"),
            "INSERT INTO stored SELECT number, if(number % 3 = 0, NULL, ''), if(number % 3 = 1, NULL, 0), map('b', '1', 'a', toString(number)),
                 [map('y', 1, 'x', 2), map()], [nan, -nan, 0., -0., inf][1 + number % 5], [nan, NULL, 0], [NULL, '', 'x'][1 + number % 3],
                 (map('d', nan, 'c', 1), 'b') FROM numbers(100)"
                .to_owned(),
        ],
    );
    let job = JobFile::new(JOB);
    job.tool(&server, "run").run().expect(0);
    (server, job)
}

#[test]
fn the_same_values_are_equal() {
    let (server, job) = filled();
    job.tool(&server, "verify").run().expect(0);
    // The pairs of a map have no order, and NaN has many forms.
    for update in [
        "map = mapFromArrays(['a', 'b'], [map['a'], map['b']])",
        "maps = [map('x', 2, 'y', 1), map()]",
        "float = if(isNaN(float), reinterpretAsFloat64(0xFFF8000000000123), float)",
        "pair = (map('c', 1, 'd', nan), 'b')",
    ] {
        server.query(&format!(
            "ALTER TABLE copies UPDATE {update} WHERE 1 SETTINGS mutations_sync = 2"
        ));
        let output = job.tool(&server, "verify").run();
        assert_eq!(output.status, Some(0), "{update}\n{output}");
    }
}

#[test]
#[ignore = "slow: a comparison for each type"]
fn other_values_are_different() {
    let (server, job) = filled();
    for (column, update) in [
        ("text", "text = '' WHERE text IS NULL AND id = 9"),
        ("text", "text = NULL WHERE text = '' AND id = 10"),
        ("number", "number = 0 WHERE number IS NULL AND id = 4"),
        ("map", "map = mapUpdate(map, map('a', 'other')) WHERE id = 5"),
        ("maps", "maps = [map(), map('y', 1, 'x', 2)] WHERE id = 6"),
        ("float", "float = 1 WHERE id = 5"),
        ("float", "float = -0. WHERE id = 7"),
        ("floats", "floats = [nan, 0, 0] WHERE id = 7"),
        ("low", "low = '' WHERE id = 9"),
        ("json", "json = '{\"a\": \"8\"}' WHERE id = 8"),
        ("pair", "pair = (map('c', 1, 'd', 2), 'b') WHERE id = 8"),
    ] {
        server.query_with(
            &format!("ALTER TABLE copies UPDATE {update} SETTINGS mutations_sync = 2"),
            UNUSUAL_TYPES,
        );
        let output = job.tool(&server, "verify").run().expect(4);
        let line = format!("  in {column}  (chunk 1)\n");
        assert!(
            output.stdout.contains(&line)
                && output.stdout.contains("\ndiffering rows                      1\n"),
            "{update}\n{output}"
        );
        // Back to what it was: of equal versions, the later insert wins.
        job.tool(&server, "run").run().expect(0);
    }
}
