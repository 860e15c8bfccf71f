//! Screens as lines, without a terminal.

use std::sync::Arc;

use goflow_common::probe::ProbeId;

use super::*;
use crate::binary::addr::{LinkAddr, RuntimeAddr};
use crate::ingest::event::{Goid, SyncPrimitive, Tid, WaitReason};
use crate::model::{LongWait, Missing, Overview};
use crate::sink::record::ProcessState;
use crate::sink::record::{Frame, ProbeHits, ProbeMeta, Silence, Summary, Unavailable};
use crate::target::process::Standstill;
use crate::target::snapshot::{self as seen, Blocked, BlockedOn, Direction};

const MS: u64 = 1_000_000;

/// `0x1NN` is a call in user code at line NN, `0x2NN` in the runtime.
struct Fake;

impl Names for Fake {
    fn frames(&self, _: Pid, pc: RuntimeAddr) -> Vec<Frame<'_>> {
        let line = Some(u32::try_from(pc.0 & 0xff).unwrap());
        match pc.0 >> 8 {
            1 => vec![Frame {
                function: "github.com/x/app.(*Pool).Submit",
                file: Some("/src/app/pool.go"),
                line,
                inlined: false,
            }],
            2 => vec![Frame {
                function: "runtime.chanrecv1",
                file: Some("/go/src/runtime/chan.go"),
                line,
                inlined: false,
            }],
            _ => Vec::new(),
        }
    }
    fn function_at(&self, _: Pid, _: RuntimeAddr) -> Option<Frame<'_>> {
        Some(Frame { function: "github.com/x/app.worker", file: None, line: None, inlined: false })
    }
    fn wait_reason(&self, _: Pid, reason: WaitReason) -> Option<&str> {
        (reason.0 == 7).then_some("chan receive")
    }
    fn type_name(&self, _: Pid, _: RuntimeAddr) -> Option<String> {
        Some("int".to_owned())
    }
}

fn meta() -> Record {
    Record::Meta(Box::new(Meta {
        goflow: "0.1.0",
        kernel: "6.18.0".to_owned(),
        binary: "/srv/app".to_owned(),
        build_id: None,
        go_version: Some("go1.26.6".to_owned()),
        module: Some("github.com/x/app".to_owned()),
        pie: false,
        symbol_source: "pclntab",
        offset_source: "table",
        level: "channels",
        attach_method: "uprobe_multi",
        interval_ns: None,
        start: MonotonicNs(1_000 * MS),
        attach_ns: 8_200_000,
        wall_clock_offset_ns: 0,
        probes: vec![ProbeMeta {
            probe: ProbeId::Chansend,
            function: "runtime.chansend".to_owned(),
            address: LinkAddr(0x40_1000),
            instruction: "push %rbp".to_owned(),
            class: "emulated",
            at: "entry",
        }],
        unavailable: vec![Unavailable {
            what: "sync.Cond".to_owned(),
            why: "not in this binary".to_owned(),
            is_unused: false,
        }],
    }))
}

fn event(ms: u64, goid: u64, kind: EventKind) -> Record {
    Record::Event(Event {
        t: MonotonicNs((1_000 + ms) * MS),
        pid: Pid(1),
        tid: Tid(1),
        goid: Some(Goid(goid)),
        kind,
    })
}

fn send(ms: u64, line: u64) -> Record {
    event(ms, 42, EventKind::ChanSend(op(0xc000_0100, line)))
}

fn op(chan: u64, line: u64) -> ChanOp {
    ChanOp { chan: Some(ChanAddr(chan)), blocking: true, site: Some(RuntimeAddr(0x100 + line)) }
}

fn make(ms: u64, chan: u64, cap: u64) -> Record {
    event(
        ms,
        1,
        EventKind::ChanMake {
            chan: Some(ChanAddr(chan)),
            cap: Some(cap),
            elem_size: Some(8),
            elem_type: Some(RuntimeAddr(0x500)),
            site: Some(RuntimeAddr(0x100 + 31)),
        },
    )
}

fn create(ms: u64, child: u64) -> Record {
    event(
        ms,
        1,
        EventKind::GoroutineCreate {
            child: Some(Goid(child)),
            created_at: Some(RuntimeAddr(0x100 + 20)),
            start: Some(RuntimeAddr(0x600)),
        },
    )
}

const WIDE: View = View {
    width: Some(120),
    colour: false,
    events: Events::Folded,
    progress: false,
    until: Until::Interrupted,
};

