//! The four statements that are derived from a job: the lookup query, the source query, the insert,
//! and the join that is equivalent to the three together.
//!
//! All are pure functions of the [`BoundJob`](super::BoundJob) and of the [`Scope`]. Columns are always named in the
//! same order, so that the bytes of a source row followed by those of a lookup row are a row of the
//! insert, without the byte that ends each ([`END_OF_ROW`]).

mod deferred;
mod group;
mod insert;
mod join;
mod lookup;
mod older;
mod source;

pub(crate) use deferred::{KeyBytes, deferred_lookup, deferred_lookup_settings, named_key};
pub(crate) use group::{
    estimated_groups, groups_before_horizon, partition_keys_of_groups, partitions_of_groups,
    targets_of_groups,
};
pub(crate) use insert::{
    dry_run, evaluate_rows, evaluate_rows_settings, input_columns, insert, insert_join_settings,
    insert_settings,
};
pub(crate) use join::{
    aggregation_of_all, count_matches, counted_groups, finished, finished_settings, insert_join,
    join, join_of, join_settings,
};
pub(crate) use lookup::{lookup, lookup_from, lookup_settings, miss};
pub(crate) use older::{OlderRows, older_rows};
pub(crate) use source::{
    Bucket, END_OF_ROW, LookupTimes, Scope, count, count_settings, count_where, count_with_keys,
    deleted_after, deleted_rows_after, deleted_settings, is_read_narrow, narrow, narrow_settings,
    source, source_blocks_settings, source_in_order, source_settings,
};
