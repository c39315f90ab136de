//! The flags of the checks before a run. Pure: nothing here looks at the world.

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::preflight::OVERRULED;

/// What is looked at before a run.
#[derive(Args, Debug)]
#[command(next_help_heading = "Preflight")]
pub(crate) struct PreflightArguments {
    /// Checks whose verdict forbids nothing, with commas between them: they judge by estimates and
    /// by what is there at this moment.
    #[arg(long, value_name = "NAMES", env = "SKIP_CHECKS", value_delimiter = ',', value_parser = PossibleValuesParser::new(OVERRULED))]
    pub skip_checks: Vec<String>,
}
