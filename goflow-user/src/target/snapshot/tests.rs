//! The reader against memory that lies: it ends, it does not panic, and it invents nothing.

use super::raw::{Raw, Slot};
use super::stack::{self, Program};
use super::waits::Waits;
use super::{StackEnd, found, labels, semaphore, threads};
use crate::binary::addr::RuntimeAddr;
use crate::binary::offsets::Offsets;
use crate::binary::version::GoVersion;
use crate::binary::{elf::Arch, offsets};
use crate::target::memory::{Memory, MemoryError, Registers, Run};
use proptest::prelude::*;
use std::cell::Cell;

/// Where the fake memory starts.
const BASE: u64 = 0x1000;

/// Memory of these words and nothing else, and how many bytes were asked of it.
struct Fake {
    words: Vec<u64>,
    asked: Cell<usize>,
}

impl Fake {
    fn of(words: Vec<u64>) -> Self {
        Self { words, asked: Cell::new(0) }
    }

    fn byte(&self, address: u64) -> Option<u8> {
        let at = address.checked_sub(BASE)?;
        let word = self.words.get(usize::try_from(at / 8).ok()?)?;
        Some(word.to_le_bytes()[(at % 8) as usize])
    }
}

impl Memory for Fake {
    fn registers(&self, _: u64) -> Option<Registers> {
        None
    }

    fn stands_still(&self) -> bool {
        false
    }

    fn read_runs(&self, runs: &mut [Run<'_>]) -> Result<(), MemoryError> {
        for run in runs {
            self.asked.set(self.asked.get() + run.into.len());
            run.read = 0;
            for (n, byte) in run.into.iter_mut().enumerate() {
                let address = run.address.0.checked_add(n as u64);
                let Some(found) = address.and_then(|address| self.byte(address)) else { break };
                *byte = found;
                run.read += 1;
            }
        }
        Ok(())
    }
}

fn layout(version: &str) -> Offsets {
    let version = GoVersion::parse(version).unwrap();
    offsets::select(Some(&version), Arch::Amd64, &|_| None).unwrap().0
}

/// Words that are small numbers, or lead somewhere in the memory, aligned or not: cycles are the rule.
fn words(count: usize) -> impl Strategy<Value = Vec<u64>> {
    let end = BASE + 8 * count as u64;
    let word = prop_oneof![
        4 => (BASE / 8..end / 8).prop_map(|word| word * 8),
        2 => 0..16_u64,
        1 => BASE..end,
        1 => any::<u64>(),
    ];
    proptest::collection::vec(word, count)
}

const COUNT: usize = 256;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn lists_that_lead_anywhere_end(words in words(COUNT), old in any::<bool>()) {
        let offsets = layout(if old { "go1.18.10" } else { "go1.26.8" });
        let memory = Fake::of(words);
        let mut live = Vec::new();
        for n in 0..COUNT as u64 - 64 {
            let address = BASE + 8 * n;
            let mut bytes = vec![0; Raw::span(&offsets)];
            let whole = memory.read(RuntimeAddr(address), &mut bytes).unwrap();
            match Raw::decode(address, &bytes, &offsets.g) {
                Slot::Live(raw) if whole => live.push(raw),
                _ => {}
            }
        }
        let raws: Vec<&Raw> = live.iter().collect();
        let mut waits = Waits::default();
        let (first, breached) = waits.read(&memory, &offsets, &raws).unwrap();
        for (index, raw) in raws.iter().enumerate().filter(|(index, _)| !breached.contains(&(first + *index as u32))) {
            // A list that holds together begins where the goroutine says, and ends.
            let own = first + u32::try_from(index).unwrap();
            let count = waits.of(Some(own)).count();
            prop_assert!(count <= COUNT && (count > 0) == (raw.waiting != 0), "{index}: {count}");
            waits.enter(Some(own), raw.goid, std::iter::repeat(None));
        }
        waits.each_channel(|_, hchan, members| {
            assert!(members.len() <= COUNT);
            assert!(hchan.is_none_or(|hchan| hchan.len <= hchan.cap));
        });
        let goexit = 0..0;
        let injected = vec![0..BASE + 512, BASE + 1024..u64::MAX];
        let depth_at = |pc: u64| pc.is_multiple_of(3).then_some(pc % 512);
        let program = Program { depth_at: &depth_at, injected, goexit, most: 64 };
        for walk in stack::walk(&memory, &raws, &|_| true, &program).unwrap() {
            prop_assert!(walk.frames.len() <= 64 + 8 && walk.end != StackEnd::NotRead);
        }
        prop_assert!(memory.asked.get() < 64 << 20, "{} bytes", memory.asked.get());
    }

    #[test]
    fn tables_of_semaphores_and_threads_end(words in words(4 * COUNT), at in 0..COUNT as u64) {
        let offsets = layout("go1.24.13");
        let memory = Fake::of(words.iter().copied().cycle().take(2400).collect());
        let table = semaphore::read(&memory, &offsets, BASE + 8 * at).unwrap();
        prop_assert!(table.waiters.len() <= 2400);
        let (threads, _) = threads::read(&memory, &offsets, BASE + 8 * at).unwrap();
        prop_assert!(threads.len() <= 8 * 2400);
        prop_assert!(memory.asked.get() < 64 << 20, "{} bytes", memory.asked.get());
    }

    #[test]
    fn labels_and_pointers_on_stacks_are_bounded(words in words(COUNT), at in 0..COUNT as u64) {
        let memory = Fake::of(words.clone());
        for release in [(1, 18), (1, 26)] {
            if let Some(labels) = labels::read(&memory, release, BASE + 8 * at).unwrap() {
                prop_assert!(labels.len() <= 64);
            }
        }
        let offsets = layout("go1.20.14");
        let suspects = [found::Suspect { g: BASE + 8 * at, stack: (0, 0), words: &words[..64] }];
        let lists = found::notify_lists(&memory, &offsets, &suspects).unwrap();
        let descriptors = found::descriptors(&memory, &offsets, &suspects).unwrap();
        prop_assert!(lists.keys().chain(descriptors.keys()).all(|&g| g == BASE + 8 * at));
    }
}

#[test]
fn a_stack_that_points_into_itself_is_broken_not_endless() {
    let offsets = layout("go1.26.8");
    let memory = Fake::of(vec![BASE + 32; 128]);
    let g = offsets.g;
    let mut bytes = vec![0; Raw::span(&offsets)];
    let mut put = |offset: u32, value: u64| {
        bytes[offset as usize..offset as usize + 8].copy_from_slice(&value.to_le_bytes());
    };
    put(g.stack_lo, BASE);
    put(g.stack_hi, BASE + 1024);
    put(g.sched_sp, BASE + 16);
    put(g.sched_bp, BASE + 32);
    put(g.sched_pc, 0x40_1000);
    put(g.goid, 7);
    put(g.atomicstatus, 4);
    put(g.goid, 7);
    let Slot::Live(raw) = Raw::decode(0x9000, &bytes, &g) else { panic!("no goroutine") };
    let program = Program { depth_at: &|_| None, injected: Vec::new(), goexit: 0..0, most: 64 };
    let walks = stack::walk(&memory, &[&raw], &|_| false, &program).unwrap();
    assert_eq!((walks[0].frames.as_slice(), walks[0].end), (&[0x40_1000, BASE + 32][..], StackEnd::Broken));
}
