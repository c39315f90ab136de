//! Matching the job's columns with the target's: which are written, whether types can be converted,
//! and which stay at their defaults.

use super::bound::{BoundColumn, LeftOut};
use super::error::{JobError, asking};
use super::file::Job;
use super::inspect::{Inspection, names_unknown_column};
use super::keys::Expression;
use super::lexer::check_text;
use super::tables::is_hidden;
use crate::clickhouse::{Connection, Error as ServerError, Settings, TableSchema, structure};
use crate::formats::rowbinary::DataType;

/// Leaves out columns that the target lacks, and optional ones whose inputs are missing.
pub(super) async fn columns_to_write(
    connection: &Connection,
    job: &Job,
    target: &TableSchema,
    over: &[(String, String)],
) -> Result<(Vec<(String, Expression)>, Vec<LeftOut>), JobError> {
    let (mut columns, mut left_out) = (Vec::new(), Vec::new());
    for (name, expression) in &job.columns {
        let Some(column) = target.column(name) else {
            if is_hidden(connection, &target.name, name).await {
                let (role, table, column) = ("target", target.name.clone(), name.clone());
                return Err(JobError::DeniedColumn { role, table, column });
            }
            left_out.push(LeftOut {
                name: name.clone(),
                reason: "the target has no such column".to_owned(),
            });
            continue;
        };
        if !column.is_insertable() {
            left_out.push(LeftOut {
                name: name.clone(),
                reason: format!("it is {} in the target", column.default_kind),
            });
            continue;
        }
        if job.target.optional.contains(name)
            && check_text(&expression.sql).is_ok()
            && names_unknown_column(connection, &inspecting(job), &expression.sql, over)
                .await?
                .is_some()
        {
            left_out.push(LeftOut {
                name: name.clone(),
                reason: "it is optional, and its expression names a column that does not exist"
                    .to_owned(),
            });
            continue;
        }
        columns.push((name.clone(), expression.clone()));
    }
    if columns.is_empty() {
        let message = "it has none of the columns that the job fills".to_owned();
        return Err(JobError::Unfit { role: "target", table: target.name.clone(), message });
    }
    Ok((columns, left_out))
}

/// The settings to analyze expressions with: those of the insert, which some column types need.
pub(super) fn inspecting(job: &Job) -> Settings {
    Settings::common().with_all(&job.settings.insert.0)
}

/// What conversions are analyzed over.
#[derive(Clone, Copy)]
pub(super) struct Fitting<'a> {
    pub connection: &'a Connection,
    pub job: &'a Job,
    pub over: &'a [(String, String)],
    /// `GROUP BY …`, or nothing.
    pub clause: &'a str,
}

/// Checks that each expression's type can be written into its column.
pub(super) async fn fit_to_target(
    fitting: Fitting<'_>,
    target: &TableSchema,
    columns: &[(String, Expression)],
    inspection: &Inspection,
) -> Result<Vec<BoundColumn>, JobError> {
    let Fitting { job, over, .. } = fitting;
    let mut bound = Vec::with_capacity(columns.len());
    let found = inspection.types.iter().zip(&inspection.inputs);
    for ((name, expression), (expression_type, inputs)) in columns.iter().zip(found) {
        let Some(column) = target.column(name) else { continue };
        if can_be_null(expression_type) && !can_be_null(&column.type_name) {
            return Err(JobError::Unfit {
                role: "target",
                table: target.name.clone(),
                message: format!(
                    "its column {name} is {}, and the expression in line {} of {} gives {expression_type}; \
                     say what a NULL becomes, as in coalesce(…, '')",
                    column.type_name, expression.line, job.origin
                ),
            });
        }
        bound.push(BoundColumn {
            name: name.clone(),
            type_name: column.type_name.clone(),
            expression: expression.sql.clone(),
            expression_type: expression_type.clone(),
            inputs: inputs
                .iter()
                .filter_map(|&input| over.get(input))
                .map(|(name, _)| name.clone())
                .collect(),
        });
    }
    let casts: Vec<_> = bound.iter().map(cast).collect();
    if convert(fitting, &casts).await?.is_err() {
        for (column, cast) in bound.iter().zip(&casts) {
            if let Err(message) = convert(fitting, std::slice::from_ref(cast)).await? {
                let BoundColumn { name, type_name, expression_type, .. } = column;
                let message = format!(
                    "its column {name} is {type_name}, and {expression_type} cannot be converted into that: {message}"
                );
                return Err(JobError::Unfit {
                    role: "target",
                    table: target.name.clone(),
                    message,
                });
            }
        }
    }
    Ok(bound)
}

fn cast(column: &BoundColumn) -> String {
    format!("CAST({}\n AS {})", column.expression, column.type_name)
}

/// Analyzes the conversions without running them; the inner error is the server's message.
async fn convert(fitting: Fitting<'_>, casts: &[String]) -> Result<Result<(), String>, JobError> {
    let Fitting { connection, job, over, clause } = fitting;
    let columns =
        structure(over.iter().map(|(name, type_name)| (name.as_str(), type_name.as_str())));
    let sql = format!("DESCRIBE (SELECT {}\nFROM null({columns}){clause})", casts.join("\n, "));
    match connection.fetch("fit", &sql, "TSV", &inspecting(job)).await {
        Ok(_) => Ok(Ok(())),
        Err(ServerError::Server { message, .. }) => Ok(Err(message)),
        Err(other) => Err(asking("asking the server about conversions")(other)),
    }
}

/// Types whose values can be NULL by themselves.
fn can_be_null(type_name: &str) -> bool {
    let nullable = DataType::parse(type_name).map(|parsed| parsed.is_nullable());
    nullable.unwrap_or(false)
        || type_name.starts_with("Variant(")
        || type_name.starts_with("Dynamic")
}

/// Columns that stay at their defaults; an error for those that have none and are not listed.
pub(super) fn columns_left_to_defaults(
    job: &Job,
    target: &TableSchema,
    written: &[BoundColumn],
) -> Result<Vec<String>, JobError> {
    let allowed = |name: &str| {
        job.target.defaults.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        })
    };
    let (mut defaults, mut missing) = (Vec::new(), Vec::new());
    for column in target.columns.iter().filter(|column| column.is_insertable()) {
        if written.iter().any(|written| written.name == column.name) {
            continue;
        }
        if column.default_kind.is_empty()
            && !can_be_null(&column.type_name)
            && !allowed(&column.name)
        {
            missing.push(column.name.as_str());
        } else {
            defaults.push(column.name.clone());
        }
    }
    if missing.is_empty() {
        return Ok(defaults);
    }
    let message = format!(
        "no expression fills its column{} {}, and the table declares no default; add an expression under [columns], or list it in `defaults` under [target]",
        if missing.len() == 1 { "" } else { "s" },
        missing.join(", ")
    );
    Err(JobError::Unfit { role: "target", table: target.name.clone(), message })
}
