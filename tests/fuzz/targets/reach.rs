//! Any bytes as the memory of a process, of which it is found out twice who can still be woken, and what is wrong with it.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use goflow_fuzz::process::{BIAS, Process};
use goflow_user::detect::Thresholds;
use goflow_user::pipeline::examine::{Examination, Moment};
use goflow_user::target::Pid;
use goflow_user::target::id::{Goid, SyncPrimitive};
use goflow_user::target::reach::{Known, Limits, Reach, ReachError};
use goflow_user::target::snapshot::reader::Reader;
use goflow_user::target::snapshot::{BlockedOn, Snapshot};
use libfuzzer_sys::fuzz_target;

/// What one look may read of the heap and of stacks: all of a process of 16 KiB, several times.
const LIMITS: Limits = Limits { bytes: 4 << 20, until: None };

/// Most bytes that one look asks for: that, and lists of goroutines, spans, specials and timers, which are bounded by what is
/// mapped.
const MOST_READ: usize = 64 << 20;

fuzz_target!(|data: &[u8]| {
    let Some(process) = Process::of(data) else { return };
    let (binary, memory) = (process.binary, &process.memory);
    let mut reader = Reader::new(binary, BIAS).expect("the program tells all that a reader needs");
    let mut known = Known::new(binary, BIAS);
    let mut first: Option<Reach> = None;
    for _ in 0..2 {
        let Ok(snapshot) = reader.take(memory, process.options) else { break };
        let before = memory.asked();
        let look = |known: &mut Known<'_>, limits| Reach::of(&reader, memory, &snapshot, known, limits);
        let looked = look(&mut known, LIMITS);
        assert!(memory.asked() - before <= MOST_READ, "{} bytes were read", memory.asked() - before);
        let reach = match looked {
            Ok(reach) => reach,
            Err(ReachError::TooSlow(_) | ReachError::NoModule | ReachError::Global(_)) => unreachable!(),
            Err(
                ReachError::Heap(_) | ReachError::List(_) | ReachError::Memory(_) | ReachError::TooLarge(_),
            ) => break,
        };
        assert!(reach.bytes <= LIMITS.bytes, "{} bytes", reach.bytes);
        holds_together(&reach, &snapshot);
        if process.is_still {
            // Nothing of a look before is left in what is known of the code.
            let again = look(&mut Known::new(binary, BIAS), Limits { bytes: reach.bytes, until: None });
            assert_eq!(
                again.ok().as_ref(),
                Some(&reach),
                "a process that stands still, and just what it took"
            );
            assert!(first.as_ref().is_none_or(|first| *first == reach), "{first:#?}\n{reach:#?}");
            if let Some(less) = reach.bytes.checked_sub(1) {
                // What the code names is found out in a second pass, which is left out where there is no room for it.
                match look(&mut known, Limits { bytes: less, until: None }) {
                    Err(ReachError::TooLarge(_)) => {}
                    Ok(cut) => assert_eq!(
                        cut,
                        Reach { unnamed: Vec::new(), bytes: cut.bytes, ..reach.clone() },
                        "with a byte less"
                    ),
                    Err(error) => panic!("with a byte less: {error}"),
                }
            }
        }
        first = first.or(Some(reach));
    }
    is_examined(data);
});

/// What is said of a look in its own documentation.
fn holds_together(reach: &Reach, snapshot: &Snapshot) {
    let known: BTreeMap<Goid, _> =
        snapshot.goroutines.iter().map(|goroutine| (goroutine.goid, goroutine)).collect();
    assert!(reach.unreachable.is_sorted_by(|a, b| a.goid < b.goid), "one twice: {reach:#?}");
    let waited = |goid| {
        let goroutine = known.get(&goid);
        goroutine.unwrap_or_else(|| panic!("{goid:?} is not in the snapshot: {reach:#?}")).blocked_on.iter()
    };
    let awaited: BTreeSet<_> = reach
        .unreachable
        .iter()
        .flat_map(|one| waited(one.goid))
        .inspect(|on| {
            assert!(
                matches!(on.on, BlockedOn::Channel | BlockedOn::Sync(_)),
                "something else wakes it: {on:?}"
            )
        })
        .filter_map(|on| on.address)
        .collect();
    for one in &reach.unreachable {
        assert!(known[&one.goid].is_parked(), "{:?} goes on", known[&one.goid]);
        assert!(one.leads_to.is_sorted() && one.leads_to.iter().all(|to| awaited.contains(to)), "{one:?}");
    }
    let locks: BTreeSet<_> = snapshot
        .goroutines
        .iter()
        .flat_map(|goroutine| &goroutine.blocked_on)
        .filter_map(|on| match on.on {
            BlockedOn::Sync(kind) => on.address.map(|address| (kind, address)),
            _ => None,
        })
        .collect();
    for hold in &reach.holds {
        assert!(locks.contains(&(hold.kind, hold.address)), "nobody waits for it: {hold:?}");
        assert!(!hold.is_shared || hold.kind == SyncPrimitive::RwMutex, "{hold:?}");
    }
}

/// As `goflow check` does; its own bound on what is read is that of each look.
fn is_examined(data: &[u8]) {
    let Some(process) = Process::of(data) else { return };
    let moment = if process.is_still { Moment::Still } else { Moment::Moving };
    let mut examination = Examination::new(process.binary, BIAS, Some(Pid(1)), |_| true, Thresholds::default())
        .expect("the program tells all that it needs");
    for _ in 0..2 {
        if examination.look(&process.memory, LIMITS, moment).is_err() {
            break;
        }
    }
    assert!(examination.findings().count() <= 1 << 12);
    assert!(examination.limits().iter().all(|limit| !limit.ends_with('.')));
}