fn screen(view: View, records: &[Record], flush_at_ms: u64) -> Vec<String> {
    let mut out = Vec::new();
    let mut sink = Pretty::new(&mut out, view);
    for record in records {
        sink.write(record, &Fake).unwrap();
    }
    sink.flush(MonotonicNs((1_000 + flush_at_ms) * MS)).unwrap();
    drop(sink);
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_header_says_what_is_traced_how_and_what_is_missing() {
    assert_eq!(
        screen(WIDE, &[meta()], 0),
        [
            "goflow 0.1.0  /srv/app (go1.26.6, module github.com/x/app)",
            "1 probes in place after 8.2 ms (uprobe multi), level channels; names from pclntab, offsets from table",
            "not available: sync.Cond: not in this binary",
        ]
    );
}

#[test]
fn channels_and_goroutines_are_called_by_where_they_come_from() {
    let park = EventKind::Park {
        reason: WaitReason(7),
        lock: None,
        stack: Box::new([RuntimeAddr(0x201), RuntimeAddr(0x100 + 88)]),
    };
    let records = [
        send(1, 57),
        make(2, 0xc000_0100, 8),
        make(3, 0xc000_0200, 0),
        create(4, 42),
        send(5, 57),
        event(6, 42, park),
        event(7, 9, EventKind::Ready { target: Some(Goid(42)) }),
        event(8, 42, EventKind::GoroutineExit),
        event(9, 42, EventKind::ChanRecv(op(0xc000_0300, 60))),
    ];
    assert_eq!(
        body(WIDE, records),
        [
            "   0.001000  g42                   chan send   chan 0xc0000100                  app.(*Pool).Submit pool.go:57",
            "   0.002000  g1                    chan make   chan int #1 (buffer 8)           app.(*Pool).Submit pool.go:31",
            "   0.003000  g1                    chan make   chan int #2 (unbuffered)         app.(*Pool).Submit pool.go:31",
            "   0.004000  g1                    create      g42 app.worker                   app.(*Pool).Submit pool.go:20",
            "   0.005000  g42@pool.go:20        chan send   chan int@pool.go:31#1            app.(*Pool).Submit pool.go:57",
            "   0.006000  g42@pool.go:20        park        chan receive                     app.(*Pool).Submit pool.go:88",
            "   0.007000  g9                    ready       g42@pool.go:20",
            "   0.008000  g42@pool.go:20        exit        created at                       app.(*Pool).Submit pool.go:20",
            "   0.009000  g42                   chan recv   chan 0xc0000300                  app.(*Pool).Submit pool.go:60",
        ]
    );
}

/// The screen after the header, the legend and the column titles.
fn body(view: View, records: impl IntoIterator<Item = Record>) -> Vec<String> {
    let all: Vec<_> = [meta()].into_iter().chain(records).collect();
    screen(view, &all, 0).split_off(6)
}

#[test]
fn operations_that_do_not_block_and_nil_channels_say_so() {
    let select = |blocking| EventKind::Select {
        sends: 1,
        receives: 2,
        blocking,
        chans: Some(Box::new([])),
        site: Some(RuntimeAddr(0x101)),
    };
    let nil = ChanOp { chan: None, blocking: true, site: None };
    let wait = EventKind::SyncWait {
        primitive: SyncPrimitive::Mutex,
        addr: RuntimeAddr(0xc000_0008),
        reason: None,
        site: Some(RuntimeAddr(0x999)),
    };
    let tries = ChanOp { blocking: false, ..op(0xc000_0100, 1) };
    let records = [
        event(1, 1, select(true)),
        event(1, 1, select(false)),
        event(1, 1, EventKind::ChanSend(nil)),
        event(1, 1, EventKind::ChanRecv(tries)),
        event(1, 1, wait),
        event(1, 0, EventKind::Ready { target: None }),
    ];
    let view = View { width: None, ..WIDE };
    assert_eq!(
        body(view, records),
        [
            "   0.001000  g1                        select      1 send, 2 receives                        app.(*Pool).Submit pool.go:1",
            "   0.001000  g1                        select      1 send, 2 receives, with default          app.(*Pool).Submit pool.go:1",
            "   0.001000  g1                        chan send   nil channel",
            "   0.001000  g1                        chan recv   chan 0xc0000100, non-blocking             app.(*Pool).Submit pool.go:1",
            "   0.001000  g1                        sync wait   mutex 0xc0000008                          0x999",
            "   0.001000  runtime                   ready       g?",
        ]
    );
}

#[test]
fn a_select_names_the_channels_of_its_first_cases() {
    let select = |sends, receives, chans: &[Option<u64>]| {
        let chans = chans.iter().map(|chan| chan.map(ChanAddr)).collect();
        let kind = EventKind::Select { sends, receives, blocking: true, chans: Some(chans), site: None };
        event(2, 1, kind)
    };
    let (known, older) = (Some(0xc000_0100), Some(0xc000_0200));
    let records = [
        make(1, 0xc000_0100, 8),
        select(1, 1, &[known, older]),
        select(0, 2, &[None, known]),
        select(2, 9, &[known, older, None, known, known, known, known, known]),
    ];
    let lines = body(View { width: None, ..WIDE }, records);
    for (line, what) in lines[1..].iter().zip([
        "select      send chan int@pool.go:31#1; recv chan 0xc0000200",
        "select      recv nil channel, chan int@pool.go:31#1",
        "select      send chan int@pool.go:31#1, chan 0xc0000200; recv nil channel and 8 more",
    ]) {
        assert!(line.ends_with(what), "{line}");
    }
}

#[test]
fn above_a_readable_rate_repeats_become_counts_by_kind_and_site() {
    let mut records: Vec<_> = (0..40).map(|ms| send(ms, 57)).collect();
    records.extend((40..540).map(|ms| send(ms, 57)));
    records.extend((540..840).map(|ms| event(ms, 7, EventKind::ChanRecv(op(0xc000_0100 + ms % 2, 60)))));
    records.push(send(1_900, 57));
    let lines = body(WIDE, records);
    assert_eq!(lines.len(), 43, "{lines:#?}");
    assert_eq!(
        lines[40..],
        [
            "   0.040000 to 1.000000 s  800 events by kind and site, none lost (--all prints every one)",
            "         500  chan send   chan 0xc0000100                  app.(*Pool).Submit pool.go:57",
            "         300  chan recv   several channels                 app.(*Pool).Submit pool.go:60",
        ]
    );
}

#[test]
fn several_channels_of_one_type_keep_it() {
    let mut records = vec![make(0, 0xc000_0100, 8), make(0, 0xc000_0101, 8)];
    records.extend((0..100).map(|ms| event(ms, 7, EventKind::ChanRecv(op(0xc000_0100 + ms % 2, 60)))));
    records.push(send(1_900, 57));
    let lines = body(WIDE, records);
    assert!(lines.iter().any(|line| line.contains("62  chan recv   several chan int  ")), "{lines:#?}");
}

#[test]
fn a_busy_second_is_followed_by_folds_until_a_second_is_readable_again() {
    let busy = (0..3_000).map(|ms| send(ms, 57));
    let calm = (3_000..3_010).map(|ms| send(ms, 57));
    let after = (4_100..4_103).map(|ms| send(ms, 57));
    let lines = body(WIDE, busy.chain(calm).chain(after));
    let folds: Vec<_> = lines.iter().filter(|line| line.contains("by kind and site")).collect();
    assert_eq!(folds.len(), 4, "{lines:#?}");
    assert!(folds[1].contains("1.000000 to 2.000000 s  1,000 events"), "{}", folds[1]);
    assert!(folds[3].contains("3.000000 to 4.000000 s  10 events"), "{}", folds[3]);
    assert!(lines.last().unwrap().starts_with("   4.102000  g42"), "{lines:#?}");
}

#[test]
fn all_prints_every_event_and_folds_none() {
    let view = View { events: Events::Every, ..WIDE };
    let lines = body(view, (0..3_000).map(|ms| send(ms, 57)));
    assert_eq!(lines.iter().filter(|line| line.contains("chan send")).count(), 3_000);
}

#[test]
fn every_event_is_either_a_line_or_in_a_count() {
    let records: Vec<_> = (0..5_000).map(|n| send(n * 7 / 10, n % 200)).collect();
    let mut all = vec![meta()];
    all.extend(records);
    let lines = screen(WIDE, &all, 10_000).split_off(6);
    let printed = lines.iter().filter(|line| line.contains("  g42 ")).count();
    let folded: usize = lines
        .iter()
        .filter(|line| line.contains("by kind and site"))
        .map(|line| line.split_whitespace().nth(4).unwrap().replace(',', "").parse::<usize>().unwrap())
        .sum();
    let rows: usize = lines
        .iter()
        .filter(|line| line.contains("  chan send  ") && !line.contains("g42") || line.contains("more sites"))
        .map(|line| line.split_whitespace().next().unwrap().replace(',', "").parse::<usize>().unwrap())
        .sum();
    assert_eq!(printed + folded, 5_000);
    assert_eq!(rows, folded);
}

#[test]
fn a_quiet_stream_still_gets_its_fold_when_time_passes() {
    let mut all = vec![meta()];
    all.extend((0..100).map(|n| send(n, 57)));
    // An event of the second that is over may come that much later.
    assert!(!screen(WIDE, &all, 1_099).iter().any(|line| line.contains("by kind and site")));
    assert!(screen(WIDE, &all, 1_100).iter().any(|line| line.contains("0.040000 to 1.000000 s  60 events")));
}

/// From when to when, in microseconds, in each heading of a fold.
fn ranges(lines: &[String]) -> Vec<(u64, u64)> {
    let micros = |word: Option<&str>| word.unwrap().replace('.', "").parse().unwrap();
    let headings = lines.iter().filter(|line| line.contains("by kind and site"));
    headings
        .map(|line| line.split_whitespace())
        .map(|mut words| (micros(words.next()), micros(words.nth(1))))
        .collect()
}

#[test]
fn the_times_of_folds_follow_each_other_whatever_the_times_of_events() {
    let mut out = Vec::new();
    let mut sink = Pretty::new(&mut out, WIDE);
    sink.write(&meta(), &Fake).unwrap();
    for second in 0..10 {
        for n in 0..100 {
            sink.write(&send(1_000 * second + n * 9, 57), &Fake).unwrap();
        }
        // The second is closed by the clock, and then something comes that belongs to it.
        sink.flush(MonotonicNs((2_200 + 1_000 * second) * MS)).unwrap();
        sink.write(&send(1_000 * second + 950, 57), &Fake).unwrap();
    }
    // The window of the summary is over before the last event.
    sink.write(&send(10_500, 57), &Fake).unwrap();
    sink.write(&summary_of(9, 0, 0), &Fake).unwrap();
    drop(sink);
    let lines: Vec<String> = String::from_utf8(out).unwrap().lines().map(str::to_owned).collect();
    let ranges = ranges(&lines);
    assert!(ranges.len() > 9, "{lines:#?}");
    assert!(ranges.iter().all(|(from, to)| from <= to), "{ranges:?}");
    assert!(ranges.is_sorted_by(|before, after| before.1 <= after.0), "{ranges:?}");
}

#[test]
fn folds_tell_goroutines_by_where_they_come_from() {
    let mut records: Vec<_> = (0..40).map(|ms| send(ms, 57)).collect();
    records.push(create(40, 42));
    for target in [42, 42, 42, 7, 7] {
        records.push(event(41, 1, EventKind::Ready { target: Some(Goid(target)) }));
    }
    records.extend([event(42, 42, EventKind::GoroutineExit), send(1_900, 57)]);
    assert_eq!(
        body(WIDE, records)[41..45],
        [
            "           3  ready       goroutines from                  app.(*Pool).Submit pool.go:20",
            "           2  ready       older goroutines",
            "           1  create      app.worker                       app.(*Pool).Submit pool.go:20",
            "           1  exit        goroutines from                  app.(*Pool).Submit pool.go:20",
        ]
    );
}

fn loss(ms: u64) -> Record {
    Record::Lost(Lost {
        from: MonotonicNs((1_000 + ms) * MS),
        to: MonotonicNs((1_100 + ms) * MS),
        at: LossPoint::Ring,
        count: 1_234,
    })
}

#[test]
fn a_loss_stands_where_it_happened_or_in_the_fold_of_its_second() {
    let lines = body(View { width: None, ..WIDE }, [send(1, 57), loss(2)]);
    assert_eq!(
        lines[1],
        "   0.102000  LOST 1,234 events since 0.002000 s: the ring buffer was full; --buffer makes it larger, --level blocking records less"
    );
    let busy = (0..100).map(|ms| send(ms, 57)).chain([loss(100), loss(200), send(1_500, 57)]);
    let lines = body(WIDE, busy);
    assert!(
        lines[40].contains("0.040000 to 1.000000 s  60 events by kind and site, 2,468 LOST"),
        "{lines:#?}"
    );
}

#[test]
fn processes_are_told_apart_once_there_are_two() {
    let start = |pid| Record::ProcessStart { pid: Pid(pid), binary: Arc::from("/srv/app") };
    let lines = screen(WIDE, &[meta(), start(1), start(23), send(1, 57)], 0);
    assert_eq!(
        lines[3..],
        [
            "             process 1 runs /srv/app",
            "             process 23 runs /srv/app",
            "g7@a.go:5          goroutine 7, created at a.go:5; g7 alone is older than the trace",
            "chan int@a.go:5#2  second channel made at a.go:5; a channel that is older has an address",
            "    seconds  pid       goroutine             event       what                         where",
            "   0.001000  1         g42                   chan send   chan 0xc0000100              app.(*Pool).Submit pool.go:57",
        ]
    );
}

#[test]
fn the_end_of_a_process_is_a_line_or_in_the_fold_of_its_second() {
    let exit = |ms: u64, pid| Record::ProcessExit { pid: Pid(pid), t: MonotonicNs((1_000 + ms) * MS) };
    let lines = body(WIDE, [make(1, 0xc000_0100, 8), exit(2, 1), send(3, 57)]);
    assert_eq!(lines[1], "   0.002000  process 1 has ended");
    assert!(lines[2].contains("chan 0xc0000100"), "a name of a process that has ended: {lines:#?}");
    let busy = (0..100).map(|ms| send(ms, 57)).chain([exit(100, 1), exit(101, 2), send(1_500, 57)]);
    let lines = body(WIDE, busy);
    assert!(lines[40].contains("by kind and site, 2 processes ended, none lost"), "{lines:#?}");
}

#[test]
fn what_is_folded_when_its_process_ends_keeps_its_name() {
    let exit = Record::ProcessExit { pid: Pid(1), t: MonotonicNs(1_200 * MS) };
    let sends = (2..100).map(|ms| send(ms, 57));
    let lines = body(
        WIDE,
        [make(1, 0xc000_0100, 8)].into_iter().chain(sends).chain([exit, send(1_500, 57), send(2_700, 57)]),
    );
    let folded = lines.iter().find(|line| line.starts_with("          5")).unwrap();
    assert!(folded.contains("chan int@pool.go:31#1"), "{lines:#?}");
    assert!(lines.last().unwrap().contains("chan 0xc0000100"), "{lines:#?}");
}

#[test]
fn a_share_that_is_not_known_is_not_guessed() {
    let of_cpu = |target_cpu_ns| {
        let Record::Summary(mut summary) = summary_of(9, 0, 40 * MS) else { unreachable!() };
        summary.target_cpu_ns = target_cpu_ns;
        let lines = screen(WIDE, &[meta(), Record::Summary(summary)], 0);
        lines.into_iter().find(|line| line.starts_with("  cost")).unwrap()
    };
    assert_eq!(of_cpu(Ok(0)), "  cost    ≈ 40.0 ms of the target's CPU time (estimate), which was none");
    assert_eq!(
        of_cpu(Err("nobody could read it".to_owned())),
        "  cost    ≈ 40.0 ms of the target's CPU time (estimate); of how much is not known: nobody could read it"
    );
}

#[test]
fn an_estimate_of_more_than_all_is_not_a_share() {
    let Record::Summary(mut summary) = summary_of(9, 0, 40 * MS) else { unreachable!() };
    summary.target_cpu_ns = Ok(30 * MS);
    let lines = screen(WIDE, &[meta(), Record::Summary(summary)], 0);
    let cost = "  cost    nearly all of the target's CPU time: ≈ 40.0 ms of 30.0 ms; the estimate is too high for this machine";
    assert!(lines.contains(&cost.to_owned()), "{lines:#?}");
    let view = View { events: Events::None, progress: true, ..WIDE };
    let target_cpu_ns = Some(4 * MS);
    let progress = Progress { elapsed_ns: 1, events: 5, lost: 0, cost_ns: 5 * MS, target_cpu_ns };
    let lines = screen(view, &[meta(), Record::Progress(progress)], 0);
    assert!(lines.iter().any(|line| line.contains("cost: nearly all its CPU time")), "{lines:#?}");
}

#[test]
fn a_pid_that_runs_something_new_does_not_keep_the_old_names() {
    let start = || Record::ProcessStart { pid: Pid(1), binary: Arc::from("/srv/app") };
    let lines = body(WIDE, [start(), make(1, 0xc000_0100, 8), start(), send(2, 57)]);
    assert!(lines.last().unwrap().contains("chan 0xc0000100"), "{lines:#?}");
}

fn summary_of(counts: u64, lost: u64, cost_ns: u64) -> Record {
    Record::Summary(Box::new(Summary {
        duration_ns: 10_002 * MS,
        detach_ns: 22 * MS,
        counts: vec![("park", counts / 4), ("chan_send", counts - counts / 4)],
        lost: vec![(LossPoint::Ring, lost), (LossPoint::Sink, 0)],
        hits: vec![
            ProbeHits {
                binary: "/srv/app".into(),
                probe: ProbeId::Gopark,
                function: "runtime.gopark".to_owned(),
                hits: 5,
                eventless: 0,
                cost_ns: 9_000,
            },
            ProbeHits {
                binary: "/srv/app".into(),
                probe: ProbeId::Chansend,
                function: "runtime.chansend".to_owned(),
                hits: 30_000,
                eventless: 0,
                cost_ns: 40_000_000,
            },
            ProbeHits {
                binary: "/srv/app".into(),
                probe: ProbeId::Closechan,
                function: "runtime.closechan".to_owned(),
                hits: 0,
                eventless: 0,
                cost_ns: 0,
            },
        ],
        cost_ns,
        target_cpu_ns: Ok(8_000 * MS),
        goflow_cpu_ns: 3 * MS,
        processes: vec![Pid(1)],
        end: MonotonicNs(20_000 * MS),
        state: Vec::new(),
        ended: "duration reached".to_owned(),
        silence: None,
    }))
}

#[test]
fn the_summary_counts_events_losses_hits_and_cost() {
    let lines = screen(WIDE, &[meta(), summary_of(120_000, 0, 40 * MS)], 0).split_off(3);
    assert_eq!(
        lines,
        [
            "",
            "summary  10.002 s, duration reached, process 1",
            "  events  120,000",
            "          park                    30,000   chan_send               90,000",
            "  lost    none",
            "  hits           30,000     ≈ 40.0 ms  runtime.chansend",
            "                      5      ≈ 9.0 µs  runtime.gopark",
            "  cost    ≈ 0.5 % of the target's CPU time: 40.0 ms of 8.000 s (estimate)",
            "  attach  probes in after 8.2 ms, out after 22.0 ms",
        ]
    );
}

#[test]
fn hits_and_attach_times_of_two_binaries_are_told_apart() {
    let Record::Meta(mut other) = meta() else { unreachable!() };
    (other.binary, other.attach_ns) = ("/opt/worker".to_owned(), 9_000_000);
    let Record::Summary(mut summary) = summary_of(9, 0, 0) else { unreachable!() };
    summary.hits[0].binary = "/opt/worker".into();
    let records = [meta(), Record::Meta(other.clone()), Record::Summary(summary.clone())];
    let lines = screen(WIDE, &records, 0);
    assert!(lines.iter().any(|line| line.ends_with("runtime.chansend in app")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.ends_with("runtime.gopark in worker")), "{lines:#?}");
    let attach = "  attach  probes in after 8.2 ms (app) and 9.0 ms (worker), out after 22.0 ms";
    assert!(lines.contains(&attach.to_owned()), "{lines:#?}");

    // One name in two places.
    other.binary = "/opt/app".to_owned();
    summary.hits[0].binary = "/opt/app".into();
    let lines = screen(WIDE, &[meta(), Record::Meta(other), Record::Summary(summary)], 0);
    assert!(lines.iter().any(|line| line.ends_with("runtime.gopark in /opt/app")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("9.0 ms (/opt/app)")), "{lines:#?}");
}

#[test]
fn the_advice_follows_from_the_numbers() {
    let last = |summary| screen(WIDE, &[meta(), summary], 0).pop().unwrap();
    assert_eq!(
        last(summary_of(9, 3, 0)),
        "  next    to lose nothing: --level blocking, or a larger --buffer"
    );
    assert_eq!(last(summary_of(9, 0, 400 * MS)), "  next    to cost the target less: --level blocking");
    assert!(last(summary_of(0, 0, 0)).contains("goflow doctor"));
    let lines = screen(WIDE, &[meta(), summary_of(9, 3, 0)], 0);
    assert!(lines.contains(&"  lost    3 in the ring".to_owned()), "{lines:#?}");
    let folded: Vec<_> =
        [meta()].into_iter().chain((0..100).map(|ms| send(ms, 57))).chain([summary_of(100, 0, 0)]).collect();
    assert!(screen(WIDE, &folded, 0).pop().unwrap().contains("--format json"));
}

#[test]
fn where_nothing_can_be_better_there_is_no_advice() {
    let Record::Summary(summary) = summary_of(9, 0, 0) else { unreachable!() };
    let last = |change: &dyn Fn(&mut Summary)| {
        let mut summary = summary.clone();
        change(&mut summary);
        screen(WIDE, &[meta(), Record::Summary(summary)], 0).pop().unwrap()
    };
    assert!(last(&|_| ()).starts_with("  attach"), "{}", last(&|_| ()));
    // A tenth of what the target used, which was next to nothing.
    let idle = last(&|summary| (summary.cost_ns, summary.target_cpu_ns) = (MS, Ok(10 * MS)));
    assert!(idle.starts_with("  attach"), "{idle}");
    let short = last(&|summary| (summary.counts, summary.duration_ns) = (Vec::new(), 200 * MS));
    assert_eq!(short, "  next    no event in 200.0 ms: trace longer");
}

#[test]
fn a_trace_without_an_event_is_explained_by_what_the_target_did() {
    let Record::Summary(summary) = summary_of(0, 0, 0) else { unreachable!() };
    let next = |silence, duration_ns| {
        let silence = Some(silence);
        let summary = Record::Summary(Box::new(Summary { silence, duration_ns, ..(*summary).clone() }));
        screen(WIDE, &[meta(), summary], 0).pop().unwrap()
    };
    for duration_ns in [200 * MS, 20_000 * MS] {
        let stopped = |pid| (Pid(pid), Standstill::Stopped);
        let one = next(Silence::StandStill(vec![stopped(7)]), duration_ns);
        let told = "  next    process 7 is stopped by a signal: no event comes until it continues (SIGCONT)";
        assert_eq!(one, told);
        let two = next(Silence::StandStill(vec![stopped(7), stopped(8)]), duration_ns);
        assert_eq!(two, format!("{told} (and 1 more)"));
        assert!(next(Silence::Ended, duration_ns).contains("before the target ended"));
        assert!(next(Silence::NobodyRuns, duration_ns).contains("no process was found that runs this file"));
    }
    assert_eq!(next(Silence::Idle, 200 * MS), "  next    no event in 200.0 ms: trace longer");
    assert!(next(Silence::Idle, 20_000 * MS).contains("the target was idle"));
}

#[test]
fn who_waits_is_told_for_what() {
    let line = |until| {
        let view = View { events: Events::None, until, ..WIDE };
        screen(view, &[meta(), meta()], 0)
            .into_iter()
            .filter(|line| line.starts_with("rec"))
            .collect::<Vec<_>>()
    };
    assert_eq!(line(Until::Interrupted), ["recording; Ctrl-C ends it"]);
    let elapsed = Until::Elapsed(Duration::from_secs(90));
    assert_eq!(line(elapsed), ["recording for 1m 30s; Ctrl-C ends it sooner"]);
    assert_eq!(line(Until::CommandEnds), ["recording until the command ends"]);
}

#[test]
fn no_line_is_wider_than_the_terminal_whatever_its_width() {
    let mut records = vec![meta(), make(1, 0xc000_0100, 8), create(2, 42), loss(3)];
    records.extend((3..200).map(|ms| send(ms, 57)));
    records.push(summary_of(200, 3, 0));
    for width in 1..200 {
        for line in screen(View { width: Some(width), ..WIDE }, &records, 2_000) {
            let columns = unicode_width::UnicodeWidthStr::width(line.as_str());
            assert!(columns <= width, "{width}: {line:?}");
        }
    }
}

#[test]
fn an_escape_sequence_in_a_binary_does_not_reach_the_terminal() {
    struct Hostile;
    impl Names for Hostile {
        fn frames(&self, _: Pid, _: RuntimeAddr) -> Vec<Frame<'_>> {
            vec![Frame {
                function: "main.\x1b[2Jf",
                file: Some("/\x1b[0m\n.go"),
                line: Some(1),
                inlined: false,
            }]
        }
        fn function_at(&self, _: Pid, _: RuntimeAddr) -> Option<Frame<'_>> {
            Some(Frame { function: "\x1bc.f", file: None, line: None, inlined: false })
        }
        fn wait_reason(&self, _: Pid, _: WaitReason) -> Option<&str> {
            Some("\x1b]0;title\x07")
        }
        fn type_name(&self, _: Pid, _: RuntimeAddr) -> Option<String> {
            Some("\u{9b}2J".to_owned())
        }
    }
    let park = EventKind::Park { reason: WaitReason(7), lock: None, stack: Box::new([RuntimeAddr(0x101)]) };
    let mut out = Vec::new();
    let mut sink = Pretty::new(&mut out, WIDE);
    for record in [make(1, 1, 1), create(2, 3), event(3, 3, park), send(4, 1)] {
        sink.write(&record, &Hostile).unwrap();
    }
    sink.flush(MonotonicNs(0)).unwrap();
    drop(sink);
    let text = String::from_utf8(out).unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert_eq!(text.lines().count(), 7, "{text}");
}

