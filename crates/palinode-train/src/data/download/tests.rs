//! Downloads from servers that fail in the ways that real servers do.

use super::*;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a server does with one request: it has the content and the first byte that is asked for.
type Answer = fn(&mut TcpStream, &[u8], Option<usize>);

/// A server that answers request after request as it is told, and the ranges that were requested.
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

/// Sends a third, then stays silent for longer than the time limit.
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
