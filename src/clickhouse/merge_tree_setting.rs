//! Settings of MergeTree tables.

/// SQL over `system.tables` for a number that is a [setting of the
/// table](https://clickhouse.com/docs/operations/settings/merge-tree-settings): its own, else the
/// server's. `engine` is the table's. A setting that the server does not know is 0.
pub fn merge_tree_setting(engine: &str, setting: &str) -> String {
    let defaults = if is_replicated(engine) {
        "replicated_merge_tree_settings"
    } else {
        "merge_tree_settings"
    };
    // `\b` tells two names apart of which one ends with the other.
    format!(
        "ifNull(toUInt64OrNull(extract(engine_full, '\\\\bSETTINGS .*\\\\b{setting} = (\\\\d+)')), \
         (SELECT max(toUInt64OrZero(value)) FROM system.{defaults} WHERE name = '{setting}'))"
    )
}

/// Whether tables of this engine have replicas, and settings of their own on the server. Keepers
/// hold the blocks of these.
pub(super) fn is_replicated(engine: &str) -> bool {
    engine.starts_with("Replicated") || engine.starts_with("Shared")
}