#[test]
fn where_events_go_elsewhere_only_header_losses_and_summary_are_shown() {
    let view = View { events: Events::None, ..WIDE };
    let lines = screen(view, &[meta(), send(1, 57), loss(2), summary_of(1, 0, 0)], 5_000);
    assert!(lines.iter().any(|line| line.contains("LOST 1,234")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("g42")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("summary")), "{lines:#?}");
}

#[test]
fn how_far_it_is_stands_in_one_line_that_makes_way_for_others() {
    let progress = |seconds: u64, lost, target_cpu_ns| {
        let elapsed_ns = seconds * 1_000_000_000;
        Record::Progress(Progress { elapsed_ns, events: 12_345, lost, cost_ns: 5 * MS, target_cpu_ns })
    };
    let records = [meta(), progress(1, 0, Some(1_000 * MS)), progress(62, 7, None), loss(2)];
    let shown = |view: View| {
        let mut out = Vec::new();
        let mut sink = Pretty::new(&mut out, view);
        records.iter().for_each(|record| sink.write(record, &Fake).unwrap());
        sink.write(&progress(63, 0, None), &Fake).unwrap();
        drop(sink);
        String::from_utf8(out).unwrap()
    };
    let view = View { events: Events::None, progress: true, ..WIDE };
    let text = shown(view);
    let (_, text) = text.split_once("recording; Ctrl-C ends it\n").unwrap();
    let pieces: Vec<&str> = text.split(CLEAR_LINE).collect();
    assert_eq!(pieces[..2], ["0:01  12,345 events, none lost, cost ≈ 0.5 %", "1:02  12,345 events, 7 LOST"]);
    assert!(pieces[2].starts_with("   0.102000  LOST 1,234 events"), "{pieces:?}");
    assert!(pieces[2].ends_with("\n1:03  12,345 events, none lost"), "{pieces:?}");
    // What is written after a failure starts on an empty line.
    assert_eq!(pieces[3..], [""]);
    let narrow = shown(View { width: Some(12), ..view });
    assert!(narrow.split(['\r', '\n']).all(|line| line.chars().count() <= 12 + 4), "{narrow:?}");
    assert!(!shown(View { progress: false, ..view }).contains("12,345"));
}

