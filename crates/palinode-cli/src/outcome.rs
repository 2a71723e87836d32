//! Exit codes and the one line on stderr.

use crate::output::{note, plain};
use anyhow::Context;
use clap::error::ErrorKind;
use palinode_train::Error;
use std::process::ExitCode;

/// All went well, or nobody reads any more.
const SUCCESS: u8 = 0;
/// A check of a network failed.
const FAILED: u8 = 1;
/// A user's mistake.
const MISTAKE: u8 = 2;
/// A number became NaN or infinite, or states drifted too far.
const NON_FINITE: u8 = 3;

/// Checks of a network that failed. What they found has been printed.
#[derive(Debug, thiserror::Error)]
#[error("{count} of {of} checks failed")]
pub struct ChecksFailed {
    /// How many failed.
    pub count: usize,
    /// How many were made.
    pub of: usize,
}

/// Prints help and version, or a mistake on the command line in one line.
pub fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return report(error.print().context("standard output"), MISTAKE);
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Where even this cannot be written, the exit code is all there is to say.
        let _ = error.print();
        return ExitCode::from(MISTAKE);
    }
    let message = error.render().to_string();
    let words: Vec<&str> = message
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .collect();
    let message = one_line(words.join(" ").trim_start_matches("error: "));
    note(format_args!("palinode: {message}; see --help"));
    ExitCode::from(MISTAKE)
}

/// Prints an error, if there is one, and returns the exit code: that of an interrupted run is `stopped`.
pub fn report(result: anyhow::Result<()>, stopped: u8) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    ExitCode::from(say(&error, stopped))
}

/// Prints an error and returns the exit code.
pub fn say(error: &anyhow::Error, stopped: u8) -> u8 {
    let code = code(error, stopped);
    if code != SUCCESS {
        note(format_args!("palinode: {}", one_line(&format!("{error:#}"))));
    }
    code
}

/// The exit code of an error: that of an interrupted run is `stopped`.
pub fn code(error: &anyhow::Error, stopped: u8) -> u8 {
    if let Some(io) = error.downcast_ref::<std::io::Error>()
        && io.kind() == std::io::ErrorKind::BrokenPipe
    {
        // The reader of our output has closed the pipe.
        return SUCCESS;
    }
    if error.is::<ChecksFailed>() {
        return FAILED;
    }
    match error.downcast_ref::<Error>() {
        Some(Error::NonFinite { .. } | Error::Drift { .. } | Error::Trials { .. }) => NON_FINITE,
        Some(Error::Interrupted { .. } | Error::ExperimentInterrupted) => stopped,
        _ => MISTAKE,
    }
}

/// The words of a message on one line, without control characters: parsers write several lines, and names
/// of files may hold anything.
fn one_line(message: &str) -> String {
    plain(&message.split_whitespace().collect::<Vec<_>>().join(" "))
}
