//! One file from the internet: resumed where it was interrupted, accepted only with the right SHA-256.

use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::StatusCode;
use ureq::http::header::RANGE;

/// How long to wait for a server, and how often to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Longest wait without a byte, when connecting and when reading.
    pub silence: Duration,
    /// Attempts. Each continues where the one before it stopped.
    pub attempts: usize,
    /// Pause between two of them.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silence: Duration::from_secs(60), attempts: 5, pause: Duration::from_secs(3) }
    }
}

/// A file to be downloaded.
pub(super) struct Download<'a> {
    pub url: &'a str,
    /// Its length, if known: more is never read.
    pub bytes: Option<u64>,
    /// In hexadecimal.
    pub sha256: &'a str,
    pub patience: Patience,
}

/// A failed attempt: the reason, and whether another one may succeed.
struct Failure {
    reason: String,
    again: bool,
}

impl Download<'_> {
    /// Downloads to `path.part`, then renames it to `path`. A file that is already there and has the
    /// right digest stays. `progress` is called with the number of bytes so far.
    pub fn to(&self, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<()> {
        if path.is_file() && sha256(path)? == self.sha256 {
            return Ok(());
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let agent = self.agent();
        let mut failure = String::new();
        for attempt in 0..self.patience.attempts.max(1) {
            if attempt > 0 {
                std::thread::sleep(self.patience.pause);
            }
            match self.attempt(&agent, &part, progress) {
                Ok(()) => return self.accept(&part, path),
                Err(Attempt::Failed(Failure { reason, again })) => {
                    failure = reason;
                    if !again {
                        break;
                    }
                }
                Err(Attempt::Lost(error)) => return Err(error),
            }
        }
        Err(self.failed(failure))
    }

    fn agent(&self) -> ureq::Agent {
        let silence = Some(self.patience.silence);
        let config = ureq::Agent::config_builder()
            .timeout_connect(silence)
            .timeout_resolve(silence)
            .timeout_recv_response(silence)
            .timeout_per_read(silence)
            .http_status_as_error(false)
            // Compressed answers would change the meaning of lengths and ranges.
            .accept_encoding("identity")
            .build();
        config.into()
    }

    /// One request, whose answer is appended to the bytes already there.
    fn attempt(
        &self,
        agent: &ureq::Agent,
        part: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> std::result::Result<(), Attempt> {
        let io = |error| Attempt::Lost(Error::io(part)(error));
        let again = |reason: String| Attempt::Failed(Failure { reason, again: true });
        let mut there = std::fs::metadata(part).map_or(0, |file| file.len());
        if self.bytes.is_some_and(|bytes| there > bytes) {
            there = 0;
        }
        if there > 0 && self.bytes == Some(there) {
            return Ok(());
        }
        let mut request = agent.get(self.url);
        if there > 0 {
            request = request.header(RANGE, format!("bytes={there}-"));
        }
        let response = request.call().map_err(|error| again(error.to_string()))?;
        let start = match response.status() {
            StatusCode::PARTIAL_CONTENT => there,
            StatusCode::OK => 0,
            // The file has no more bytes. Whether they are the right ones, the digest decides.
            StatusCode::RANGE_NOT_SATISFIABLE if self.bytes.is_none() => return Ok(()),
            StatusCode::RANGE_NOT_SATISFIABLE => 0,
            status => {
                // A server error may be temporary; a wrong address is not.
                let reason = format!("the server answers {status}");
                return Err(Attempt::Failed(Failure { reason, again: status.is_server_error() }));
            }
        };
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).open(part).map_err(io)?;
        file.set_len(start).map_err(io)?;
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(again("the server does not send the rest; starting again".to_owned()));
        }
        let length = self.copy(response.into_body().into_reader(), &mut file, start, progress)?;
        file.sync_all().map_err(io)?;
        match self.bytes {
            Some(bytes) if length < bytes => {
                Err(again(format!("it ended after {length} of {bytes} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Copies a response's body to the file; returns the file's length.
    fn copy(
        &self,
        mut body: impl Read,
        file: &mut File,
        mut length: u64,
        progress: &mut dyn FnMut(u64),
    ) -> std::result::Result<u64, Attempt> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            progress(length);
            let count = body.read(&mut buffer).map_err(|error| {
                let reason = format!("after {length} bytes: {error}");
                Attempt::Failed(Failure { reason, again: true })
            })?;
            if count == 0 {
                return Ok(length);
            }
            length += count as u64;
            if let Some(bytes) = self.bytes.filter(|&bytes| length > bytes) {
                let reason = format!("it is longer than the {bytes} bytes it should have");
                return Err(Attempt::Failed(Failure { reason, again: false }));
            }
            file.write_all(&buffer[..count])
                .map_err(|error| Attempt::Lost(Error::io(self.url)(error)))?;
        }
    }

    /// Renames the file if it has the right digest, and removes it otherwise.
    fn accept(&self, part: &Path, path: &Path) -> Result<()> {
        let found = sha256(part)?;
        if found == self.sha256 {
            return std::fs::rename(part, path).map_err(Error::io(path));
        }
        std::fs::remove_file(part).map_err(Error::io(part))?;
        Err(self
            .failed(format!("its SHA-256 is {found}, expected {}; it was removed", self.sha256)))
    }

    fn failed(&self, reason: String) -> Error {
        Error::Download { url: self.url.to_owned(), reason }
    }
}

/// Why an attempt ended without the whole file.
enum Attempt {
    Failed(Failure),
    /// An error of the disk: another attempt would not help.
    Lost(Error),
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// [`palinode::Error::Io`] naming it.
fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).map_err(Error::io(path))? {
            0 => break,
            count => digest.update(&buffer[..count]),
        }
    }
    let digest = digest.finalize();
    Ok(digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests;