#[test]
fn colour_is_only_paint() {
    let records = || [meta(), make(1, 0xc000_0100, 8), send(2, 57), loss(3), summary_of(9, 3, 400 * MS)];
    let plain = screen(WIDE, &records(), 0);
    let coloured = screen(View { colour: true, ..WIDE }, &records(), 0);
    let stripped: Vec<_> =
        coloured.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
    assert_eq!(stripped, plain);
    assert_ne!(coloured, plain);
}

fn seen(goid: u64, created: u64) -> seen::Goroutine {
    seen::Goroutine {
        addr: RuntimeAddr(goid << 12),
        goid: Goid(goid),
        state: seen::State::Running,
        scanned: false,
        wait_reason: None,
        wait_since: None,
        parent: None,
        created: Some(RuntimeAddr(created)),
        start: None,
        system: false,
        locked: false,
        m: None,
        tid: None,
        p: None,
        blocked_on: Vec::new(),
        labels: Vec::new(),
        stack: seen::Stack::default(),
    }
}

#[test]
fn who_was_there_before_the_probes_is_called_by_where_a_snapshot_says_it_was_created() {
    let snapshot = seen::Snapshot { goroutines: vec![seen(42, 0x11f)], ..seen::Snapshot::default() };
    let snapshot = Record::Snapshot { pid: Pid(1), snapshot: Arc::new(snapshot) };
    let lines = body(WIDE, [send(1, 57), snapshot, send(2, 57)]);
    let [.., before, after] = lines.as_slice() else { panic!("{lines:#?}") };
    assert!(before.contains("g42 ") && !before.contains("g42@"), "{before}");
    assert!(after.contains("g42@pool.go:31"), "{after}");
}

