//! A partition that is read in several chunks, by several readers at once: every row exactly once.

use super::fixture::JobFile;
use crate::support::{Comparison, Server};

#[test]
#[ignore = "slow: about 10 s"]
fn every_row_of_every_chunk_once() {
    let server = Server::shared();
    let rows: u64 = 2_300_000;
    server.script(&format!(
        "CREATE TABLE stored (key String, number UInt32, version UInt8) ENGINE = ReplacingMergeTree(version) ORDER BY (key, number)
         --;;
         SYSTEM STOP MERGES stored
         --;;
         INSERT INTO stored SELECT ['', '\\'', '\\\\', '\\0', '\\xFF\\xFE', 'a\\n', 'ä'][1 + number % 7], number, 1 FROM numbers({rows}) SETTINGS max_block_size = {rows}, min_insert_block_size_rows = {rows}
         --;;
         INSERT INTO stored SELECT ['', '\\'', '\\\\', '\\0', '\\xFF\\xFE', 'a\\n', 'ä'][1 + number % 7], number, 2 FROM numbers({rows}) WHERE number % 5 = 0
         --;;
         CREATE TABLE copies (key String, number UInt32, version UInt8) ENGINE = ReplacingMergeTree ORDER BY (key, number)
         --;;
         SYSTEM STOP MERGES copies"
    ));
    let job = JobFile::new(
        "name = 'copies'\n[source]\ntable = 'stored'\nfinal = true\nversion = 'version'\n[target]\ntable = 'copies'\n\
         [columns]\nkey = 'source.key'\nnumber = 'source.number'\nversion = 'source.version'\n",
    );
    let output =
        job.tool(&server, "run").args(&["--readers", "3", "--inserters", "2"]).run().expect(0);
    assert!(output.stderr.contains("3 chunks") || output.stdout.contains("3 chunks"), "{output}");
    let hash = |table: &str| {
        server.text(&format!("SELECT count(), sum(sipHash64(key, number, version)), groupBitXor(sipHash64(number)) FROM {table}"))
    };
    // Not FINAL: a row that was written twice would show.
    assert_eq!(hash("copies"), hash("stored FINAL"));
    assert_eq!(server.text("SELECT count() FROM copies"), rows.to_string());
}

#[test]
#[ignore = "slow: about 9 s"]
fn tables_with_keys_of_every_kind() {
    let server = Server::shared();
    let kinds = [
        "ORDER BY tuple()",
        "ORDER BY text SETTINGS allow_nullable_key = 1",
        "ORDER BY (number DESC, text) SETTINGS allow_experimental_reverse_key = 1, allow_nullable_key = 1",
        "ORDER BY (float, number)",
        "PRIMARY KEY tuple() ORDER BY number",
        "PARTITION BY intDiv(number, 1000000) ORDER BY (cityHash64(number), number) SETTINGS index_granularity = 16",
    ];
    for kind in kinds {
        server.script(&format!(
            "CREATE OR REPLACE TABLE stored (number UInt32, text Nullable(String), float Float64) ENGINE = MergeTree {kind}
             --;;
             INSERT INTO stored SELECT number, [NULL, '', '\\'', '\\\\', '\\0', '\\xFF'][1 + number % 6], [nan, 0., -0., inf, -inf, number][1 + number % 6] FROM numbers(5000)
             --;;
             INSERT INTO stored SELECT number, 'more', 1 / number FROM numbers(5000, 3000)
             --;;
             CREATE OR REPLACE TABLE copies (number UInt32, text Nullable(String), float Float64) ENGINE = ReplacingMergeTree ORDER BY number
             --;;
             SYSTEM STOP MERGES copies"
        ));
        let id = server.text("SELECT DISTINCT _partition_id FROM stored");
        let job = JobFile::new(
            "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = 'copies'\n[columns]\nnumber = 'source.number'\ntext = 'source.text'\nfloat = 'source.float'\n",
        );
        let partition = format!("id:{id}");
        let arguments =
            ["--partition", &partition, "--batch-size", "1000", "--stream-block-size", "77"];
        job.tool_without_partition(&server, "run").args(&arguments).run().expect(0);
        assert_eq!(server.text("SELECT count() FROM copies"), "8000", "{kind}");
        Comparison::of_table(&server, "copies", &["number"]).assert_same(
            kind,
            "SELECT * FROM copies",
            "SELECT * FROM stored",
        );
    }
}
