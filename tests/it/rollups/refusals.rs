//! Targets that would not hold the groups exactly: each bug is named, with what mends it, and nothing is
//! written.

use super::fixture::{COST, PERFORMANCE, QUALITY, RESOURCE, Rollup, plan};
use crate::support::shown::titled;
use crate::support::{Output, Server, assert_text_snapshot};

/// `plan` of the roll-up with this definition of its target.
#[track_caller]
fn refused(rollup: &Rollup, definition: &str) -> Output {
    refused_job(rollup, definition, &rollup.job_file())
}

#[track_caller]
fn refused_job(rollup: &Rollup, definition: &str, job: &str) -> Output {
    let server = Server::shared();
    rollup.create_raw(&server);
    rollup.insert(&server, 1, 100);
    server.query(&format!("CREATE TABLE {} {definition}", rollup.hourly));
    let output = plan(&server, job).run().expect(3);
    let rows = server.text(&format!("SELECT count() FROM {}", rollup.hourly));
    assert_eq!(rows, "0", "{output}");
    output
}

/// The job with aggregates that give values, as naive views do.
fn naive(rollup: &Rollup) -> String {
    let plain = rollup.job_file().replace("State(", "(");
    plain.replace("avgState", "avg").replace("maxState", "max")
}

#[test]
fn the_naive_cost_table_adds_averages_and_merges_services() {
    let output = refused_job(
        &COST,
        "(hour DateTime('UTC'), customer_id UUID, cloud_provider String, service_name String, total_cost Float64, avg_utilization Float64, sample_count UInt64)
        ENGINE = SummingMergeTree PARTITION BY toYYYYMM(hour) ORDER BY (customer_id, cloud_provider, hour)",
        &naive(&COST),
    );
    assert_text_snapshot!(output.failure(), @r#"
    exit code 3
    error: the target table default.cost_metrics_hourly cannot hold the groups of the job exactly
      because: its sorting key (customer_id, cloud_provider, hour) lacks service_name, which the job groups by: merges would make one row of groups that differ only there
      because: its column avg_utilization is Float64, whose values a SummingMergeTree adds, and the expression in line 18 is avg(…): merges would add its values
    hint: ORDER BY (customer_id, cloud_provider, hour, `service_name`) in the target
    hint: `avg_utilization` AggregateFunction(avg, Float32) in an AggregatingMergeTree, with avg_utilization = "avgState(…)" under [columns]
    "#);
}

#[test]
fn the_naive_performance_table_keeps_the_value_of_one_row() {
    let output = refused_job(
        &PERFORMANCE,
        "(hour DateTime('UTC'), customer_id UUID, service_id UUID, service_type String, avg_latency Float64, p95_latency Float32, p99_latency Float32,
        avg_throughput Float64, avg_gpu_util Float64, request_count UInt64)
        ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(hour) ORDER BY (customer_id, service_id, hour)",
        &naive(&PERFORMANCE),
    );
    assert_text_snapshot!(output.failure(), @r#"
    exit code 3
    error: the target table default.performance_metrics_hourly cannot hold the groups of the job exactly
      because: its sorting key (customer_id, service_id, hour) lacks service_type, which the job groups by: merges would make one row of groups that differ only there
      because: its column avg_latency is Float64, and of a plain column an AggregatingMergeTree keeps the value of any one row when it merges rows of a group; the expression in line 17 is avg(…)
      because: its column p95_latency is Float32, and of a plain column an AggregatingMergeTree keeps the value of any one row when it merges rows of a group; the expression in line 18 is quantile(…)
      because: its column p99_latency is Float32, and of a plain column an AggregatingMergeTree keeps the value of any one row when it merges rows of a group; the expression in line 19 is quantile(…)
      because: its column avg_throughput is Float64, and of a plain column an AggregatingMergeTree keeps the value of any one row when it merges rows of a group; the expression in line 20 is avg(…)
      because: its column avg_gpu_util is Float64, and of a plain column an AggregatingMergeTree keeps the value of any one row when it merges rows of a group; the expression in line 21 is avg(…)
      because: its column request_count is UInt64, and of a plain column an AggregatingMergeTree keeps the value of any one row when it merges rows of a group; the expression in line 22 is count(…)
    hint: ORDER BY (customer_id, service_id, hour, `service_type`) in the target
    hint: `avg_latency` AggregateFunction(avg, Float32) in an AggregatingMergeTree, with avg_latency = "avgState(…)" under [columns]
    hint: `p95_latency` AggregateFunction(quantile(0.95), Float32) in an AggregatingMergeTree, with p95_latency = "quantileState(0.95)(…)" under [columns]
    hint: `p99_latency` AggregateFunction(quantile(0.99), Float32) in an AggregatingMergeTree, with p99_latency = "quantileState(0.99)(…)" under [columns]
    hint: `avg_throughput` AggregateFunction(avg, Float32) in an AggregatingMergeTree, with avg_throughput = "avgState(…)" under [columns]
    hint: `avg_gpu_util` AggregateFunction(avg, Float32) in an AggregatingMergeTree, with avg_gpu_util = "avgState(…)" under [columns]
    hint: `request_count` SimpleAggregateFunction(sum, UInt64) in an AggregatingMergeTree
    "#);
}

#[test]
fn the_naive_resource_table_is_refused_even_if_its_key_is_whole() {
    let output = refused_job(
        &RESOURCE,
        "(hour DateTime('UTC'), customer_id UUID, instance_id String, instance_type String, avg_gpu_util Float64, max_gpu_util Float32, avg_gpu_memory Float64,
        avg_cpu_util Float64, sample_count UInt64)
        ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(hour) ORDER BY (customer_id, instance_id, instance_type, hour)",
        &naive(&RESOURCE),
    );
    assert_text_snapshot!(output.failure(), @r#"
    exit code 3
    error: the target table default.resource_metrics_hourly cannot hold the groups of the job exactly
      because: its column avg_gpu_util is Float64, and of a plain column an AggregatingMergeTree keeps the value of any one row when it merges rows of a group; the expression in line 17 is avg(…)
      because: its column max_gpu_util is Float32, and of a plain column an AggregatingMergeTree keeps the value of any one row when it merges rows of a group; the expression in line 18 is max(…)
      because: its column avg_gpu_memory is Float64, and of a plain column an AggregatingMergeTree keeps the value of any one row when it merges rows of a group; the expression in line 19 is avg(…)
      because: its column avg_cpu_util is Float64, and of a plain column an AggregatingMergeTree keeps the value of any one row when it merges rows of a group; the expression in line 20 is avg(…)
      because: its column sample_count is UInt64, and of a plain column an AggregatingMergeTree keeps the value of any one row when it merges rows of a group; the expression in line 21 is count(…)
    hint: `avg_gpu_util` AggregateFunction(avg, Float32) in an AggregatingMergeTree, with avg_gpu_util = "avgState(…)" under [columns]
    hint: `max_gpu_util` SimpleAggregateFunction(max, Float32) in an AggregatingMergeTree
    hint: `avg_gpu_memory` AggregateFunction(avg, Float32) in an AggregatingMergeTree, with avg_gpu_memory = "avgState(…)" under [columns]
    hint: `avg_cpu_util` AggregateFunction(avg, Float32) in an AggregatingMergeTree, with avg_cpu_util = "avgState(…)" under [columns]
    hint: `sample_count` SimpleAggregateFunction(sum, UInt64) in an AggregatingMergeTree
    "#);
}

#[test]
fn states_must_be_of_the_columns_function_and_type() {
    let definition = QUALITY
        .hourly_definition
        .replace(
            "avg_quality AggregateFunction(avg, Float32)",
            "avg_quality AggregateFunction(avg, Float64)",
        )
        .replace(
            "avg_relevance AggregateFunction(avg, Float32)",
            "avg_relevance AggregateFunction(quantile(0.5), Float32)",
        )
        .replace(
            "hallucination_count SimpleAggregateFunction(sum",
            "hallucination_count SimpleAggregateFunction(max",
        );
    let output = refused(&QUALITY, &definition);
    assert_text_snapshot!(output.failure(), @r#"
    exit code 3
    error: the target table default.quality_metrics_hourly cannot hold the groups of the job exactly
      because: its column avg_quality is AggregateFunction(avg, Float64), and the expression in line 17 gives AggregateFunction(avg, Float32)
      because: its column avg_relevance is AggregateFunction(quantile(0.5), Float32), and the expression in line 18 gives AggregateFunction(avg, Float32)
      because: its column hallucination_count is SimpleAggregateFunction(max, UInt64), which combines values by max, and the expression in line 21 is sum(…)
    hint: avg_quality = "avgState(CAST(… AS Float64))" under [columns]
    hint: avg_relevance = "quantileState(0.5)(CAST(… AS Float32))" under [columns]
    hint: fill hallucination_count by max(…) or maxIf(…), or change it: `hallucination_count` SimpleAggregateFunction(sum, UInt64) in an AggregatingMergeTree
    "#);
}

#[test]
fn plain_aggregates_do_not_fill_states() {
    let output = refused_job(&COST, COST.hourly_definition, &naive(&COST));
    assert_text_snapshot!(output.failure(), @r#"
    exit code 3
    error: the target table default.cost_metrics_hourly cannot hold the groups of the job exactly
      because: its column avg_utilization is AggregateFunction(avg, Float32), and the expression in line 18 gives Float64
    hint: avg_utilization = "avgState(CAST(… AS Float32))" under [columns]
    "#);
}

#[test]
fn keys_of_the_target_and_of_the_group_are_the_same() {
    let output = refused(
        &COST,
        "(hour DateTime('UTC'), customer_id UUID, cloud_provider String, region String, total_cost SimpleAggregateFunction(sum, Float64),
        avg_utilization AggregateFunction(avg, Float32), sample_count SimpleAggregateFunction(sum, UInt64))
        ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(hour) ORDER BY (customer_id, cloud_provider, region, hour)",
    );
    assert_text_snapshot!(output.failure(), @r"
    exit code 3
    error: the target table default.cost_metrics_hourly cannot hold the groups of the job exactly
      because: it has no column service_name that an insert may fill, which line 14 groups by
    hint: add the column service_name to the target, or remove it from [group]
    ");
    let job = COST.job_file().replace("service_name = \"source.service_name\"\n", "");
    let output = refused_job(
        &COST,
        "(hour DateTime('UTC'), customer_id UUID, cloud_provider String, region String, total_cost SimpleAggregateFunction(sum, Float64),
        avg_utilization AggregateFunction(avg, Float32), sample_count SimpleAggregateFunction(sum, UInt64), loaded Date DEFAULT today())
        ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(loaded) ORDER BY (customer_id, cloud_provider, region, hour)",
        &job,
    );
    assert_text_snapshot!(output.failure(), @r"
    exit code 3
    error: the target table default.cost_metrics_hourly cannot hold the groups of the job exactly
      because: its sorting key (customer_id, cloud_provider, region, hour) has region, which the job does not group by: rows of one group would not be merged
      because: its partition key (toYYYYMM(loaded)) reads loaded, which the job does not group by: rows of one group could lie in several partitions
    hint: add region under [group], or leave it out of the sorting key
    hint: add loaded under [group], or partition the target by a key of the group
    ");
}

#[test]
fn a_sum_that_may_be_zero_needs_a_count_beside_it() {
    let job = COST.job_file().replace("sample_count = \"count()\"\n", "");
    let output = refused_job(
        &COST,
        "(hour DateTime('UTC'), customer_id UUID, cloud_provider String, service_name String, total_cost Float64, avg_utilization AggregateFunction(avg, Float32))
        ENGINE = SummingMergeTree PARTITION BY toYYYYMM(hour) ORDER BY (customer_id, cloud_provider, service_name, hour)",
        &job,
    );
    assert_text_snapshot!(output.failure(), @r"
    exit code 3
    error: the target table default.cost_metrics_hourly cannot hold the groups of the job exactly
      because: its engine SummingMergeTree removes rows whose sums are all 0, and the job counts no rows
    hint: add a column filled by count(), or use an AggregatingMergeTree
    ");
}

#[test]
fn engines_that_pair_rows_hold_no_groups() {
    let output = refused(
        &COST,
        "(hour DateTime('UTC'), customer_id UUID, cloud_provider String, service_name String, total_cost Float64, avg_utilization Float64, sample_count UInt64, sign Int8)
        ENGINE = CollapsingMergeTree(sign) PARTITION BY toYYYYMM(hour) ORDER BY (customer_id, cloud_provider, service_name, hour)",
    );
    assert_text_snapshot!(output.failure(), @r"
    exit code 3
    error: the target table default.cost_metrics_hourly cannot hold the groups of the job exactly
      because: its engine is CollapsingMergeTree; groups need an AggregatingMergeTree, or a SummingMergeTree, a ReplacingMergeTree or a MergeTree
    hint: use an AggregatingMergeTree
    ");
}

#[test]
fn an_expression_that_is_no_aggregate_names_its_line() {
    let server = Server::shared();
    COST.create_raw(&server);
    COST.create_hourly(&server);
    let refused = |replaced: &str, expression: &str| {
        let job = COST.job_file().replace(replaced, expression);
        (expression.to_owned(), plan(&server, &job).run().expect(2).failure())
    };
    let cases = [
        "source.cost_per_hour",
        "sum(source.cost_per_hour) / 2",
        "sum(sum(source.cost_per_hour)) OVER ()",
        "sum(source.cost_per_hour * rand())",
    ];
    let cases = cases.map(|expression| refused("sum(source.cost_per_hour)", expression));
    let key = refused("toStartOfHour(source.timestamp)", "max(source.timestamp)");
    assert_text_snapshot!(titled(cases.into_iter().chain([key])), @"
    # source.cost_per_hour
    exit code 2
    error: job.toml, line 17: the expression of column total_cost together with the others: is refused by the server: Code: 215. [WORDS OF THE SERVER] (NOT_AN_AGGREGATE)

    # sum(source.cost_per_hour) / 2
    exit code 2
    error: job.toml, line 17: the expression of column total_cost is not an aggregate function; with [group] each column is one, such as sum(…), and a column to group by belongs under [group]

    # sum(sum(source.cost_per_hour)) OVER ()
    exit code 2
    error: job.toml, line 17: the expression of column total_cost uses sum, which is a window function; only the rows of a group can be used

    # sum(source.cost_per_hour * rand())
    exit code 2
    error: job.toml, line 17: the expression of column total_cost uses rand, which is not deterministic: it may give another result when a batch is sent again or verified; to allow it, list it in allow_functions under [target]

    # max(source.timestamp)
    exit code 2
    error: job.toml, line 11: the expression of column hour uses max, which is an aggregate function; only the current row can be used
    ");
}