fn state(missing: Option<Missing>) -> ProcessState {
    let on = |address| Blocked {
        on: BlockedOn::Channel,
        address: Some(RuntimeAddr(address)),
        direction: Some(Direction::Receive),
        until: None,
    };
    let wait = |goid, ms: u64, exact| LongWait {
        goid: Goid(goid),
        since: MonotonicNs((20_000 - ms) * MS),
        exact,
        reason: Some(WaitReason(7)),
        on: vec![on(0xc000), on(0xd000)],
        created_at: Some(RuntimeAddr(0x11f)),
    };
    let overview = Overview {
        pid: Pid(1),
        snapshot: Some(MonotonicNs(1)),
        goroutines: 1_200,
        system: 5,
        awake: 3,
        waiting: 1_197,
        unknown: 0,
        reasons: vec![(Some(WaitReason(7)), 1_190), (None, 7)],
        longest: vec![wait(5, 7_000, false), wait(6, 6_000, true)],
        channels: 9,
        missing,
    };
    ProcessState { overview, snapshots: 2, snapshots_ns: 5, failure: None }
}

fn summary_with(state: Vec<ProcessState>) -> Record {
    let Record::Summary(mut summary) = summary_of(9, 0, 0) else { unreachable!() };
    summary.state = state;
    Record::Summary(summary)
}

