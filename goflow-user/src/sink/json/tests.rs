//! Lines as a reader gets them. The schema is held by `tests/events_schema.rs`; here are the values.

use super::*;
use crate::ingest::event::{Gap, GroupState, LossPoint, Lost, SyncPrimitive, Tid};
use crate::probe::budget::Mode;
use crate::probe::catalog::Level;
use crate::sink::record::{Coverage, Frame, LevelCoverage, OwnUse, Progress, Summary};
use crate::target::host::OwnMemory;

struct Fake;

impl Names for Fake {
    fn frames(&self, _: Pid, pc: RuntimeAddr) -> Vec<Frame<'_>> {
        let frame = |function, line, inlined| Frame {
            function,
            file: Some("/src/pool.go"),
            line,
            inlined,
            wrapper: false,
        };
        match pc.0 {
            0x10 => vec![frame("main.(*Pool).Submit", Some(57), false)],
            0x20 => vec![frame("main.send", Some(9), true), frame("main.main", None, false)],
            0x30 => vec![
                frame("internal/sync.(*Mutex).Lock", Some(70), true),
                frame("sync.(*Mutex).Lock", Some(46), true),
                frame("main.(*Pool).Submit", Some(60), false),
            ],
            0x40 => vec![frame("internal/sync.(*Mutex).lockSlow", Some(149), false)],
            _ => Vec::new(),
        }
    }
    fn function_at(&self, _: Pid, entry: RuntimeAddr) -> Option<Frame<'_>> {
        (entry.0 == 0x100).then_some(Frame {
            function: "main.worker",
            file: None,
            line: None,
            inlined: false,
            wrapper: false,
        })
    }
    fn wait_reason(&self, _: Pid, reason: WaitReason) -> Option<&str> {
        (reason.0 == 7).then_some("chan receive")
    }
    fn type_name(&self, _: Pid, addr: RuntimeAddr) -> Option<String> {
        (addr.0 == 0x500).then(|| "struct { a \"x\" }".to_owned())
    }
}

fn lines(records: &[Record]) -> String {
    let mut out = Vec::new();
    let mut sink = Json::new(&mut out);
    for record in records {
        sink.write(record, &Fake).unwrap();
    }
    sink.flush(MonotonicNs(0)).unwrap();
    drop(sink);
    String::from_utf8(out).unwrap()
}

fn line(kind: EventKind) -> String {
    let event = Event { t: MonotonicNs(5), pid: Pid(1), tid: Tid(2), goid: Some(Goid(3)), kind };
    lines(&[Record::Event(event)])
}

/// What follows the fields that every event has.
fn tail(kind: EventKind) -> String {
    let text = line(kind);
    let head = r#"{"type":"event","t_ns":5,"pid":1,"tid":2,"goid":3,"kind":"#;
    text.strip_prefix(head).unwrap_or_else(|| panic!("{text}")).trim_end().to_owned()
}

fn op(chan: Option<u64>) -> ChanOp {
    ChanOp { chan: chan.map(ChanAddr), blocking: true, site: Some(RuntimeAddr(0x10)) }
}

const SUBMIT: &str = r#"{"function":"main.(*Pool).Submit","file":"/src/pool.go","line":57}"#;

