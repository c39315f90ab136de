//! Prometheus's text format, read strictly: the grammar of
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>, and what
//! `promtool check metrics` would say of names.

use std::collections::{BTreeMap, BTreeSet};

/// One sample: labels in the order of their names, and the value.
pub type Samples = BTreeMap<BTreeMap<String, String>, f64>;

/// A text that was read, by the families' names.
#[derive(Debug)]
pub struct Exposition(pub BTreeMap<String, Family>);

#[derive(Debug)]
pub struct Family {
    pub kind: String,
    /// By the name of the sample, which has an ending in a histogram.
    pub samples: BTreeMap<String, Samples>,
}

impl Exposition {
    /// Panics where the text is not what it should be.
    #[track_caller]
    pub fn read(text: &str) -> Self {
        assert!(text.ends_with('\n') && !text.contains('\r'), "{text}");
        let mut families = BTreeMap::new();
        let mut current: Option<(String, Family)> = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                if let Some((name, family)) = current.take() {
                    assert!(families.insert(name.clone(), family).is_none(), "{name} comes twice");
                }
                let (name, help) =
                    rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(is_name(name) && help.trim() == help && help.ends_with('.'), "{line}");
                current = Some((
                    name.to_owned(),
                    Family { kind: String::new(), samples: BTreeMap::new() },
                ));
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let (current, family) = current.as_mut().expect("HELP comes before TYPE");
                assert!(current == name && family.kind.is_empty(), "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                kind.clone_into(&mut family.kind);
            } else {
                let (name, labels, value) = sample(line);
                let (family_name, family) = current.as_mut().expect("a sample belongs to a family");
                let ending = name
                    .strip_prefix(family_name.as_str())
                    .unwrap_or_else(|| panic!("not of {family_name}: {line}"));
                let endings: &[&str] =
                    if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(endings.contains(&ending), "{line}");
                assert!(
                    family.samples.entry(name).or_default().insert(labels, value).is_none(),
                    "twice: {line}"
                );
            }
        }
        families.extend(current);
        for (name, family) in &families {
            check(name, family);
        }
        Self(families)
    }

    /// The names of all families.
    pub fn names(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    /// The value of a sample; labels that are not named may be anything.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.known(name, labels).unwrap_or_else(|| panic!("no {name} with {labels:?}"))
    }

    /// The same, where there is one.
    pub fn known(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let name = format!("clickhouse_backfill_{name}");
        let all = self.0.values().find_map(|family| family.samples.get(&name))?;
        let fits = |found: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| found.get(*label).is_some_and(|is| is == value))
        };
        let found: Vec<_> =
            all.iter().filter(|(found, _)| fits(found)).map(|(_, value)| *value).collect();
        assert!(found.len() <= 1, "{name} with {labels:?} is not one");
        found.first().copied()
    }

    /// The sum over all samples of a family without endings.
    pub fn sum(&self, name: &str) -> f64 {
        let name = format!("clickhouse_backfill_{name}");
        self.0[&name].samples.get(&name).map_or(0.0, |samples| samples.values().sum())
    }
}

/// A metric name, without the colon that is for recording rules.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `name{label="value",…} value`, without a time.
#[track_caller]
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no sample: {line:?}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, behind) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            assert!(is_name(label) && !label.starts_with("__"), "{line}");
            let (value, behind) = quoted(behind);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = behind;
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap_or_else(|| panic!("{line}"));
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    assert!(!value.contains(' '), "{line}");
    (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("{line}")))
}

/// The text up to the closing quote, and what stands behind it.
fn quoted(text: &str) -> (String, &str) {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((place, c)) = characters.next() {
        match c {
            '"' => return (value, &text[place + 1..]),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                other => panic!("an escape that there is not: {other:?} in {text}"),
            },
            c => value.push(c),
        }
    }
    panic!("no closing quote: {text}")
}

/// Names, units, and histograms that add up.
#[track_caller]
fn check(name: &str, family: &Family) {
    let Family { kind, samples } = family;
    assert!(!kind.is_empty(), "{name} has no type");
    assert!(name.starts_with("clickhouse_backfill_") && name.to_lowercase() == *name, "{name}");
    assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    for ending in ["_count", "_sum", "_bucket", "_info_total"] {
        assert!(!name.ends_with(ending), "{name}");
    }
    // Base units, and no abbreviations of them; neither the kind in the name.
    for word in name.split('_') {
        let wrong = [
            "ms",
            "milliseconds",
            "microseconds",
            "minutes",
            "hours",
            "kib",
            "mib",
            "gib",
            "kilobytes",
            "percent",
            "secs",
            "counter",
            "gauge",
        ];
        assert!(!wrong.contains(&word), "{name}");
    }
    let all = samples.values().flat_map(BTreeMap::iter);
    for (labels, value) in all.clone() {
        assert!(value.is_finite() && *value >= 0.0, "{name} {labels:?} {value}");
    }
    if kind == "histogram" {
        let mut buckets: Vec<_> = samples[&format!("{name}_bucket")]
            .iter()
            .map(|(labels, count)| (bound(&labels["le"]), *count))
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(
            buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1),
            "{name}: {buckets:?}"
        );
        let (last, count) = *buckets.last().unwrap();
        assert!(
            last.is_infinite()
                && samples[&format!("{name}_count")].values().all(|all| *all == count),
            "{name}: {buckets:?}"
        );
        assert!(samples[&format!("{name}_sum")].len() == 1, "{name}");
    }
}

fn bound(text: &str) -> f64 {
    if text == "+Inf" { f64::INFINITY } else { text.parse().unwrap() }
}