#[test]
fn the_summary_tells_who_waits_for_what_and_since_when() {
    let lines = screen(WIDE, &[meta(), summary_with(vec![state(None)])], 0);
    let from = lines.iter().position(|line| line.starts_with("  state")).unwrap();
    assert_eq!(
        lines[from..from + 4],
        [
            "  state   1,200 goroutines: 3 awake, 1,197 waiting; 5 of the runtime's own, 9 channels",
            "          waiting for: 1,190 chan receive, 7 unknown reason",
            "              ≥ 7.000 s  g5 chan receive (channel 0xc000) and 1 more, created at app.(*Pool).Submit pool.go:31",
            "                6.000 s  g6 chan receive (channel 0xc000) and 1 more, created at app.(*Pool).Submit pool.go:31",
        ]
    );
    let lines = screen(WIDE, &[meta(), summary_with(vec![state(Some(Missing::Lost))])], 0);
    let what = "          not complete: events were lost and no snapshot has followed";
    assert!(lines.iter().any(|line| line == what), "{lines:#?}");
    let lines = screen(WIDE, &[meta(), summary_with(vec![state(None); 5])], 0);
    assert!(lines.iter().any(|line| line.contains("and of 2 more processes")), "{lines:#?}");
}

#[test]
fn without_probes_it_says_what_changed_what_looking_cost_and_what_it_does_not_see() {
    let Record::Meta(mut meta) = meta() else { unreachable!() };
    meta.level = "snapshot";
    meta.interval_ns = Some(100 * MS);
    let inferred = |goid, change| {
        let (since, until) = (MonotonicNs(1_000 * MS), MonotonicNs(1_100 * MS));
        Record::Inferred(Inferred { pid: Pid(1), since, until, goid: Goid(goid), change })
    };
    let look = |from: u64, to: u64| {
        let (started, ended) = (MonotonicNs(from * MS), MonotonicNs(to * MS));
        let snapshot = seen::Snapshot { started, ended, ..seen::Snapshot::default() };
        Record::Snapshot { pid: Pid(1), snapshot: Arc::new(snapshot) }
    };
    let created =
        Change::Created { parent: Some(Goid(1)), created_at: Some(RuntimeAddr(0x11f)), start: None };
    let parked =
        Change::Parked { reason: Some(WaitReason(7)), on: Vec::new(), stack: vec![RuntimeAddr(0x120)] };
    let records = [
        Record::Meta(meta),
        inferred(5, created),
        inferred(5, parked),
        inferred(5, Change::Readied),
        inferred(5, Change::Exited),
        look(1_000, 1_001),
        look(1_100, 1_130),
        summary_of(4, 0, 0),
    ];
    let lines = screen(WIDE, &records, 0);
    assert!(lines[1].starts_with("no probe; memory is read every 100.0 ms, level snapshot;"), "{lines:#?}");
    for (event, what) in
        [("create", "g5 "), ("park", "chan receive"), ("ready", "g5@pool.go:31"), ("exit", "")]
    {
        let found = lines.iter().find(|line| line.contains(&format!(" {event} ")));
        assert!(
            found.is_some_and(|line| line.contains("0.100000") && line.contains(what)),
            "{event}: {lines:#?}"
        );
    }
    assert!(lines.iter().any(|line| line.starts_with("  cost    nothing to the target; goflow used 3.0 ms")));
    assert!(lines.iter().any(|line| {
        line.starts_with("  unseen  what began and ended between two looks, 130.0 ms apart at most;")
    }));
    assert!(!lines.iter().any(|line| line.starts_with("  attach")), "{lines:#?}");
}
