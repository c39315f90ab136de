//! The text format of Prometheus, version 0.0.4: see [exposition
//! formats](https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format).

use std::fmt::{Display, Write};

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

/// The text under construction.
#[derive(Debug)]
pub(super) struct Exposition {
    text: String,
    /// Labels of every sample, as text.
    common: String,
}

/// A metric family whose samples are being written.
pub(super) struct Family<'a> {
    exposition: &'a mut Exposition,
    name: &'static str,
}

/// The prefix of every family's name.
const PREFIX: &str = "clickhouse_backfill_";

impl Exposition {
    /// An empty text. The labels are put on every sample.
    pub(super) fn new(labels: &[(&str, &str)]) -> Self {
        Self { text: String::with_capacity(16 << 10), common: label_text(labels) }
    }

    /// Begins a family; `clickhouse_backfill_` is put before its name. A family without samples is
    /// listed too.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
        Family { exposition: self, name }
    }

    /// The finished text.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn sample(&mut self, name: &str, ending: &str, labels: &str, value: impl Display) {
        let comma = if self.common.is_empty() || labels.is_empty() { "" } else { "," };
        let labels = format!("{}{comma}{labels}", self.common);
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        let _ = writeln!(self.text, "{PREFIX}{name}{ending}{labels} {value}");
    }
}

impl Family<'_> {
    /// A sample without further labels.
    pub(super) fn value(&mut self, value: impl Display) {
        self.exposition.sample(self.name, "", "", value);
    }

    /// A sample without further labels, if the value is known.
    pub(super) fn known(&mut self, value: Option<impl Display>) {
        if let Some(value) = value {
            self.value(value);
        }
    }

    /// A sample with labels.
    pub(super) fn labelled(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.exposition.sample(self.name, "", &label_text(labels), value);
        self
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
            self.exposition.sample(self.name, "_bucket", &label_text(&[("le", &bound)]), total);
        }
        self.exposition.sample(self.name, "_sum", "", sum);
        self.exposition.sample(self.name, "_count", "", total);
    }
}

/// `name="value"`, separated by commas.
fn label_text(labels: &[(&str, &str)]) -> String {
    let escaped =
        |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
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
        exposition
            .family("phase", Kind::Gauge, "Phase.")
            .labelled(&[("phase", "plan")], 0)
            .labelled(&[("phase", "stream")], 1.5);
        exposition.family("unknown", Kind::Gauge, "None.").known(None::<u64>);
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
        assert_eq!(exposition.finish(), expected);
    }

    #[test]
    fn samples_without_labels() {
        let mut exposition = Exposition::new(&[]);
        exposition.family("rows", Kind::Gauge, "Rows.").value(1);
        assert!(exposition.finish().ends_with("\nclickhouse_backfill_rows 1\n"));
    }
}