#[test]
fn a_send_names_its_channel_and_its_site() {
    assert_eq!(
        tail(EventKind::ChanSend(op(Some(0xc000_0010)))),
        format!(r#""chan_send","chan":"0xc0000010","site":{SUBMIT},"blocking":true}}"#)
    );
}

#[test]
fn a_nil_channel_is_0x0() {
    assert_eq!(
        tail(EventKind::ChanClose(op(None))),
        format!(r#""chan_close","chan":"0x0","site":{SUBMIT}}}"#)
    );
}

#[test]
fn a_park_lists_inlined_frames_and_addresses_without_a_name() {
    let stack = Box::new([RuntimeAddr(0x20), RuntimeAddr(0x999)]);
    assert_eq!(
        tail(EventKind::Park { reason: WaitReason(7), lock: None, stack }),
        concat!(
            r#""park","wait_reason":"chan receive","stack":["#,
            r#"{"function":"main.send","file":"/src/pool.go","line":9,"inlined":true},"#,
            r#"{"function":"main.main","file":"/src/pool.go","line":null},"#,
            r#"{"function":null,"file":null,"line":null,"address":"0x999"}]}"#
        )
    );
}

#[test]
fn a_site_is_the_innermost_inlined_frame_alone() {
    let text = tail(EventKind::ChanSend(ChanOp { site: Some(RuntimeAddr(0x20)), ..op(Some(1)) }));
    assert!(text.contains(r#""line":9,"inlined":true},"blocking""#), "{text}");
}

#[test]
fn a_sync_object_is_waited_for_where_its_user_is_and_not_inside_it() {
    for (pc, site) in [
        (0x20, r#"{"function":"main.send","file":"/src/pool.go","line":9,"inlined":true}"#),
        (0x30, r#"{"function":"main.(*Pool).Submit","file":"/src/pool.go","line":60}"#),
        // Only the stack of the park that follows tells more.
        (0x40, r#"{"function":"internal/sync.(*Mutex).lockSlow","file":"/src/pool.go","line":149}"#),
    ] {
        let text = tail(EventKind::SyncWait {
            primitive: SyncPrimitive::Mutex,
            addr: RuntimeAddr(0xc000_0020),
            reason: None,
            site: Some(RuntimeAddr(pc)),
        });
        let expected = format!(r#""sync_wait","sync":"mutex","addr":"0xc0000020","site":{site}}}"#);
        assert_eq!(text, expected);
    }
}

#[test]
fn what_a_wait_group_had_is_told_where_something_was_added() {
    let add = |delta, state| {
        tail(EventKind::WaitGroupAdd { addr: RuntimeAddr(0xc000_0020), delta, state, site: None })
    };
    let had = Some(GroupState { counter: 2, waiters: 1 });
    for (text, fields) in [
        (add(3, had), r#""delta":3,"counter":2,"waiters":1,"#),
        (add(1, None), r#""delta":1,"counter":null,"waiters":null,"#),
        (add(-1, None), r#""delta":-1,"#),
    ] {
        assert_eq!(text, format!(r#""waitgroup_add","addr":"0xc0000020",{fields}"site":null}}"#));
    }
}

#[test]
fn a_wait_reason_without_a_text_keeps_its_number() {
    let stack = Box::new([]);
    assert_eq!(
        tail(EventKind::Park { reason: WaitReason(99), lock: None, stack }),
        r#""park","wait_reason":null,"wait_reason_number":99,"stack":[]}"#
    );
}

#[test]
fn what_could_not_be_read_is_null() {
    assert_eq!(
        tail(EventKind::GoroutineCreate { child: None, created_at: None, start: None }),
        r#""goroutine_create","child":null,"created_at":null,"start":null}"#
    );
    assert_eq!(tail(EventKind::Ready { target: None, ended: None }), r#""ready","target":null}"#);
    let made = EventKind::ChanMake { chan: None, cap: None, elem_size: None, elem_type: None, site: None };
    assert_eq!(
        tail(made),
        r#""chan_make","chan":null,"cap":null,"elem_type":null,"elem_size":null,"site":null}"#
    );
    let event =
        Event { t: MonotonicNs(5), pid: Pid(1), tid: Tid(2), goid: None, kind: EventKind::GoroutineExit };
    assert!(lines(&[Record::Event(event)]).contains(r#""goid":null"#));
}

#[test]
fn a_start_function_and_an_element_type_are_named_or_given_by_address() {
    let create = |start| EventKind::GoroutineCreate {
        child: Some(Goid(9)),
        created_at: None,
        start: Some(RuntimeAddr(start)),
    };
    assert!(tail(create(0x100)).ends_with(r#""start":{"function":"main.worker","file":null,"line":null}}"#));
    assert!(tail(create(0x101)).contains(r#""function":null,"file":null,"line":null,"address":"0x101""#));
    let make = |elem_type| EventKind::ChanMake {
        chan: Some(ChanAddr(1)),
        cap: Some(0),
        elem_size: Some(8),
        elem_type: Some(RuntimeAddr(elem_type)),
        site: None,
    };
    assert!(tail(make(0x500)).contains(r#""elem_type":"struct { a \"x\" }","#));
    assert!(tail(make(0x501)).contains(r#""elem_type":null,"elem_type_addr":"0x501","#));
}

#[test]
fn select_lists_sends_before_receives_and_counts_the_cases_it_leaves_out() {
    let kind = EventKind::Select {
        sends: 1,
        receives: 9,
        blocking: false,
        chans: Some(Box::new([Some(ChanAddr(1)), None])),
        site: None,
    };
    assert_eq!(
        tail(kind),
        concat!(
            r#""select","sends":1,"receives":9,"cases":[{"op":"send","chan":"0x1"},"#,
            r#"{"op":"recv","chan":"0x0"}],"blocking":false,"site":null}"#
        )
    );
}

#[test]
fn a_new_process_under_an_old_pid_is_named_afresh() {
    /// Names everything after the number of times it was asked.
    struct Changing(std::cell::Cell<u32>);
    impl Names for Changing {
        fn frames(&self, _: Pid, _: RuntimeAddr) -> Vec<Frame<'_>> {
            self.0.set(self.0.get() + 1);
            vec![Frame {
                function: "main.f",
                file: None,
                line: Some(self.0.get()),
                inlined: false,
                wrapper: false,
            }]
        }
        fn function_at(&self, _: Pid, _: RuntimeAddr) -> Option<Frame<'_>> {
            None
        }
        fn wait_reason(&self, _: Pid, _: WaitReason) -> Option<&str> {
            None
        }
        fn type_name(&self, _: Pid, _: RuntimeAddr) -> Option<String> {
            None
        }
    }
    let names = Changing(std::cell::Cell::new(0));
    let mut out = Vec::new();
    let mut sink = Json::new(&mut out);
    let close = || {
        Record::Event(Event {
            t: MonotonicNs(5),
            pid: Pid(1),
            tid: Tid(1),
            goid: None,
            kind: EventKind::ChanClose(op(None)),
        })
    };
    sink.write(&close(), &names).unwrap();
    sink.write(&Record::ProcessStart { pid: Pid(1), binary: "/bin/b".into() }, &names).unwrap();
    sink.write(&close(), &names).unwrap();
    sink.flush(MonotonicNs(0)).unwrap();
    drop(sink);
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().next().unwrap().contains(r#""line":1"#), "{text}");
    assert_eq!(text.lines().nth(1).unwrap(), r#"{"type":"process","pid":1,"binary":"/bin/b"}"#);
    assert!(text.lines().nth(2).unwrap().contains(r#""line":2"#), "{text}");
}

#[test]
fn losses_are_lines_of_their_own_and_the_summary_names_every_place() {
    let lost = Lost { from: MonotonicNs(1), to: MonotonicNs(2), at: LossPoint::Decode, count: 4 };
    let summary = Summary {
        duration_ns: 10,
        detach_ns: 1,
        counts: vec![("park", 3)],
        lost: vec![(LossPoint::Ring, 2), (LossPoint::Ring, 5)],
        gaps: 1,
        hits: Vec::new(),
        level: "blocking",
        budget: Some(0.02),
        changes: 2,
        coverage: vec![LevelCoverage {
            level: "channels",
            mode: Mode::Sampled,
            watched_ns: 4,
            off_ns: 3,
            windows: 2,
        }],
        cost_ns: 9,
        is_cost_measured: true,
        target_cpu_ns: Err("the CPU time of 1 of 1 processes could not be read to their end".to_owned()),
        own: OwnUse { cpu_ns: 5, displaced_ns: 1_000_000, memory: None },
        processes: vec![Pid(1)],
        end: MonotonicNs(0),
        state: Vec::new(),
        findings: Vec::new(),
        ended: "interrupted".to_owned(),
        silence: None,
    };
    let gap = Gap { pid: Pid(7), from: MonotonicNs(3), to: MonotonicNs(8) };
    let out = |level, t| Coverage { level, t: MonotonicNs(t), is_watched: false, mode: Mode::Sampled };
    let together = vec![out(Level::Channels, 5), out(Level::Blocking, 6)];
    let records = [
        Record::Lost(lost),
        Record::Gap(gap),
        Record::Coverage(together),
        Record::Summary(Box::new(summary)),
    ];
    let text = lines(&records);
    assert_eq!(
        text,
        concat!(
            r#"{"type":"lost","from_ns":1,"to_ns":2,"at":"decode","count":4}"#,
            "\n",
            r#"{"type":"lost","from_ns":3,"to_ns":8,"at":"exec","count":null,"pid":7}"#,
            "\n",
            r#"{"type":"coverage","t_ns":5,"level":"channels","watched":false,"mode":"sampled"}"#,
            "\n",
            r#"{"type":"coverage","t_ns":6,"level":"blocking","watched":false,"mode":"sampled"}"#,
            "\n",
            r#"{"type":"summary","ended":"interrupted","duration_ns":10,"detach_ns":1,"counts":{"park":3},"#,
            r#""lost":{"ring":7,"sink":0,"decode":0},"gaps":1,"hits":[],"level":"blocking","budget":0.02,"changes":2,"coverage":[{"level":"channels","mode":"sampled","watched_ns":4,"off_ns":3,"windows":2}],"cost_ns":9,"cost_source":"measured","target_cpu_ns":null,"target_cpu_unknown":"the CPU time of 1 of 1 processes could not be read to their end","goflow_cpu_ns":5,"goflow_displaced_ns":1000000,"goflow_memory_bytes":null,"goflow_memory_peak_bytes":null,"processes":[1],"state":[],"findings":[]}"#,
            "\n",
        )
    );
}

#[test]
fn how_far_it_is_and_what_it_costs_is_a_line() {
    let progress = |target_cpu_ns, sampled: &[&'static str]| {
        Record::Progress(Progress {
            t: MonotonicNs(9),
            elapsed_ns: 1,
            events: 2,
            lost: 3,
            cost_ns: 4,
            is_cost_measured: false,
            target_cpu_ns,
            sampled: sampled.to_vec(),
            own: OwnUse {
                cpu_ns: 5,
                displaced_ns: 1_000_000,
                memory: Some(OwnMemory { resident: 6, peak: 7 }),
            },
        })
    };
    let own = r#""goflow_cpu_ns":5,"goflow_displaced_ns":1000000,"goflow_memory_bytes":6,"goflow_memory_peak_bytes":7}"#;
    let all = |rest: &str| {
        let first = r#"{"type":"progress","t_ns":9,"elapsed_ns":1,"events":2,"lost":3,"cost_ns":4,"cost_source":"assumed""#;
        format!("{first},{rest},{own}\n")
    };
    let text = lines(&[progress(None, &[]), progress(Some(8), &["blocking", "channels"])]);
    let expected = all(r#""target_cpu_ns":null,"sampled":[]"#)
        + &all(r#""target_cpu_ns":8,"sampled":["blocking","channels"]"#);
    assert_eq!(text, expected);
}

#[test]
fn a_full_disk_is_reported_and_not_swallowed() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Json::new(Full);
    let event =
        Event { t: MonotonicNs(5), pid: Pid(1), tid: Tid(1), goid: None, kind: EventKind::GoroutineExit };
    sink.write(&Record::Event(event), &Fake).unwrap();
    assert_eq!(sink.flush(MonotonicNs(0)).unwrap_err().kind(), io::ErrorKind::StorageFull);
}
