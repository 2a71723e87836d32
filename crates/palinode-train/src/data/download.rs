//! One file from the internet: resumed where it was interrupted, believed only by its digest.

use super::digest::sha256;
use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::StatusCode;
use ureq::http::header::RANGE;

/// How long to wait for a server, and how often to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Longest silence, when connecting and when reading.
    pub silence: Duration,
    /// Attempts; each goes on where the one before it stopped.
    pub attempts: usize,
    /// Pause between two of them.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silence: Duration::from_secs(60), attempts: 5, pause: Duration::from_secs(3) }
    }
}

/// What is to be downloaded.
pub(super) struct Download<'a> {
    pub url: &'a str,
    /// Its length, where that is known: more is never read.
    pub bytes: Option<u64>,
    /// In hexadecimal.
    pub sha256: &'a str,
    pub patience: Patience,
}

/// Why an attempt failed, and whether another one may succeed.
struct Failure {
    reason: String,
    again: bool,
}

impl Download<'_> {
    /// Downloads to `path`, by way of `path.part`; a file that is already there and is the right one
    /// stays. `progress` is told how many bytes are there.
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
            // A server that packs what it sends would make lengths and ranges mean something else.
            .accept_encoding("identity")
            .build();
        config.into()
    }

    /// One request, appended to what is there.
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
            // Nothing comes after what is there: it is all there, or not what it should be.
            StatusCode::RANGE_NOT_SATISFIABLE if self.bytes.is_none() => return Ok(()),
            StatusCode::RANGE_NOT_SATISFIABLE => 0,
            status => {
                // The server may be back in a moment; a wrong address will not get better.
                let reason = format!("the server answers {status}");
                return Err(Attempt::Failed(Failure { reason, again: status.is_server_error() }));
            }
        };
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).open(part).map_err(io)?;
        file.set_len(start).map_err(io)?;
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(again("the server refuses to go on; beginning anew".to_owned()));
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

    /// Copies a response's body; the length of the file then.
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

    /// Gives the file its name if it is the right one.
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

/// How an attempt ends without the whole file.
enum Attempt {
    Failed(Failure),
    /// The disk, which no other attempt will mend.
    Lost(Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    /// What a server does with one request: it has the content and the first byte that is asked for.
    type Answer = fn(&mut TcpStream, &[u8], Option<usize>);

    /// A server that answers one request after the other, each as it is told; the ranges it was asked
    /// for.
    fn serve(content: Vec<u8>, answers: Vec<Answer>) -> (String, Arc<Mutex<Vec<Option<usize>>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut from = None;
                for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                    let line = line.unwrap().to_ascii_lowercase();
                    if let Some(range) = line.strip_prefix("range: bytes=") {
                        from = range.trim_end_matches('-').parse().ok();
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                seen.lock().unwrap().push(from);
                let content = content.clone();
                std::thread::spawn(move || answer(&mut stream, &content, from));
            }
        });
        (url, asked)
    }

    fn head(stream: &mut TcpStream, status: &str, length: usize) {
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
    }

    fn whole(stream: &mut TcpStream, content: &[u8], _: Option<usize>) {
        head(stream, "200 OK", content.len());
        stream.write_all(content).unwrap();
    }

    fn rest(stream: &mut TcpStream, content: &[u8], from: Option<usize>) {
        let rest = &content[from.unwrap_or(0)..];
        head(stream, "206 Partial Content", rest.len());
        stream.write_all(rest).unwrap();
    }

    /// Promises everything, sends a third and hangs up.
    fn truncated(stream: &mut TcpStream, content: &[u8], _: Option<usize>) {
        head(stream, "200 OK", content.len());
        stream.write_all(&content[..content.len() / 3]).unwrap();
    }

    /// Sends a third and then nothing for longer than anybody waits.
    fn slow(stream: &mut TcpStream, content: &[u8], from: Option<usize>) {
        truncated(stream, content, from);
        stream.flush().unwrap();
        std::thread::sleep(Duration::from_secs(2));
    }

    fn broken(stream: &mut TcpStream, _: &[u8], _: Option<usize>) {
        head(stream, "503 Service Unavailable", 0);
    }

    fn missing(stream: &mut TcpStream, _: &[u8], _: Option<usize>) {
        head(stream, "404 Not Found", 0);
    }

    fn garbled(stream: &mut TcpStream, content: &[u8], _: Option<usize>) {
        head(stream, "200 OK", content.len());
        stream.write_all(&vec![b'x'; content.len()]).unwrap();
    }

    fn endless(stream: &mut TcpStream, content: &[u8], _: Option<usize>) {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
        for _ in 0..20 {
            if stream.write_all(content).is_err() {
                return;
            }
        }
    }

    fn no_http(stream: &mut TcpStream, _: &[u8], _: Option<usize>) {
        stream.write_all(b"what do you want?\n").unwrap();
    }

    fn content() -> Vec<u8> {
        (0..300_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect()
    }

    /// Downloads from a server of these answers: the result, what it was asked for, and whether a
    /// part is left behind.
    fn run(answers: Vec<Answer>) -> (Result<Vec<u8>>, Vec<Option<usize>>, bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.bin");
        let expected = folder.path().join("expected");
        std::fs::write(&expected, content()).unwrap();
        let digest = sha256(&expected).unwrap();
        let (url, asked) = serve(content(), answers);
        let patience = Patience {
            silence: Duration::from_millis(400),
            attempts: 3,
            pause: Duration::from_millis(1),
        };
        let download =
            Download { url: &url, bytes: Some(content().len() as u64), sha256: &digest, patience };
        let result = download.to(&path, &mut |_| ()).map(|()| std::fs::read(&path).unwrap());
        let asked = asked.lock().unwrap().clone();
        (result, asked, folder.path().join("file.bin.part").exists())
    }

    #[test]
    fn interrupted_downloads_go_on_where_they_stopped() {
        let third = Some(content().len() / 3);
        for first in [truncated as Answer, slow] {
            let (result, asked, left) = run(vec![first, rest]);
            assert_eq!(result.unwrap(), content());
            assert_eq!((asked, left), (vec![None, third], false));
        }
        // A server that does not know ranges sends everything again.
        let (result, asked, _) = run(vec![truncated, whole]);
        assert_eq!(result.unwrap(), content());
        assert_eq!(asked, [None, third]);
        let (result, _, _) = run(vec![broken, no_http, whole]);
        assert_eq!(result.unwrap(), content());
    }

    #[test]
    fn what_is_wrong_is_said_and_never_used() {
        let message = |answers| {
            let (result, asked, left) = run(answers);
            (result.unwrap_err().to_string(), asked.len(), left)
        };
        let (text, requests, left) = message(vec![garbled]);
        assert!(text.contains("SHA-256") && text.contains("127.0.0.1"), "{text}");
        assert!(requests == 1 && !left, "a wrong file is left behind");
        let (text, requests, _) = message(vec![missing]);
        assert!(text.contains("404") && requests == 1, "{text}");
        let (text, requests, _) = message(vec![broken, broken, broken]);
        assert!(text.contains("503") && requests == 3, "{text}");
        let (text, _, left) = message(vec![truncated, truncated, truncated]);
        assert!(text.contains("100000") && left, "{text}");
        let (text, _, _) = message(vec![endless]);
        assert!(text.contains("longer than the 300000 bytes"), "{text}");
        let (text, _, _) = message(vec![slow, slow, slow]);
        assert!(text.contains("timeout"), "{text}");
    }
}
