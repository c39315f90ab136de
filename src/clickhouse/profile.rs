//! Settings of a user's profile that would change rows, types or errors.
//!
//! A profile that sets `session_timezone` moves dates, one that sets `apply_deleted_mask = 0` brings
//! deleted rows back, and the stream, the join and `verify` would all be wrong alike. Instead of
//! sending hundreds of settings with every statement, the server is asked which ones the profile
//! has changed; those that can change results are sent with their defaults.
//!
//! `settings.tsv` judges every setting of the tested version:
//!
//! | class | meaning |
//! |---|---|
//! | `result` | can change rows, types or errors: goes back to the server's default |
//! | `limit` | bounds resources; a limit that is hit is an error, so it stays the user's |
//! | `speed` | changes how a result is computed, not what it is |
//! | `unused` | concerns formats, storages and statements that the program does not use |
//!
//! A setting that the table does not know, of a newer server, counts as `result`.

use serde::Deserialize;

use super::settings::Settings;

/// Every setting and its class, separated by a tab.
const JUDGED: &str = include_str!("settings.tsv");

/// A profile with more settings that cannot be changed than this is one with `readonly = 1`.
const READONLY: usize = 1000;

/// The question to [`system.settings`](https://clickhouse.com/docs/operations/system-tables/settings).
/// Settings of that statement itself count as changed, to the values that all statements have.
pub(super) const QUESTION: &str = "SELECT name, value, default, toUInt8(changed) AS changed, \
     toUInt8(readonly) AS fixed FROM system.settings WHERE (changed OR readonly) \
     AND alias_for = '' AND NOT is_obsolete";

/// A setting as the user's profile has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ProfileSetting {
    /// Its name.
    pub name: String,
    /// What the profile sets.
    pub value: String,
    /// The server's default.
    pub default: String,
    changed: u8,
    fixed: u8,
}

/// What a user's profile would change in the results of statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    reset: Vec<ProfileSetting>,
    fixed: Vec<ProfileSetting>,
}

impl Profile {
    /// Of a server that was not greeted yet.
    pub(super) const fn unknown() -> Self {
        Self { reset: Vec::new(), fixed: Vec::new() }
    }

    pub(super) fn of(settings: Vec<ProfileSetting>) -> Self {
        if settings.iter().filter(|setting| setting.fixed == 1).count() > READONLY {
            return Self::default();
        }
        let pinned = Settings::pinned();
        let decides = |setting: &ProfileSetting| match pinned.get(&setting.name) {
            Some(value) => setting.value != value,
            None => setting.value != setting.default && changes_results(&setting.name),
        };
        let (fixed, free): (Vec<_>, Vec<_>) =
            settings.into_iter().filter(decides).partition(|setting| setting.fixed == 1);
        let reset = free.into_iter().filter(|setting| setting.changed == 1).collect();
        Self { reset, fixed }
    }

    /// Settings of the profile that statements override, in the server's order.
    pub fn overridden(&self) -> &[ProfileSetting] {
        &self.reset
    }

    /// Settings of the profile under which results would be wrong, and which a constraint forbids
    /// to override.
    pub fn forced(&self) -> &[ProfileSetting] {
        &self.fixed
    }

    /// The defaults that go with every statement.
    pub(super) fn resets(&self) -> impl Iterator<Item = (&str, &str)> {
        self.reset.iter().map(|setting| (setting.name.as_str(), setting.default.as_str()))
    }
}

fn changes_results(name: &str) -> bool {
    let judged = JUDGED.lines().filter_map(|line| line.split_once('\t'));
    judged
        .into_iter()
        .find(|(setting, _)| *setting == name)
        .is_none_or(|(_, class)| class == "result")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: &str, default: &str, fixed: bool) -> ProfileSetting {
        ProfileSetting {
            name: name.to_owned(),
            value: value.to_owned(),
            default: default.to_owned(),
            changed: 1,
            fixed: u8::from(fixed),
        }
    }

    fn names(settings: &[ProfileSetting]) -> Vec<&str> {
        settings.iter().map(|setting| setting.name.as_str()).collect()
    }

    #[test]
    fn what_changes_results_is_reset_and_limits_stay() {
        let profile = Profile::of(vec![
            setting("session_timezone", "America/Chicago", "", false),
            setting("max_memory_usage", "1000000000", "0", false),
            setting("max_threads", "4", "8", false),
            setting("output_format_parquet_batch_size", "1", "1024", false),
            setting("a_setting_of_the_future", "1", "0", false),
        ]);
        assert_eq!(names(profile.overridden()), ["session_timezone", "a_setting_of_the_future"]);
        assert_eq!(profile.resets().next(), Some(("session_timezone", "")));
        assert!(profile.forced().is_empty());
    }

    #[test]
    fn constraints_count_only_where_they_decide() {
        let profile = Profile::of(vec![
            setting("session_timezone", "America/Chicago", "", true),
            setting("join_use_nulls", "0", "0", true),
            setting("flatten_nested", "1", "1", true),
            setting("max_threads", "4", "8", true),
        ]);
        assert_eq!(names(profile.forced()), ["session_timezone", "flatten_nested"]);
        assert!(profile.overridden().is_empty());
    }

    #[test]
    fn every_line_has_a_class() {
        for line in JUDGED.lines() {
            let (name, class) = line.split_once('\t').expect(line);
            let known = ["result", "limit", "speed", "unused"].contains(&class);
            assert!(known || class.starts_with("alias of "), "{name} {class}");
        }
    }
}
