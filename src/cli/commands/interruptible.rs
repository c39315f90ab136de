//! Running a command that signals may end.

use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::cli::failure::{Failure, INTERRUPTED};
use crate::cli::signals::second_signal;
use crate::progress::Terminal;
use crate::stop::Stop;

/// Runs this until its end or the second signal. The first asks it to stop, and `words` say what
/// happens then.
pub(crate) fn interruptible<Work>(
    terminal: &Terminal,
    words: &str,
    work: impl FnOnce(Stop) -> Work,
) -> Result<ExitCode, Failure>
where
    Work: Future<Output = Result<ExitCode, Failure>>,
{
    let runtime = Runtime::new().map_err(|error| Failure::stopped(&error))?;
    let code = runtime.block_on(async {
        let stop = Stop::new();
        tokio::select! {
            code = work(stop.clone()) => code,
            listened = second_signal(stop, terminal.clone(), words) => match listened {
                Ok(()) => Ok(ExitCode::from(INTERRUPTED)),
                Err(error) => Err(Failure::stopped(&error)),
            },
        }
    });
    // Tasks that are still busy at the second signal are not waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match code {
        Err(failure) if terminal.is_json() => {
            failure.log();
            Ok(failure.exit_code())
        }
        code => code,
    }
}
