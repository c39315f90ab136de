//! Values that a shell completes: jobs, packs, queries, connections, settings of `ctl set`, and
//! partitions, for which the server is asked. The scripts of `completions` call the program for them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, Command};
use clap_complete::Shell;
use clap_complete::engine::{
    ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use clap_complete::env::{CompleteEnv, Shells};
use tokio::time::timeout;

use crate::cli::args::{self, CompressionChoice, Environment, Incomplete, command};
use crate::cli::config::{JobConfig, ServerConfig};
use crate::cli::failure::Failure;
use crate::cli::runtime::run_to_end;
use crate::clickhouse::TableName;
use crate::control::SETTINGS;
use crate::job::{BUILT_IN_JOBS, BUILT_IN_SETS, load};
use crate::load::new_id;
use crate::packs::{self, Pack, PackFile};
use crate::plan::{Partition, partitions};

/// The variable by which a script asks; it has the name of the shell.
const VARIABLE: &str = "CLICKHOUSE_BACKFILL_COMPLETE";
/// A person waits at the prompt.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a shell asks for the words that can come next.
pub(crate) fn is_asked() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|shell| !shell.is_empty() && shell != "0")
}

/// Prints what can come next on the line that the shell sends; of values, nothing where there is none or
/// no answer in time.
pub(crate) fn complete() -> Result<ExitCode, Failure> {
    // With a broken file, the environment is as it is.
    let environment = Arc::new(args::load().unwrap_or_default());
    let folder = std::env::current_dir().ok();
    CompleteEnv::with_factory(|| with_values(command(), "", &environment))
        .var(VARIABLE)
        .try_complete(std::env::args_os(), folder.as_deref())
        .map_err(|error| Failure::stopped(&error))?;
    Ok(ExitCode::SUCCESS)
}

/// Where zsh loads the script from a folder, it does so for a first completion, which the script is then.
const OF_FIRST_USE: &str = "
if [[ $funcstack[1] == _clickhouse-backfill ]]; then
    _clap_dynamic_completer_clickhouse_backfill \"$@\"
fi
";

