//! Parameters of a pack's queries: which there are, and the values of the command line.

use super::error::PackError;
use super::folder::PackFile;
use super::script::mask;

/// A parameter of a query, `{name:Type}` in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_name: String,
}

impl Parameter {
    /// The value as the server reads it: in the form of
    /// [TabSeparated](https://clickhouse.com/docs/interfaces/formats/TabSeparated), in which strings
    /// have escapes. Arrays, maps and tuples are written as in SQL, with escapes of their own.
    fn encode(&self, value: &str) -> String {
        let is_composed = ["Array(", "Map(", "Tuple(", "Nested("]
            .iter()
            .any(|kind| self.type_name.starts_with(kind));
        let is_null = value == r"\N" && self.type_name.contains("Nullable(");
        if is_composed || is_null {
            return value.to_owned();
        }
        escaped(value)
    }
}

/// A string as a parameter's value, with the escapes of `TabSeparated`.
pub(crate) fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' => escaped.push_str(r"\\"),
            '\t' => escaped.push_str(r"\t"),
            '\n' => escaped.push_str(r"\n"),
            '\r' => escaped.push_str(r"\r"),
            '\0' => escaped.push_str(r"\0"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The parameters of a query, each once, in their order.
pub(crate) fn query_parameters(query: &PackFile) -> Vec<Parameter> {
    let sql = query.text.as_str();
    let mask = mask(sql);
    let mut found: Vec<Parameter> = Vec::new();
    let mut begin = 0;
    let place = |from: usize, sign: u8| {
        mask.iter().skip(from).position(|&byte| byte == sign).map(|position| from + position)
    };
    while let Some(open) = place(begin, b'{') {
        let Some(close) = place(open, b'}') else { break };
        begin = open + 1;
        let inside = sql.get(open + 1..close).unwrap_or_default();
        let Some((name, type_name)) = inside.split_once(':') else { continue };
        let (name, type_name) = (name.trim().to_owned(), type_name.trim().to_owned());
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if is_name(&name) && !found.iter().any(|known| known.name == name) {
            found.push(Parameter { name, type_name });
        }
    }
    found
}

/// The settings that carry the values to the server: `param_NAME`, VALUE.
///
/// # Errors
/// [`PackError::Parameters`] names all that are missing, unknown or given twice.
pub(crate) fn bind_parameters(
    pack: &str,
    query: &PackFile,
    values: &[(String, String)],
) -> Result<Vec<(String, String)>, PackError> {
    let parameters = query_parameters(query);
    let mut problems = Vec::new();
    for parameter in &parameters {
        let Parameter { name, type_name } = parameter;
        match values.iter().filter(|(given, _)| given == name).count() {
            0 => problems.push(format!("the parameter {name} ({type_name}) is missing")),
            1 => {}
            _ => problems.push(format!("the parameter {name} is given twice")),
        }
    }
    let known = || match &*parameters {
        [] => "it has none".to_owned(),
        all => {
            let names = all.iter().map(|known| known.name.as_str()).collect::<Vec<_>>();
            format!("it has {}", names.join(", "))
        }
    };
    for (name, _) in values {
        if !parameters.iter().any(|known| known.name == *name) {
            problems.push(format!("there is no parameter {name}, {}", known()));
        }
    }
    if !problems.is_empty() {
        return Err(PackError::Parameters { query: format!("{pack}/{}", query.name), problems });
    }
    let encode = |(name, value): &(String, String)| {
        let parameter = parameters.iter().find(|known| known.name == *name)?;
        Some((format!("param_{name}"), parameter.encode(value)))
    };
    Ok(values.iter().filter_map(encode).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> PackFile {
        PackFile { name: "q".into(), path: "q.sql".into(), text: text.into() }
    }

    fn bound(text: &str, values: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let values: Vec<_> =
            values.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        bind_parameters("p", &query(text), &values).map_err(|error| error.to_string())
    }

    #[test]
    fn parameters_are_found_outside_of_quotes_and_comments() {
        let text = "SELECT {a:UUID}, '{b:Int8}', { c : DateTime('UTC') }, {a:UUID} -- {d:Int8}\n, {'k': 1}";
        let found: Vec<_> = query_parameters(&query(text))
            .into_iter()
            .map(|found| (found.name, found.type_name))
            .collect();
        let expected = [("a", "UUID"), ("c", "DateTime('UTC')")];
        assert_eq!(found, expected.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let text = "SELECT {a:UUID}, {b:Int8}, {c:Int8}";
        insta::assert_snapshot!(
            bound(text, &[("b", "1"), ("x", "1"), ("b", "2")]).unwrap_err(),
            @"the query p/q cannot be run: the parameter a (UUID) is missing; the parameter b is given twice; the parameter c (Int8) is missing; there is no parameter x, it has a, b, c"
        );
        assert_eq!(
            bound("SELECT 1", &[("x", "1")]).unwrap_err(),
            "the query p/q cannot be run: there is no parameter x, it has none"
        );
    }

    #[test]
    fn values_arrive_as_they_were_given() {
        let text = "SELECT {s:String}, {n:Nullable(String)}, {a:Array(String)}";
        let values = [("s", "a\\b\tc\n\\N"), ("n", "\\N"), ("a", r"['x\\y']")];
        let expected = [("param_s", r"a\\b\tc\n\\N"), ("param_n", r"\N"), ("param_a", r"['x\\y']")];
        assert_eq!(
            bound(text, &values).unwrap(),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
