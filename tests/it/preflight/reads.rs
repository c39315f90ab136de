//! Statements that read and that the server refuses: `plan`, `run` and `verify` agree, and no row
//! moves.

use super::fixture::{look, tool_with};
use crate::orders::{JOB, Orders, PARTITION};
use crate::support::shown::titled;
use crate::support::{Server, assert_text_snapshot, binary};

#[test]
fn final_on_a_table_that_does_not_replace_rows_blocks_plan_run_and_verify() {
    let orders = Orders::on(Server::shared(), 1_000);
    orders.server.script(
        "CREATE TABLE heap AS orders ENGINE = MergeTree PARTITION BY toYYYYMM(placed) ORDER BY (customer, id)
         --;;
         INSERT INTO heap SELECT * FROM orders",
    );
    let job = JOB.replace("table = \"orders\"", "table = \"heap\"");
    let database = orders.server.database();
    let reading = format!("the server refuses reading {database}.heap: Code: 181.");
    let counting = format!("the server refuses counting {database}.heap: Code: 181.");
    let hint = "remove `final = true` under [source] of the job";
    look(tool_with(&orders, &job), 3).assert("reads", "blocked", &[&reading, &counting, hint]);
    let run = orders.tool().file("job.toml", &job).run().expect(3);
    assert_eq!(orders.target_rows(), 0, "no row moves");
    let dry = orders.tool().file("job.toml", &job).arg("--dry-run").run().expect(3);
    let verify = binary()
        .file("job.toml", &job)
        .envs(&orders.server.environment())
        .args(&["verify", "--job", "job.toml", "--partition", PARTITION])
        .run()
        .expect(3);
    let cases = [("run", run), ("dry run", dry), ("verify", verify)];
    let cases = cases.map(|(case, output)| (case, output.failure()));
    assert_text_snapshot!(titled(cases), @"
    # run
    exit code 3
    error: the check reads blocks the run
      because: reads: the server refuses reading default.heap: Code: 181. [WORDS OF THE SERVER] (ILLEGAL_FINAL)
    hint: remove `final = true` under [source] of the job: the table's engine does not replace rows

    # dry run
    exit code 3
    error: the check reads blocks the run
      because: reads: the server refuses reading default.heap: Code: 181. [WORDS OF THE SERVER] (ILLEGAL_FINAL)
    hint: remove `final = true` under [source] of the job: the table's engine does not replace rows

    # verify
    exit code 3
    error: the check reads blocks the verify
      because: reads: the server refuses evaluating the job over default.heap: Code: 181. [WORDS OF THE SERVER] (ILLEGAL_FINAL)
    hint: remove `final = true` under [source] of the job: the table's engine does not replace rows
    ");
    // Without it, all agree again.
    let job = job.replace("final = true", "final = false");
    look(tool_with(&orders, &job), 0).assert("reads", "ok", &["accepts every read"]);
    orders.tool().file("job.toml", &job).run().expect(0);
}

#[test]
fn a_measurement_that_fails_permanently_blocks_the_plan() {
    let orders = Orders::on(Server::shared(), 1_000);
    // Half of the notes are no numbers, which only the rows tell.
    let job = JOB.replace("\"source.amount * 2\"", "\"toDecimal64(source.note, 2)\"");
    let plan = |job: &str| {
        let tool = binary().file("job.toml", job).envs(&orders.server.environment());
        tool.args(&["plan", "--job", "job.toml", "--partition", PARTITION, "--measure", "2s"])
    };
    look(plan(&job), 3).assert("dry-run", "blocked", &["the dry run failed", "CANNOT_PARSE"]);
    orders.tool().file("job.toml", &job).run().expect(1);
    look(plan(JOB), 0).assert("reads", "ok", &[]);
}

#[test]
fn a_function_that_does_not_exist_blocks_plan_and_run() {
    let orders = Orders::on(Server::shared(), 100);
    let exclusions = "[source.exclusions]\nodd = \"noSuchFunction(source.id) = 1\"\n\n[lookup]";
    let job = JOB.replace("[lookup]", exclusions);
    let plan = tool_with(&orders, &job).args(&["--exclude", "odd"]).run().expect(3);
    let run = orders.tool().file("job.toml", &job).args(&["--exclude", "odd"]).run().expect(3);
    let cases = [("plan", plan), ("run", run)].map(|(case, output)| {
        assert!(output.stderr.contains("noSuchFunction"), "the server's words\n{output}");
        (case, output.failure())
    });
    assert_text_snapshot!(titled(cases), @"
    # plan
    exit code 3
    error: the source table default.orders cannot be used: the server rejects the exclusion: Code: 46. [WORDS OF THE SERVER] (UNKNOWN_FUNCTION)

    # run
    exit code 3
    error: the source table default.orders cannot be used: the server rejects the exclusion: Code: 46. [WORDS OF THE SERVER] (UNKNOWN_FUNCTION)
    ");
    assert_eq!(orders.target_rows(), 0);
}
