//! The join that `plan --sql` prints, so that people can trust it: it must give what the oracle
//! says as well.

use super::fixture::{Generation, assert_filled, oracle, tool};
use crate::support::Server;

/// Executes the derived join into a twin of the target and compares that with the oracle.
#[track_caller]
pub fn assert_derived_join_is_the_oracle(server: &Server, generation: Generation, partition: &str) {
    let arguments = ["plan", "--sql", "--partition", partition, "--target-table", generation.table];
    execute_derived_join(server, &arguments, generation.table, "twin");
    assert_filled(server, "twin", partition, &oracle(partition));
    server.query("DROP TABLE twin SYNC");
}

/// Makes a twin of the table and fills it by the join that this command prints.
#[track_caller]
pub fn execute_derived_join(server: &Server, arguments: &[&str], table: &str, twin: &str) {
    let printed = tool(server).args(arguments).run().expect(0).stdout;
    let join = printed
        .split_once("-- equivalent join\n")
        .and_then(|(_, rest)| rest.trim_end().strip_suffix(';'));
    let join = join.unwrap_or_else(|| panic!("no equivalent join is printed:\n{printed}"));
    let columns =
        printed.split_once("-- insert of a batch\n").and_then(|(_, rest)| rest.lines().next());
    let columns = columns
        .and_then(|line| Some(&line[line.find('(')?..]))
        .unwrap_or_else(|| panic!("no insert is printed:\n{printed}"));
    server.query(&format!("CREATE TABLE {twin} AS {table}"));
    // As the tool's own inserts do: a NULL must not silently become a default.
    server.query_with(
        &format!("INSERT INTO {twin} {columns}\n{join}"),
        &[("insert_null_as_default", "0")],
    );
}
