//! Ranges of the primary key as predicates.

use super::key::KeyColumn;

/// A value of each key column, as text.
pub type Bound = Vec<Vec<u8>>;

/// The predicates of the ranges between sorted bounds: up to the first, between each two, and
/// beyond the last. A bound itself belongs to the range below it. Without bounds there is one range
/// without a predicate.
///
/// Written as nested ORs, since that form uses the primary index and a comparison of tuples does
/// not (27 of 123 granules read against 123).
pub(super) fn predicates(key: &[KeyColumn], bounds: &[Bound]) -> Vec<Option<String>> {
    let mut predicates = Vec::with_capacity(bounds.len() + 1);
    let mut below: Option<&Bound> = None;
    for bound in bounds.iter().map(Some).chain([None]) {
        let above = below.map(|bound| beyond(key, bound, ">"));
        let until = bound.map(|bound| beyond(key, bound, "<"));
        predicates.push(match (above, until) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(one),
            (Some(above), Some(until)) => Some(format!("({above}) AND ({until})")),
        });
        below = bound;
    }
    predicates
}

/// `a > x OR (a = x AND (b > y OR (b = y AND c > z)))`; with `<`, the last comparison is inclusive.
fn beyond(key: &[KeyColumn], bound: &Bound, sign: &str) -> String {
    let mut predicate = String::new();
    for (column, value) in key.iter().zip(bound).rev() {
        let name = &column.expression;
        let value = column.literal(value);
        predicate = if predicate.is_empty() {
            let inclusive = if sign == "<" { "<=" } else { sign };
            format!("{name} {inclusive} {value}")
        } else {
            format!("{name} {sign} {value} OR ({name} = {value} AND ({predicate}))")
        };
    }
    predicate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Vec<KeyColumn> {
        let column = |expression: &str, type_name: &str| KeyColumn {
            name: expression.to_owned(),
            expression: expression.to_owned(),
            type_name: type_name.to_owned(),
        };
        vec![column("a", "String"), column("toDate(b)", "Date")]
    }

    #[test]
    fn ranges_meet_without_gap_or_overlap() {
        let bound = |a: &str, b: &str| vec![a.as_bytes().to_vec(), b.as_bytes().to_vec()];
        let found = predicates(&key(), &[bound("p'", "2025-11-01"), bound("q", "2025-11-02")]);
        let (p, d1) = ("'p\\''", "CAST('2025-11-01' AS Date)");
        let (q, d2) = ("'q'", "CAST('2025-11-02' AS Date)");
        assert_eq!(
            found,
            [
                Some(format!("a < {p} OR (a = {p} AND (toDate(b) <= {d1}))")),
                Some(format!(
                    "(a > {p} OR (a = {p} AND (toDate(b) > {d1}))) AND (a < {q} OR (a = {q} AND (toDate(b) <= {d2})))"
                )),
                Some(format!("a > {q} OR (a = {q} AND (toDate(b) > {d2}))")),
            ]
        );
        assert_eq!(predicates(&key(), &[]), [None]);
    }
}
