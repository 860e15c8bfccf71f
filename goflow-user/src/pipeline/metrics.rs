//! The metrics thread: serves the accounts of a session to Prometheus, over HTTP on a loopback address.
//!
//! In: [`Accounts`] that control publishes once a second, and requests; out: the last of them as text. A scrape reads what
//! was published and waits for nobody: neither ingest nor control know of it. Refused is every address that other machines
//! reach ([`parse_address`]), since there is nothing by which to tell who asks. What is hard is that anybody on this machine
//! may connect: requests, connections and their time are bounded, and what exceeds a bound is hung up on.

use crate::advice::Advise as _;
use crate::sink::metrics::{self, Accounts};
use crate::target::host::NoTask;
use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};
use tokio::time;

/// Connections at a time: each takes a descriptor, and one answer is all it gets.
const MOST_CONNECTIONS: usize = 64;

/// How long a connection may take from its start to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take to send the head of its request.
const HEAD_PATIENCE: Duration = Duration::from_secs(1);

/// The longest head of a request, bytes.
const MOST_HEAD_BYTES: usize = 16 << 10;

/// After a connection could not be accepted, as where no more files may be opened.
const PAUSE: Duration = Duration::from_millis(200);

/// The last accounts that were published; `None` before the first.
type Latest = Arc<Mutex<Option<Arc<Accounts>>>>;

/// From `127.0.0.1:9464`, `[::1]:9464` or `localhost:9464`.
///
/// # Errors
/// It is no such address, or other machines can reach it; with what to do, in a sentence.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix("localhost:").map(str::parse) {
        Some(Ok(port)) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
        _ => text.parse().map_err(|_| {
            "it is an address of this machine's loopback and a port, such as 127.0.0.1:9464 or [::1]:9464"
        })?,
    };
    // An IPv4 address in an IPv6 one reaches as far as it does by itself.
    if address.ip().to_canonical().is_loopback() {
        return Ok(address);
    }
    // Port 0 is none to be passed on.
    let port = if address.port() == 0 { 9464 } else { address.port() };
    Err(format!(
        "other machines can reach {}, and goflow cannot tell who asks: give 127.0.0.1:{port}, and have it passed on by what can, \
         such as `ssh -L {port}:127.0.0.1:{port} HOST`, or a proxy or an agent beside goflow (a sidecar)",
        address.ip()
    ))
}

/// An address that is ours from here on, though nobody answers yet.
pub(super) struct Bound(TcpListener);

impl Bound {
    pub(super) fn to(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = match TcpListener::bind(address) {
            Ok(listener) => listener,
            Err(error) => {
                let advice = advice(error.kind(), address.port());
                let failed = Err(error).with_context(|| format!("metrics cannot be served on {address}"));
                return match advice {
                    Some(advice) => failed.advise(|| advice),
                    None => failed,
                };
            }
        };
        listener.set_nonblocking(true).context("metrics cannot be served")?;
        // With the port that the system chose where none was asked for.
        let address = listener.local_addr().context("the address of the metrics is not known")?;
        tracing::warn!("metrics are on http://{address}/metrics");
        Ok(Self(listener))
    }
}

/// What helps where an address cannot be had.
fn advice(kind: io::ErrorKind, port: u16) -> Option<String> {
    match kind {
        io::ErrorKind::AddrInUse => Some(format!(
            "`ss -ltnp 'sport = :{port}'` tells who has it: give --metrics another port, or 0 for any that is free"
        )),
        io::ErrorKind::PermissionDenied => {
            Some("give --metrics a port above 1023, or 0 for any that is free".to_owned())
        }
        io::ErrorKind::AddrNotAvailable => {
            Some("this machine has no such address: give --metrics 127.0.0.1:PORT".to_owned())
        }
        _ => None,
    }
}

