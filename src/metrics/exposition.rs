//! The text of the metrics page, read back: what goes to a collector has the same names, labels and values.

/// A family of metrics.
#[derive(Debug, PartialEq)]
pub(super) struct Family {
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

/// A line with a value.
#[derive(Debug, PartialEq)]
pub(super) struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// The families of a text that `families::text` made.
pub(super) fn families(text: &str) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' ')) {
            let help = help.replace("\\n", "\n").replace("\\\\", "\\");
            let (name, kind) = (name.to_owned(), String::new());
            families.push(Family { name, kind, help, samples: Vec::new() });
        } else if let Some(family) = families.last_mut() {
            match line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' ')) {
                Some((_, kind)) => kind.clone_into(&mut family.kind),
                None => family.samples.extend(sample(line)),
            }
        }
    }
    families
}

/// `name{label="value",…} 1.5`
fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) = head.split_once('{').unwrap_or((head, ""));
    let value = value.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels: labels_of(labels), value })
}

fn labels_of(text: &str) -> Vec<(String, String)> {
    let (mut labels, mut rest) = (Vec::new(), text);
    while let Some((name, behind)) = rest.split_once("=\"") {
        let (mut value, mut letters) = (String::new(), behind.char_indices());
        rest = "";
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    rest = behind.get(at + 1..).unwrap_or_default();
                    break;
                }
                '\\' => match letters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => {}
                },
                letter => value.push(letter),
            }
        }
        labels.push((name.trim_start_matches(',').to_owned(), value));
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_values_are_read_back() {
        let text = "# HELP a_rows Rows\\nread.\n# TYPE a_rows gauge\n\
            a_rows{job=\"x, \\\"y\\\"=\\\\\",state=\"a\\nb\"} 1.5\na_rows 7\n\
            # HELP b_seconds Time.\n# TYPE b_seconds histogram\nb_seconds_bucket{le=\"+Inf\"} 3\n";
        let labels = [("job", "x, \"y\"=\\"), ("state", "a\nb")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let sample =
            |name: &str, labels: Vec<_>, value| Sample { name: name.to_owned(), labels, value };
        let rows = vec![sample("a_rows", labels.to_vec(), 1.5), sample("a_rows", Vec::new(), 7.0)];
        let above = vec![("le".to_owned(), "+Inf".to_owned())];
        let buckets = vec![sample("b_seconds_bucket", above, 3.0)];
        let family = |name: &str, kind: &str, help: &str, samples| Family {
            name: name.to_owned(),
            kind: kind.to_owned(),
            help: help.to_owned(),
            samples,
        };
        let expected = [
            family("a_rows", "gauge", "Rows\nread.", rows),
            family("b_seconds", "histogram", "Time.", buckets),
        ];
        assert_eq!(families(text), expected);
    }
}
