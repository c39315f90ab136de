//! What was done of all partitions, in one line.

use super::{PartitionHistory, State};

/// `202401–202510 done, 202511 failed at 63 %, 202512 not started`; neighbours of which the same is
/// to be said are put together.
pub(super) fn summary(partitions: &[PartitionHistory]) -> String {
    let mut groups: Vec<(&str, &str, String)> = Vec::new();
    for partition in partitions {
        let (id, words) = (partition.partition.as_str(), words(partition));
        match groups.last_mut() {
            Some((_, last, same)) if *same == words => *last = id,
            _ => groups.push((id, id, words)),
        }
    }
    let group = |(first, last, words): (&str, &str, String)| {
        if first == last { format!("{first} {words}") } else { format!("{first}–{last} {words}") }
    };
    groups.into_iter().map(group).collect::<Vec<_>>().join(", ")
}

fn words(partition: &PartitionHistory) -> String {
    let state = partition.state.words();
    match (partition.state, partition.percent) {
        (State::Done | State::NotStarted, _) | (_, None) => state.to_owned(),
        (_, Some(percent)) => format!("{state} at {percent} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_put_together() {
        let partition = |id: &str, state, percent| PartitionHistory {
            partition: id.to_owned(),
            state,
            percent,
            source_rows: None,
            loads: Vec::new(),
        };
        let partitions = [
            partition("202401", State::Done, Some(100)),
            partition("202402", State::Done, Some(100)),
            partition("202404", State::Done, Some(100)),
            partition("202405", State::Failed, Some(63)),
            partition("202406", State::Failed, Some(12)),
            partition("202407", State::NotStarted, None),
            partition("202408", State::Running, Some(0)),
        ];
        let text = "202401–202404 done, 202405 failed at 63 %, 202406 failed at 12 %, 202407 not started, 202408 running at 0 %";
        assert_eq!(summary(&partitions), text);
        assert_eq!(summary(&[]), "");
    }
}
