//! Metrics in memory, and their [text
//! format](https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format), version
//! 0.0.4.

use std::fmt::{self, Display};

use crate::escape::escape;

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only increases, from 0 at the start of the process.
    Counter,
    /// Increases and decreases.
    Gauge,
    /// Counts by bucket.
    Histogram,
}

/// Names of labels with their values.
type Labels = Vec<(String, String)>;

/// All metrics at one moment; `Display` writes the text format.
#[derive(Debug)]
pub(super) struct Exposition {
    pub families: Vec<Family>,
    /// Labels of every sample.
    common: Labels,
}

/// A metric family.
#[derive(Debug)]
pub(super) struct Family {
    pub name: String,
    pub kind: Kind,
    pub help: String,
    pub samples: Vec<Sample>,
}

/// A value with its labels.
#[derive(Debug)]
pub(super) struct Sample {
    /// The family's name; those of a histogram end with `_bucket`, `_sum` or `_count`.
    pub name: String,
    pub labels: Labels,
    /// A number, as it is written.
    pub value: String,
}

/// The samples of the last family, to which more are added.
pub(super) struct Samples<'a>(&'a mut Exposition);

/// The prefix of every family's name.
const PREFIX: &str = "clickhouse_backfill_";

impl Exposition {
    /// No metrics yet. The labels are put on every sample.
    pub(super) fn new(labels: &[(&str, &str)]) -> Self {
        Self { families: Vec::new(), common: owned(labels).collect() }
    }

    /// Begins a family; `clickhouse_backfill_` is put before its name. A family without samples is
    /// listed too.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) -> Samples<'_> {
        let (name, help) = (format!("{PREFIX}{name}"), help.to_owned());
        self.families.push(Family { name, kind, help, samples: Vec::new() });
        Samples(self)
    }

    /// A counter of one sample.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Counter, help).value(value);
    }

    /// A gauge of one sample.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.known(name, help, Some(value));
    }

    /// A gauge of one sample, or of none if the value is unknown.
    pub(super) fn known(&mut self, name: &str, help: &str, value: Option<impl Display>) {
        let mut samples = self.family(name, Kind::Gauge, help);
        if let Some(value) = value {
            samples.value(value);
        }
    }
}

impl Samples<'_> {
    /// A sample without further labels.
    pub(super) fn value(&mut self, value: impl Display) {
        self.add("", &[], value);
    }

    /// A sample with labels.
    pub(super) fn labelled(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.add("", labels, value);
    }

    /// A sample for each value of a label.
    pub(super) fn each<'b, V: Display>(
        &mut self,
        label: &str,
        samples: impl IntoIterator<Item = (&'b str, V)>,
    ) {
        for (of, value) in samples {
            self.labelled(&[(label, of)], value);
        }
    }

    /// A histogram: the number of observations in each bucket, by its upper bound, the number above
    /// all bounds, and the sum of all observations.
    pub(super) fn histogram(&mut self, buckets: &[(f64, u64)], larger: u64, sum: f64) {
        let mut total = 0;
        let bounds = buckets
            .iter()
            .map(|(bound, count)| (bound.to_string(), *count))
            .chain([("+Inf".to_owned(), larger)]);
        for (bound, count) in bounds {
            total += count;
            self.add("_bucket", &[("le", &bound)], total);
        }
        self.add("_sum", &[], sum);
        self.add("_count", &[], total);
    }

    fn add(&mut self, ending: &str, labels: &[(&str, &str)], value: impl Display) {
        let Exposition { families, common } = &mut *self.0;
        let Some(family) = families.last_mut() else { return };
        family.samples.push(Sample {
            name: format!("{}{ending}", family.name),
            labels: common.iter().cloned().chain(owned(labels)).collect(),
            value: value.to_string(),
        });
    }
}

/// Labels without control characters in their values.
fn owned(labels: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), escape(value).into_owned()))
}

