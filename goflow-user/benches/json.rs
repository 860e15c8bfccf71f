//! How many events a second one core writes as JSON lines, and as a readable stream. Run with
//! `cargo bench -p goflow-user --bench json`; each figure is the median of nine rounds, interleaved.
//!
//! In: a mix of events as a busy channel program gives; out: events and bytes a second into memory that is thrown away
//! (the cost of the sink alone) and into a file.

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use goflow_user::binary::addr::RuntimeAddr;
use goflow_user::ingest::event::{ChanAddr, ChanOp, Event, EventKind, Goid, MonotonicNs, WaitReason};
use goflow_user::sink::json::Json;
use goflow_user::sink::pretty::{Events, Pretty, Until, View};
use goflow_user::sink::record::{Frame, Names, Record, Sink};
use goflow_user::target::{Pid, Tid};

/// Events of one round.
const EVENTS: u64 = 500_000;
const ROUNDS: usize = 9;
/// Different call sites in the target.
const SITES: u64 = 400;
const STACK_DEPTH: u64 = 8;

struct Source;

impl Names for Source {
    fn frames(&self, _: Pid, pc: RuntimeAddr) -> Vec<Frame<'_>> {
        vec![Frame {
            function: "github.com/example/service/internal/pool.(*Pool).submit",
            file: Some("/home/build/src/github.com/example/service/internal/pool/pool.go"),
            line: u32::try_from(pc.0).ok(),
            inlined: false,
            wrapper: false,
        }]
    }
    fn function_at(&self, pid: Pid, entry: RuntimeAddr) -> Option<Frame<'_>> {
        self.frames(pid, entry).pop()
    }
    fn wait_reason(&self, _: Pid, _: WaitReason) -> Option<&str> {
        Some("chan receive")
    }
    fn type_name(&self, _: Pid, _: RuntimeAddr) -> Option<String> {
        Some("struct { id int }".to_owned())
    }
}

/// Of ten events three are sends, three receives, two parks with a full stack, two wake-ups.
fn record(number: u64) -> Record {
    let site = |shift: u64| RuntimeAddr((number.wrapping_mul(31) + shift) % SITES);
    let op = ChanOp {
        chan: Some(ChanAddr(0x00c0_0000_0000 + number % 64 * 96)),
        blocking: true,
        site: Some(site(0)),
    };
    let kind = match number % 10 {
        0..3 => EventKind::ChanSend(op),
        3..6 => EventKind::ChanRecv(op),
        6..8 => EventKind::Park {
            reason: WaitReason(14),
            lock: None,
            stack: (0..STACK_DEPTH).map(site).collect(),
        },
        _ => EventKind::Ready { target: Some(Goid(number % 2_000)), ended: None },
    };
    Record::Event(Event {
        t: MonotonicNs(81_264_402_918_374 + number * 2_000),
        pid: Pid(1_234),
        tid: Tid(1_240),
        goid: Some(Goid(number % 2_000)),
        kind,
    })
}

/// Throws bytes away but counts them.
#[derive(Default)]
struct Counting(u64);

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += black_box(bytes).len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(mut sink: impl Sink, records: &[Record]) -> io::Result<Duration> {
    let start = Instant::now();
    for record in records {
        sink.write(record, &Source)?;
    }
    sink.flush(MonotonicNs(u64::MAX))?;
    Ok(start.elapsed())
}

fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "figures for a person")]
fn main() -> Result<(), Box<dyn Error>> {
    let records: Vec<Record> = (0..EVENTS).map(record).collect();
    let path = std::env::temp_dir().join(format!("goflow-bench-{}.jsonl", std::process::id()));
    let view =
        |events| View { width: Some(120), colour: false, events, progress: false, until: Until::Interrupted };
    let (mut memory, mut file, mut folded, mut every) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        memory.push(run(Json::new(Counting::default()), &records)?);
        file.push(run(Json::new(File::create(&path)?), &records)?);
        folded.push(run(Pretty::new(Counting::default(), view(Events::Folded)), &records)?);
        every.push(run(Pretty::new(Counting::default(), view(Events::Every)), &records)?);
    }
    let bytes = std::fs::metadata(&path)?.len();
    std::fs::remove_file(&path)?;
    println!("{EVENTS} events, {} bytes each as JSON; median of {ROUNDS} rounds on one core", bytes / EVENTS);
    for (name, rounds) in [
        ("json, bytes thrown away", memory),
        ("json, to a file", file),
        ("pretty, folded", folded),
        ("pretty, every event", every),
    ] {
        let median = median(rounds);
        let per_second = EVENTS as f64 / median.as_secs_f64();
        println!(
            "{name:<26} {per_second:>12.0} events/s  {:>7.0} ns/event",
            median.as_nanos() as f64 / EVENTS as f64
        );
    }
    Ok(())
}