/// Bash divides words at `=` and `:`. The program is asked with whole words, and what bash has already is
/// cut off its answers.
const WHOLE_WORDS: &str = r#"
_clickhouse_backfill_whole_words() {
    local words=() number=0 current="$2" at word
    for at in "${!COMP_WORDS[@]}"; do
        word="${COMP_WORDS[at]}"
        if (( at > 0 )) && [[ "$word" =~ ^[=:]+$ || "${COMP_WORDS[at-1]}" =~ ^[=:]+$ ]]; then
            words[${#words[@]}-1]+="$word"
        else
            words+=("$word")
        fi
        if (( at == COMP_CWORD )); then
            number=$(( ${#words[@]} - 1 ))
            current="${words[number]}"
            [[ "$word" =~ ^[=:]+$ ]] || current="${current%"$word"}$2"
        fi
    done
    local COMP_WORDS=("${words[@]}") COMP_CWORD="$number"
    _clap_complete_clickhouse_backfill "$1" "$current" "$3"
    local already="${current%"$2"}"
    COMPREPLY=("${COMPREPLY[@]#"$already"}")
}
if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -o nospace -o bashdefault -o nosort -F _clickhouse_backfill_whole_words clickhouse-backfill
else
    complete -o nospace -o bashdefault -F _clickhouse_backfill_whole_words clickhouse-backfill
fi
"#;

/// The script of a shell that asks the program.
pub(super) fn script(shell: Shell, name: &str) -> Result<String, Failure> {
    let mut script = Vec::new();
    if let Some(known) = Shells::builtins().completer(&shell.to_string()) {
        known
            .write_registration(VARIABLE, name, name, name, &mut script)
            .map_err(|error| Failure::stopped(&error))?;
    }
    let script = String::from_utf8_lossy(&script).into_owned();
    Ok(match shell {
        Shell::Zsh => script + OF_FIRST_USE,
        Shell::Bash => script + WHOLE_WORDS,
        _ => script,
    })
}

/// The command and those below it, with what their values can be.
fn with_values(command: Command, parent: &str, environment: &Arc<Environment>) -> Command {
    let name = command.get_name().to_owned();
    command.mut_subcommands(|sub| with_values(sub, &name, environment)).mut_args(|argument| match (
        parent,
        name.as_str(),
        argument.get_id().as_str(),
    ) {
        (_, _, "job") | ("job", "show", "name") => {
            let environment = environment.clone();
            argument.add(ArgValueCompleter::new(move |current: &OsStr| jobs(&environment, current)))
        }
        ("pack", _, "name") | (_, "health", "name") => with_line(argument, environment, pack_names),
        (_, "query", "query") => with_line(argument, environment, query_names),
        ("ctl", "set", "settings") => argument.add(ArgValueCandidates::new(setting_names)),
        (_, _, "connection") => with_line(argument, environment, Incomplete::connections),
        (_, _, "partition") => with_line(argument, environment, stored_partitions),
        _ => argument,
    })
}

/// The argument, whose values depend on the rest of the line.
fn with_line(
    argument: Arg,
    environment: &Arc<Environment>,
    values: fn(&Incomplete) -> Vec<String>,
) -> Arg {
    let environment = environment.clone();
    let flag = format!("--{}", argument.get_long().unwrap_or_default());
    argument.add(ArgValueCandidates::new(move || {
        let line = args::incomplete(&environment, &flag);
        candidates(line.iter().flat_map(values))
    }))
}

fn candidates(
    values: impl IntoIterator<Item = impl Into<std::ffi::OsString>>,
) -> Vec<CompletionCandidate> {
    values.into_iter().map(CompletionCandidate::new).collect()
}

/// Built-in jobs, those of the packs of `--pack`, and files.
fn jobs(environment: &Environment, current: &OsStr) -> Vec<CompletionCandidate> {
    let built_in = BUILT_IN_JOBS.iter().chain(&BUILT_IN_SETS).map(|name| (*name).to_owned());
    let mut names: BTreeSet<_> = built_in.collect();
    let folders = args::incomplete(environment, "--job").map(|line| line.pack_folders());
    for pack in folders.unwrap_or_default().iter().filter_map(|folder| Pack::read(folder).ok()) {
        let files = pack.jobs.iter().chain(&pack.sets);
        names.extend(files.map(|file| format!("{}/{}", pack.name, file.name)));
    }
    let begins = |name: &String| name.starts_with(&*current.to_string_lossy());
    let mut found = candidates(names.into_iter().filter(begins));
    found.extend(PathCompleter::file().complete(current));
    found
}

/// The built-in packs, and those of the line's `--pack`.
fn packs_of(line: &Incomplete) -> Vec<Pack> {
    packs::open(&line.pack_folders()).unwrap_or_default()
}

fn pack_names(line: &Incomplete) -> Vec<String> {
    packs_of(line).into_iter().map(|pack| pack.name).collect()
}

fn query_names(line: &Incomplete) -> Vec<String> {
    let names = |pack: &Pack| {
        let name = |query: &PackFile| format!("{}/{}", pack.name, query.name);
        pack.queries.iter().map(name).collect::<Vec<_>>()
    };
    packs_of(line).iter().flat_map(names).collect()
}

fn setting_names() -> Vec<CompletionCandidate> {
    candidates(SETTINGS.iter().map(|(name, _)| format!("{name}=")))
}

/// The partitions of the source of the line's job, the newest first.
fn stored_partitions(line: &Incomplete) -> Vec<String> {
    let asked = async { Ok(timeout(PATIENCE, ask_for_partitions(line)).await) };
    run_to_end(asked).ok().and_then(Result::ok).flatten().unwrap_or_default()
}

async fn ask_for_partitions(line: &Incomplete) -> Option<Vec<String>> {
    let (server, what) = line.servers_and_job()?;
    let config = ServerConfig::resolve(&server).ok()?;
    let job = load(&JobConfig::resolve(&what).ok()?.reference).ok()?;
    let source = config.connect(CompressionChoice::None, &new_id()).ok()?.source;
    let table = TableName::parse(job.source.table.as_ref()?, source.endpoint().database());
    let found = partitions(&source, &table).await.ok()?;
    let name = |id: &str| match id.parse::<Partition>() {
        Ok(month) => month.to_string(),
        Err(_) => format!("id:{id}"),
    };
    Some(found.iter().rev().map(|partition| name(&partition.id)).collect())
}