impl Display for Exposition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Family { name, kind, help, samples } in &self.families {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let help = help.replace('\\', r"\\").replace('\n', r"\n");
            writeln!(formatter, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
            for Sample { name, labels, value } in samples {
                let labels = label_text(labels);
                let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
                writeln!(formatter, "{name}{labels} {value}")?;
            }
        }
        Ok(())
    }
}

/// `name="value"`, separated by commas.
fn label_text(labels: &Labels) -> String {
    let escaped = |value: &str| {
        // The format knows no other escapes than these three.
        value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
    };
    labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_samples() {
        let mut exposition = Exposition::new(&[("partition", "2025\\11\n\"x\"")]);
        exposition.family("rows_total", Kind::Counter, "Rows\nread.").value(7);
        let phases = [("plan", 0.0), ("stream", 1.5)];
        exposition.family("phase", Kind::Gauge, "Phase.").each("phase", phases);
        exposition.known("unknown", "None.", None::<u64>);
        exposition.family("seconds", Kind::Histogram, "Time.").histogram(
            &[(0.5, 1), (10.0, 2)],
            3,
            100.25,
        );
        let label = r#"partition="2025\\11\n\"x\"""#;
        let expected = format!(
            "# HELP clickhouse_backfill_rows_total Rows\\nread.\n# TYPE clickhouse_backfill_rows_total counter\nclickhouse_backfill_rows_total{{{label}}} 7\n\
             # HELP clickhouse_backfill_phase Phase.\n# TYPE clickhouse_backfill_phase gauge\n\
             clickhouse_backfill_phase{{{label},phase=\"plan\"}} 0\nclickhouse_backfill_phase{{{label},phase=\"stream\"}} 1.5\n\
             # HELP clickhouse_backfill_unknown None.\n# TYPE clickhouse_backfill_unknown gauge\n\
             # HELP clickhouse_backfill_seconds Time.\n# TYPE clickhouse_backfill_seconds histogram\n\
             clickhouse_backfill_seconds_bucket{{{label},le=\"0.5\"}} 1\nclickhouse_backfill_seconds_bucket{{{label},le=\"10\"}} 3\n\
             clickhouse_backfill_seconds_bucket{{{label},le=\"+Inf\"}} 6\n\
             clickhouse_backfill_seconds_sum{{{label}}} 100.25\nclickhouse_backfill_seconds_count{{{label}}} 6\n"
        );
        assert_eq!(exposition.to_string(), expected);
    }

    #[test]
    fn samples_without_labels() {
        let mut exposition = Exposition::new(&[]);
        exposition.family("rows", Kind::Gauge, "Rows.").value(1);
        assert!(exposition.to_string().ends_with("\nclickhouse_backfill_rows 1\n"));
    }

    #[test]
    fn samples_have_their_labels_and_values() {
        let mut exposition = Exposition::new(&[("job", "x, \"y\"=\\")]);
        exposition.family("seconds", Kind::Histogram, "Time\nspent.").histogram(
            &[(0.5, 1)],
            2,
            7.25,
        );
        let [family] = &exposition.families[..] else { panic!("one family") };
        assert_eq!((&*family.name, &*family.help), ("clickhouse_backfill_seconds", "Time\nspent."));
        let found: Vec<_> = family
            .samples
            .iter()
            .map(|sample| {
                let labels = sample.labels.iter().map(|(name, value)| format!("{name}:{value}"));
                (&*sample.name, labels.collect::<Vec<_>>().join(" "), &*sample.value)
            })
            .collect();
        let bucket = |le: &str| format!("job:x, \"y\"=\\ le:{le}");
        let common = "job:x, \"y\"=\\".to_owned();
        let expected = [
            ("clickhouse_backfill_seconds_bucket", bucket("0.5"), "1"),
            ("clickhouse_backfill_seconds_bucket", bucket("+Inf"), "3"),
            ("clickhouse_backfill_seconds_sum", common.clone(), "7.25"),
            ("clickhouse_backfill_seconds_count", common, "3"),
        ];
        assert_eq!(found, expected);
    }
}
