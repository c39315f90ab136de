//! What was probably meant by a name that does not exist.

/// Names are alike where this share of the longer one would have to change at most.
const ALIKE: f64 = 0.34;

/// Of the names that exist, the one that is most like this, if any is.
pub(super) fn meant<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance =
        |known: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    let (known, distance) = names
        .into_iter()
        .map(|known| (known, distance(known)))
        .min_by_key(|(_, distance)| *distance)?;
    let length = known.chars().count().max(name.chars().count());
    (distance as f64 <= ALIKE * length as f64).then_some(known)
}

/// The same for the parser's "unknown field `tabel`, expected one of `table`, `final`".
pub(super) fn meant_field(words: &str) -> Option<&str> {
    let (_, words) = words.split_once("unknown field ")?;
    // Every second part stands between two backticks.
    let mut quoted = words.split('`').skip(1).step_by(2);
    let name = quoted.next()?;
    meant(name, quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_recognized_and_other_names_are_not() {
        let names = ["table", "final", "version", "join_key"];
        for (name, expected) in [
            ("tabel", "table"),
            ("Table", "table"),
            ("versoin", "version"),
            ("joinkey", "join_key"),
            ("finals", "final"),
        ] {
            assert_eq!(meant(name, names), Some(expected), "{name}");
        }
        for name in ["", "x", "tags", "lookup", "a_name_of_another_kind"] {
            assert_eq!(meant(name, names), None, "{name}");
        }
        assert_eq!(meant("x", []), None);
        assert_eq!(
            meant_field("unknown field `tabel`, expected one of `table`, `final`"),
            Some("table")
        );
        assert_eq!(
            meant_field("unknown field `tabel`, expected `table` or `final`"),
            Some("table")
        );
        assert_eq!(meant_field("missing field `table`"), None);
    }
}
