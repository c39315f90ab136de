//! `job schema`, and the reference of job files.

use std::path::Path;

use serde_json::Value;

use crate::support::binary;

#[test]
fn the_schema_of_job_files_is_printed_as_json() {
    let output = binary().args(&["job", "schema"]).run().expect(0);
    let schema: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["name", "source", "target", "columns"]));
    let window = &schema["properties"]["lookup"]["properties"]["window"]["properties"];
    assert_eq!(window["days_before"]["type"], "integer", "{window}");
}

#[test]
fn the_reference_of_job_files_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/job-file.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        page,
        clickhouse_backfill::internals::job::reference(),
        "run scripts/generate-references"
    );
}