/// The thread that answers. Dropping it ends that.
pub(super) struct Server {
    latest: Latest,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(Bound(listener): Bound) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.context("metrics cannot be served")?;
        let latest = Latest::default();
        let (stop, stopped) = oneshot::channel();
        let shown = Arc::clone(&latest);
        let thread = thread::Builder::new()
            .name("goflow-metrics".into())
            .spawn(move || run(&runtime, listener, shown, stopped))
            .map_err(NoTask::of("the thread goflow-metrics"))?;
        Ok(Self { latest, stop: Some(stop), thread: Some(thread) })
    }

    /// What is answered from here on.
    pub(super) fn publish(&self, accounts: Accounts) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(accounts));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A thread that is gone needs no telling.
        self.stop.take().map(|stop| stop.send(()));
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the thread that serves metrics panicked; this is a defect of goflow");
        }
    }
}

/// Until it is told to stop. What is still under way then ends with the runtime.
fn run(runtime: &Runtime, listener: TcpListener, latest: Latest, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => drop(tokio::spawn(serve(listener, latest))),
            Err(error) => return tracing::warn!("metrics are not served: {error}"),
        }
        // Whoever holds the other end is gone otherwise, which says the same.
        let _ = stopped.await;
    });
}

async fn serve(listener: tokio::net::TcpListener, latest: Latest) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        // Who finds no place waits in the system's queue.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let latest = Arc::clone(&latest);
                tokio::spawn(async move {
                    converse(stream, latest).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection for metrics could not be accepted");
                time::sleep(PAUSE).await;
            }
        }
    }
}

/// One request and its answer: that is all a scrape needs, and nobody keeps a place.
async fn converse(stream: TcpStream, latest: Latest) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&request, &latest);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .keep_alive(false)
        .max_buf_size(MOST_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match time::timeout(PATIENCE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics failed"),
        Err(_) => tracing::debug!("a connection for metrics took too long"),
    }
}

fn answer(request: &Request<Incoming>, latest: &Latest) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return told(StatusCode::NOT_FOUND, "the metrics of goflow are at /metrics\n");
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut answer = told(StatusCode::METHOD_NOT_ALLOWED, "metrics can only be read\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let accounts = latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(accounts) = accounts else {
        return told(StatusCode::SERVICE_UNAVAILABLE, "the trace has only just begun\n");
    };
    match metrics::text(&accounts) {
        Ok(text) => {
            let mut answer = told(StatusCode::OK, text);
            let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
            answer.headers_mut().insert(CONTENT_TYPE, kind);
            answer
        }
        Err(error) => told(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn told(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_no_other_machine_reaches_is_taken() {
        for (text, address) in [
            ("127.0.0.1:9464", "127.0.0.1:9464"),
            ("127.3.2.1:0", "127.3.2.1:0"),
            ("[::1]:9464", "[::1]:9464"),
            ("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80"),
            ("localhost:9464", "127.0.0.1:9464"),
        ] {
            assert_eq!(parse_address(text), Ok(address.parse().unwrap()), "{text}");
        }
        for text in
            ["0.0.0.0:9464", "192.0.2.7:9464", "[::]:9464", "[2001:db8::1]:9464", "[::ffff:192.0.2.7]:9464"]
        {
            let refusal = parse_address(text).unwrap_err();
            assert!(refusal.contains("cannot tell who asks: give 127.0.0.1:9464"), "{text}: {refusal}");
            assert!(refusal.contains("ssh -L 9464:127.0.0.1:9464"), "{text}: {refusal}");
        }
        for text in [
            "",
            "9464",
            ":9464",
            "127.0.0.1",
            "localhost:",
            "localhost:x",
            "example.org:9464",
            "127.0.0.1:99999",
        ] {
            assert!(parse_address(text).unwrap_err().contains("such as 127.0.0.1:9464"), "{text}");
        }
    }

    #[test]
    fn a_port_that_is_taken_is_told_with_who_may_have_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let Err(error) = Bound::to(address) else { panic!("it was given twice") };
        assert!(format!("{error:#}").contains(&format!("cannot be served on {address}")), "{error:#}");
        assert!(crate::advice::advice_of(&error).unwrap().contains("ss -ltnp"));
    }
}
