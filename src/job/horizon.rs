//! The horizon of a source with a TTL: groups before it may have lost rows, so they cannot be made anew.
//!
//! A TTL removes rows by their time. Of a group whose time lies before the horizon some rows may be gone,
//! whether or not others are still there, so such groups keep what the target has. The horizon lies a day
//! or two ahead of the TTL, so that a load ends before rows behind it expire.

use super::bound::Horizon;
use super::error::{JobError, asking};
use super::inspect::Inspection;
use super::keys::Expression;
use super::lexer::{Token, tokens};
use super::target_key::with_values;
use super::ttl::table_ttl;
use crate::clickhouse::{Connection, TableSchema, quote_identifier};
use crate::formats::rowbinary::DataType;

const DAY: i64 = 86_400;

/// Finds the horizon of a source; `None` if its TTL removes no rows.
///
/// # Errors
/// [`JobError::Unfit`] where groups cannot be told apart by the time of the TTL.
pub(super) async fn find_horizon(
    connection: &Connection,
    source: &TableSchema,
    keys: &[(String, Expression)],
    expressions: &[String],
    of_keys: &Inspection,
    structure: &[(String, String)],
) -> Result<Option<Horizon>, JobError> {
    let ttl = table_ttl(connection, source).await;
    let ttl = ttl.map_err(asking("asking the server for the TTL of the source"))?;
    // A whole day, so that a load can be continued within the day.
    let moment = (ttl.now.div_euclid(DAY) + 2) * DAY;
    let Some(expired) = ttl.expired_by(moment) else { return Ok(None) };
    let unfit = |why: &str| JobError::Unfit {
        role: "source",
        table: source.name.clone(),
        message: format!(
            "its TTL removes rows, and {why}: groups that have lost rows cannot be told from whole ones, and replacing their partition would lose them"
        ),
    };
    let column = match ttl.columns.as_slice() {
        [column] if ttl.is_by_time_alone() => column,
        _ => return Err(unfit("it depends on more than one column")),
    };
    let of_column = source.column(column).map(|column| column.type_name.as_str());
    let Some(type_name) = of_column else { return Err(unfit("it reads no column")) };
    let qualified = format!("source.{column}");
    let reads_it = |position: usize| {
        let inputs = of_keys.inputs.get(position);
        inputs.is_some_and(|inputs| {
            let mut names = inputs.iter().filter_map(|&input| structure.get(input));
            names.next().is_some_and(|(name, _)| *name == qualified) && names.next().is_none()
        })
    };
    let key = keys.iter().zip(expressions).enumerate().find(|(position, ((_, key), _))| {
        let is_time = of_keys.types.get(*position).is_some_and(|name| is_time(name));
        reads_it(*position) && is_time && begins_the_group(&key.sql)
    });
    let Some((_, ((name, _), expression))) = key else {
        let why = format!(
            "no column of [group] is the begin of an interval of {column}, such as toStartOfHour(source.{column})"
        );
        return Err(unfit(&why));
    };
    // The parameter of the lambda stands for the column that the TTL reads.
    let of = |time: &str| {
        let value = format!("CAST({time}\n AS {type_name})");
        with_values(&[column.as_str()], &[value], &format!("({expired})"))
    };
    Ok(Some(Horizon {
        moment,
        of_source: of(expression),
        of_target: of(quote_identifier(name).as_str()),
    }))
}

fn is_time(type_name: &str) -> bool {
    DataType::parse(type_name).is_ok_and(|parsed| {
        matches!(
            parsed,
            DataType::Date | DataType::Date32 | DataType::DateTime(_) | DataType::DateTime64 { .. }
        )
    })
}

/// Whether an expression gives a time that is not after that of any row of its group: the column itself,
/// or the begin of an interval that it lies in.
fn begins_the_group(sql: &str) -> bool {
    let Ok(tokens) = tokens(sql) else { return false };
    match tokens.as_slice() {
        [Token::Word("source"), Token::Sign('.'), _] => true,
        [Token::Word(function), Token::Sign('('), rest @ .., Token::Sign(')')] => {
            let mut depth = 0_i32;
            let is_one_call = rest.iter().all(|token| {
                match token {
                    Token::Sign('(') => depth += 1,
                    Token::Sign(')') => depth -= 1,
                    _ => {}
                }
                depth >= 0
            });
            let is_column = matches!(
                rest,
                [Token::Word("source"), Token::Sign('.'), _]
                    | [Token::Word("source"), Token::Sign('.'), _, Token::Sign(','), ..]
            );
            let rounds_down =
                function.starts_with("toStartOf") || matches!(*function, "toDate" | "toMonday");
            is_one_call && is_column && rounds_down
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_begins_of_intervals_tell_groups_apart() {
        for sql in [
            "source.t",
            "toStartOfHour(source.t)",
            "toDate(source.t)",
            "toStartOfInterval(source.t, toIntervalMinute(15))",
        ] {
            assert!(begins_the_group(sql), "{sql}");
        }
        for sql in [
            "toStartOfHour(source.t) + 3600",
            "toStartOfHour(source.t + 7200)",
            "greatest(source.t, now())",
            "toDate(source.t) + toDate(source.t)",
            "toHour(source.t)",
        ] {
            assert!(!begins_the_group(sql), "{sql}");
        }
    }
}
