//! The little of HTTP that tests need, towards servers on this machine.
//!
//! In: a port, a path, perhaps a body; out: the body of the answer, which must have status 200. HTTP/1.0, so that the body is
//! everything up to the end.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};

use crate::PATIENCE;

/// A port that nobody has now.
///
/// # Errors
/// The system has none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The body of what is at `path`.
///
/// # Errors
/// Nobody answers, or not with status 200.
pub fn get(port: u16, path: &str) -> Result<String> {
    body(port, &format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"))
}

/// The body of the answer to `body`.
///
/// # Errors
/// As [`get`].
pub fn post(port: u16, path: &str, body: &str) -> Result<String> {
    let length = body.len();
    self::body(
        port,
        &format!("POST {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n{body}"),
    )
}

fn body(port: u16, request: &str) -> Result<String> {
    let (head, body) = exchange(port, request.as_bytes())?;
    let status = head.split_ascii_whitespace().nth(1).unwrap_or_default();
    ensure!(status == "200", "status {status}: {body}");
    Ok(body)
}

/// Sends these bytes on a connection of its own; head and body of the answer.
///
/// # Errors
/// Nobody answers, or with something else than HTTP.
pub fn exchange(port: u16, request: &[u8]) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no answer: {answer:?}"))?;
    Ok((head.to_owned(), body.to_owned()))
}
