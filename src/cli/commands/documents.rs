//! `clickhouse-backfill completions`, `man`, `job` and `config`: documents that are made without a
//! server.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use serde_json::json;

use super::complete;
use crate::cli::args::{
    self, CompletionsArguments, ConfigArguments, ConfigCommand, JobArguments, JobCommand, Layers,
    ManArguments, ShownOrigin, ShownSetting, command,
};
use crate::cli::failure::Failure;
use crate::cli::output::{self, print, print_document};
use crate::escape::escape_value;
use crate::files;
use crate::job::{BUILT_IN_JOBS, BUILT_IN_SETS, JobSet, job_text, load, schema};

/// Prints the script that makes a shell complete commands, flags and their values.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<ExitCode, Failure> {
    print_document(&complete::script(arguments.shell, command().get_name())?)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the man page, or writes all of them.
pub(crate) fn man(arguments: &ManArguments) -> Result<ExitCode, Failure> {
    let mut command = command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = &arguments.out else {
        print_document(&String::from_utf8_lossy(&page(&command)?))?;
        return Ok(ExitCode::SUCCESS);
    };
    let failed = |path: &Path, error: std::io::Error| {
        Failure::usage(format!("cannot write the man page {}: {error}", path.display()))
            .hint("set --out to a directory that this user can write to")
    };
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    write_pages(&command, directory, &failed)?;
    Ok(ExitCode::SUCCESS)
}

/// The page of this command and those of all commands below it, which are named as git names its
/// own: `clickhouse-backfill-run.1`.
fn write_pages(
    command: &Command,
    directory: &Path,
    failed: &impl Fn(&Path, std::io::Error) -> Failure,
) -> Result<(), Failure> {
    let path = directory.join(format!("{}.1", name(command)));
    files::replace(&path, &page(command)?).map_err(|error| failed(&path, error))?;
    command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .try_for_each(|sub| write_pages(sub, directory, failed))
}

fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(|error| Failure::stopped(&error))?;
    Ok(page)
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// Lists the built-in jobs, or prints the text of one.
pub(crate) fn job(arguments: &JobArguments) -> Result<ExitCode, Failure> {
    let mut text = String::new();
    match &arguments.command {
        JobCommand::List => {
            let width = BUILT_IN_JOBS.iter().map(|name| name.len()).max().unwrap_or(0) + 2;
            let sets = BUILT_IN_SETS.iter().filter_map(|name| JobSet::find(name).transpose());
            let sets = sets.collect::<Result<Vec<_>, _>>()?;
            for name in BUILT_IN_JOBS {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{name:<width$}{}", load(name)?.description);
            }
            for JobSet { reference, description, .. } in sets {
                let _ = writeln!(text, "{reference:<width$}{description}");
            }
        }
        JobCommand::Show { name } => {
            load(name)?;
            text.push_str(&job_text(name)?);
        }
        JobCommand::Schema => {
            let _ = writeln!(text, "{:#}", schema());
        }
    }
    print_document(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows the settings of a command.
pub(crate) fn config(arguments: &ConfigArguments, layers: &Layers) -> Result<ExitCode, Failure> {
    let ConfigCommand::Show { format, words } = &arguments.command;
    let default = ["run".to_owned()];
    let words = if words.is_empty() { &default[..] } else { words };
    let (words, layers, settings) = args::settings(layers, words)?;
    let path = layers.file().map(|file| file.path().display().to_string());
    print(&if format.is_json() {
        let settings: Vec<_> =
            settings.iter().map(|setting| as_json(setting, path.as_deref())).collect();
        let command = words.join(" ");
        output::json(&json!({ "command": command, "config": path, "settings": settings }))
    } else {
        as_text(&settings, path.as_deref())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(
    ShownSetting { flag, value, origin }: &ShownSetting,
    path: Option<&str>,
) -> serde_json::Value {
    let (from, variable, file, line, connection) = match origin {
        ShownOrigin::Flag => (Some("flag"), None, None, None, None),
        ShownOrigin::Environment { variable } => {
            (Some("environment"), Some(variable), None, None, None)
        }
        ShownOrigin::DotEnv { variable, line } => {
            (Some(".env"), Some(variable), Some(".env"), *line, None)
        }
        ShownOrigin::Config { line, connection } => {
            (Some("config"), None, path, Some(*line), connection.as_ref())
        }
        ShownOrigin::Default => (Some("default"), None, None, None, None),
        ShownOrigin::Unset => (None, None, None, None, None),
    };
    json!({
        "flag": flag, "value": value, "from": from, "variable": variable, "file": file, "line": line, "connection": connection,
    })
}

/// Three columns: the flag, its value, and where it comes from.
fn as_text(settings: &[ShownSetting], path: Option<&str>) -> String {
    const WIDEST: usize = 44;
    let value = |setting: &ShownSetting| {
        escape_value(setting.value.as_deref().filter(|value| !value.is_empty()).unwrap_or("–"))
    };
    let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or_default();
    let flags = longest(&mut settings.iter().map(|setting| setting.flag.chars().count()));
    let values =
        longest(&mut settings.iter().map(|setting| value(setting).chars().count())).min(WIDEST);
    let mut text = String::new();
    for setting in settings {
        let (flag, value) = (&setting.flag, value(setting));
        let from = match &setting.origin {
            ShownOrigin::Flag => "flag".to_owned(),
            ShownOrigin::Environment { variable } => format!("environment, {variable}"),
            ShownOrigin::DotEnv { line: Some(line), .. } => format!(".env, line {line}"),
            ShownOrigin::DotEnv { variable, line: None } => format!(".env, {variable}"),
            ShownOrigin::Config { line, connection } => {
                let of = connection.as_ref().map(|name| format!(" (connection {name})"));
                format!("{}, line {line}{}", path.unwrap_or_default(), of.unwrap_or_default())
            }
            ShownOrigin::Default => "default".to_owned(),
            ShownOrigin::Unset => String::new(),
        };
        let line = format!("{flag:<flags$}  {value:<values$}  {from}");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
