//! Any bytes as the memory of a process, of which a snapshot is made twice, and everything that is told of it.
#![no_main]

use std::collections::BTreeSet;

use goflow_fuzz::process::{BIAS, Process};
use goflow_user::model::{Limits, Model, Runtime, Seen};
use goflow_user::sink::snapshot::{Origin, View, folded, json, pprof, text};
use goflow_user::target::Pid;
use goflow_user::target::id::Goid;
use goflow_user::target::snapshot::reader::Reader;
use goflow_user::target::snapshot::{Entity, Snapshot, StackEnd};
use libfuzzer_sys::fuzz_target;

/// Most bytes that one snapshot asks for, of a process of 16 KiB: each of its 2,000 possible goroutines is read up to eight
/// times, with its stack.
const MOST_READ: usize = 64 << 20;

fuzz_target!(|data: &[u8]| {
    let Some(process) = Process::of(data) else { return };
    let (binary, memory) = (process.binary, &process.memory);
    let mut reader = Reader::new(binary, BIAS).expect("the program tells all that a reader needs");
    let mut model = Model::new(Limits::default());
    let (offsets, _) = binary.offsets().expect("its version is in the table");
    model.started(Pid(1), Runtime::of(binary, &offsets));
    let mut first: Option<Snapshot> = None;
    for _ in 0..2 {
        let before = memory.asked();
        let taken = reader.take(memory, process.options);
        assert!(memory.asked() - before <= MOST_READ, "{} bytes were read", memory.asked() - before);
        let Ok(snapshot) = taken else { return };
        holds_together(&snapshot, process.options.frames);
        if process.is_still {
            everybody_is_told_of(&snapshot, &memory.listed().expect("it was read"));
            // Nothing of the snapshot before is left in the reader.
            let same = first.as_ref().is_none_or(|first| {
                let times = Snapshot { started: first.started, ended: first.ended, ..snapshot.clone() };
                times == *first
            });
            assert!(same, "two snapshots of a process that stands still:\n{first:#?}\n{snapshot:#?}");
        }
        model.reconcile(Pid(1), &snapshot);
        match &first {
            Some(first) => drop(Seen::of(first).advance(Pid(1), &snapshot)),
            None => is_written(&snapshot, &process),
        }
        first = first.or(Some(snapshot));
    }
});

/// What is said of a snapshot in its own documentation.
fn holds_together(snapshot: &Snapshot, frames: usize) {
    assert!(snapshot.goroutines.is_sorted_by(|a, b| a.goid < b.goid), "a goid twice");
    let goids: BTreeSet<Goid> = snapshot.goroutines.iter().map(|goroutine| goroutine.goid).collect();
    for goroutine in &snapshot.goroutines {
        // The first walk without a frame pointer passes up to eight functions without a frame.
        assert!(goroutine.stack.frames.len() <= frames + 8, "{goroutine:?}");
        assert!(goroutine.stack.end != StackEnd::Complete || !goroutine.stack.frames.is_empty());
    }
    assert!(snapshot.channels.is_sorted_by(|a, b| a.address < b.address), "a channel twice");
    for channel in &snapshot.channels {
        assert!(channel.len <= channel.cap, "{channel:?}");
        let waiters = channel.senders.iter().chain(&channel.receivers);
        for waiter in waiters {
            assert!(goids.contains(&waiter.goid), "a waiter that is no goroutine: {channel:?}");
        }
    }
    assert!(snapshot.sync.is_sorted_by(|a, b| (a.kind, a.address) < (b.kind, b.address)), "an object twice");
    for object in &snapshot.sync {
        assert!(!object.waiters.is_empty(), "{object:?}");
        for waiter in &object.waiters {
            assert!(goids.contains(&waiter.goid), "a waiter that is no goroutine: {object:?}");
        }
    }
    for unknown in &snapshot.unknown {
        match unknown.what {
            Entity::WaitOf(goid) | Entity::StackOf(goid) | Entity::LabelsOf(goid) => {
                assert!(goids.contains(&goid), "of no goroutine: {unknown:?}");
            }
            Entity::Goroutine(_, goid) => {
                assert!(goid.is_none_or(|goid| !goids.contains(&goid)), "known after all: {unknown:?}");
            }
            Entity::Channel(_) | Entity::SemaphoreTable | Entity::Threads | Entity::Rest => {}
        }
    }
}

/// A goroutine that is neither there nor unknown did not exist, and none is invented.
fn everybody_is_told_of(snapshot: &Snapshot, listed: &[u64]) {
    let mut told: Vec<u64> = snapshot.goroutines.iter().map(|goroutine| goroutine.addr.0).collect();
    told.extend(snapshot.unknown.iter().filter_map(|unknown| match unknown.what {
        Entity::Goroutine(address, _) => Some(address.0),
        _ => None,
    }));
    told.sort_unstable();
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "one address told twice");
    assert!(told.iter().all(|address| listed.binary_search(address).is_ok()), "one that is not listed");
    assert_eq!(told.len() as u64 + snapshot.dead, listed.len() as u64, "goroutines told of, and listed");
}

/// In each form; what a target says cannot drive the reader's terminal.
fn is_written(snapshot: &Snapshot, process: &Process) {
    let origin = Origin {
        pid: Some(Pid(1)),
        core: None,
        binary: "svc".to_owned(),
        binary_deleted: false,
        wall_clock_offset_ns: Some(0),
    };
    let view = View::new(snapshot, process.binary, BIAS, origin);
    let (mut dump, mut stacks, mut object) = (Vec::new(), Vec::new(), Vec::new());
    text::write(&view, &mut dump).expect("memory takes everything");
    folded::write(&view, &mut stacks).expect("memory takes everything");
    json::write(&view, None, &mut object).expect("memory takes everything");
    pprof::write(&view, &mut Vec::new()).expect("memory takes everything");
    for written in [dump, stacks] {
        let shown = String::from_utf8(written).expect("text");
        let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
        assert!(shown.chars().all(plain), "{shown:?}");
    }
    let object = String::from_utf8(object).expect("text");
    assert!(object.ends_with("}\n") && object.trim_end().lines().count() == 1, "{object}");
}
