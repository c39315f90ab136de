//! Splitting SQL that the server wrote at its outermost commas.

/// The items of a list such as `a, f(b, c), 'd, e'`; none for an empty text.
pub(super) fn split_list(text: &str) -> Vec<String> {
    let (mut items, mut item, mut depth) = (Vec::new(), String::new(), 0_u32);
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(_), '\\') => {
                item.push(c);
                item.extend(characters.next());
                continue;
            }
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '`' | '"') => quote = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                items.push(std::mem::take(&mut item));
                continue;
            }
            _ => {}
        }
        item.push(c);
    }
    items.push(item);
    items.into_iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

/// The arguments of `name(a, b) …`, or what stands in `(a, b)`, if nothing but a name stands before
/// the parenthesis and, for a text that begins with one, nothing behind it; else none.
pub(super) fn arguments_of(text: &str) -> Vec<String> {
    let Some(open) = text.find('(') else { return Vec::new() };
    let Some((name, rest)) = text.split_at_checked(open) else { return Vec::new() };
    if !name.chars().all(char::is_alphanumeric) {
        return Vec::new();
    }
    let Some(close) = closing(rest) else { return Vec::new() };
    if name.is_empty() && close + 1 != rest.len() {
        return Vec::new();
    }
    rest.get(1..close).map(split_list).unwrap_or_default()
}

/// Where the parenthesis ends with which the text begins.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0_u32, None, false);
    for (position, c) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match (quote, c) {
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '`' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 1 => return Some(position),
            (None, ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_inside_of_brackets_and_quotes_stay() {
        assert_eq!(
            split_list("a, f(b, [c, d]), 'e, \\', f', `g, h`"),
            ["a", "f(b, [c, d])", "'e, \\', f'", "`g, h`"]
        );
        assert_eq!(split_list(""), Vec::<String>::new());
    }

    #[test]
    fn arguments_end_where_their_parenthesis_does() {
        assert_eq!(arguments_of("f(a, (b, c)) PARTITION BY (d)"), ["a", "(b, c)"]);
        assert_eq!(arguments_of("(a, ')')"), ["a", "')'"]);
        assert_eq!(arguments_of("(a + b) % 4"), Vec::<String>::new());
        assert_eq!(arguments_of("f ORDER BY (a, b)"), Vec::<String>::new());
    }
}
