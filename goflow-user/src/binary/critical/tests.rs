//! What is held at a call, in code made up, in code as two Go releases compile it, and in whatever bytes.

use super::super::fixture::{Func, GoFile, TEXT, Table};
use super::super::listing::Listing;
use super::super::pclntab::Generation;
use super::*;
use proptest::prelude::*;

/// The functions in front of the one under test, each of [`SMALL`] bytes: what takes and gives back each kind of lock, what
/// knows nothing of locks, and a function that the one under test may defer.
const HELPERS: [&str; 8] = [
    "sync.(*Mutex).Lock",
    "sync.(*RWMutex).Lock",
    "sync.(*RWMutex).RLock",
    "sync.(*Mutex).Unlock",
    "sync.(*RWMutex).Unlock",
    "sync.(*RWMutex).RUnlock",
    "main.other",
    "main.main.func1",
];

const KINDS: [Lock; 3] = [Lock::Mutex, Lock::Write, Lock::Read];
const OTHER: usize = 6;
const DEFERRED: usize = 7;
const SMALL: u64 = 16;

/// The function under test.
const MAIN: u64 = TEXT + SMALL * HELPERS.len() as u64;

/// Where package variables are.
const VARIABLES: u64 = 0x60_0000;

fn helper(index: usize) -> u64 {
    TEXT + SMALL * index as u64
}

/// A program whose `main.main` is this.
fn program(code: &[u8]) -> GoFile {
    let mut text = vec![0xc3; (MAIN - TEXT) as usize];
    // It gives a mutex back.
    let deferred = (helper(DEFERRED) - TEXT) as usize;
    text[deferred..deferred + 5].copy_from_slice(&call(helper(DEFERRED), helper(3)));
    text.extend_from_slice(code);
    let mut file = GoFile::default();
    let size = u32::try_from(code.len()).unwrap();
    file.table.functions = HELPERS.map(|name| Func::plain(name, 16, 1, 1)).to_vec();
    file.table.functions.push(Func::plain("main.main", size, 0, 10));
    text.resize(text.len() + 16, 0xcc);
    file.code = text;
    file
}

fn with_sections<T>(file: &GoFile, check: impl FnOnce(&mut Sections<'_>) -> T) -> T {
    let data = file.build();
    let binary = GoBinary::parse(&data).unwrap();
    check(&mut Sections::new(&binary))
}

fn relative(next: u64, target: u64) -> [u8; 4] {
    (target.wrapping_sub(next) as u32).to_le_bytes()
}

fn call(at: u64, target: u64) -> [u8; 5] {
    let [a, b, c, d] = relative(at + 5, target);
    [0xe8, a, b, c, d]
}

/// Something that a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Take(usize, LockPlace),
    Release(usize, LockPlace),
    /// A call of what knows nothing of locks: there it is asked what is held.
    Call,
    /// To the step with this number if so it is, by all means, or to any that something leads to.
    JumpIf(usize),
    Jump(usize),
    Switch,
}

/// The code, a return at its end, and where each step starts and ends.
fn assembled(steps: &[Step]) -> (Vec<u8>, Vec<u64>) {
    let size = |step: &Step| match step {
        Step::Take(_, LockPlace::Variable(_)) | Step::Release(_, LockPlace::Variable(_)) => 12,
        Step::Take(_, LockPlace::Behind(_)) | Step::Release(_, LockPlace::Behind(_)) => 17,
        Step::Call | Step::Jump(_) => 5,
        Step::JumpIf(_) => 6,
        Step::Switch => 2,
    };
    let mut starts = vec![MAIN];
    steps.iter().for_each(|step| starts.push(starts.last().unwrap() + size(step)));
    let mut code = Vec::new();
    for (step, &at) in steps.iter().zip(&starts) {
        let lock = |place: LockPlace, callee: u64, code: &mut Vec<u8>| {
            match place {
                LockPlace::Variable(address) => {
                    code.extend([0x48, 0x8d, 5]); // lea address(%rip), %rax
                    code.extend(relative(at + 7, address.0));
                }
                LockPlace::Behind(offset) => {
                    code.extend([0x48, 0x8b, 0x44, 0x24, 8]); // mov 8(%rsp), %rax
                    code.extend([0x48, 0x8d, 0x80]); // lea offset(%rax), %rax
                    code.extend((offset as i32).to_le_bytes());
                }
            }
            code.extend(call(MAIN + code.len() as u64, callee));
        };
        let to = |step: usize| starts[step.min(steps.len())];
        match *step {
            Step::Take(kind, place) => lock(place, helper(kind), &mut code),
            Step::Release(kind, place) => lock(place, helper(kind + 3), &mut code),
            Step::Call => code.extend(call(at, helper(OTHER))),
            Step::JumpIf(target) => {
                code.extend([0x0f, 0x84]);
                code.extend(relative(at + 6, to(target)));
            }
            Step::Jump(target) => {
                code.push(0xe9);
                code.extend(relative(at + 5, to(target)));
            }
            Step::Switch => code.extend([0xff, 0xe0]), // jmp *%rax
        }
    }
    code.push(0xc3);
    (code, starts)
}

/// What each step that takes one leaves behind.
fn site(step: Step, end: u64) -> Option<Held> {
    match step {
        Step::Take(kind, place) => Some(Held { lock: KINDS[kind], place, taken_at: LinkAddr(end - 5) }),
        _ => None,
    }
}

fn place() -> impl Strategy<Value = LockPlace> {
    prop_oneof![
        (0_u64..3).prop_map(|n| LockPlace::Variable(LinkAddr(VARIABLES + 8 * n))),
        (0_i64..3).prop_map(|n| LockPlace::Behind(8 * n)),
    ]
}

fn lock_or_call() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_usize..3, place()).prop_map(|(kind, place)| Step::Take(kind, place)),
        3 => (0_usize..3, place()).prop_map(|(kind, place)| Step::Release(kind, place)),
        2 => Just(Step::Call),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => lock_or_call(),
        2 => (0_usize..30).prop_map(Step::JumpIf),
        1 => (0_usize..30).prop_map(Step::Jump),
        1 => Just(Step::Switch),
    ]
}

/// The steps that a switch may lead to: those that a jump leads to, and those that nothing falls through to.
fn blocks(steps: &[Step]) -> Vec<usize> {
    let mut blocks: Vec<usize> = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        match *step {
            Step::JumpIf(to) => blocks.push(to.min(steps.len())),
            Step::Jump(to) => blocks.extend([to.min(steps.len()), n + 1]),
            Step::Switch => blocks.push(n + 1),
            Step::Take(..) | Step::Release(..) | Step::Call => {}
        }
    }
    blocks
}

proptest! {
    #[test]
    fn without_branches_exactly_what_was_taken_and_not_given_back_is_held(
        steps in prop::collection::vec(lock_or_call(), 0..40),
    ) {
        let (code, starts) = assembled(&steps);
        with_sections(&program(&code), |sections| {
            let mut held: Vec<Held> = Vec::new();
            for (step, end) in steps.iter().zip(&starts[1..]) {
                held.extend(site(*step, *end));
                match *step {
                    Step::Release(kind, place) => {
                        let is_exact = |one: &Held| (one.lock, one.place) == (KINDS[kind], place);
                        // Where another place is named than where one was taken, it may be by another pointer to the same.
                        let is_known = held.iter().any(is_exact);
                        held.retain(|one| if is_known { !is_exact(one) } else { one.lock != KINDS[kind] });
                    }
                    Step::Call => {
                        let told = sections.at(LinkAddr(*end)).held.clone();
                        prop_assert_eq!(&told[..], &held[..], "in front of {:#x}", end);
                    }
                    _ => {}
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn whatever_way_it_takes_the_locks_that_it_holds_are_among_those_told(
        steps in prop::collection::vec(step(), 0..30),
        turns in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let ((code, starts), blocks) = (assembled(&steps), blocks(&steps));
        with_sections(&program(&code), |sections| {
            let (mut at, mut held, mut turns) = (0, Vec::<Held>::new(), turns.into_iter());
            // Without turns left it goes straight on, and ends at the end or after a while.
            for _ in 0..200 {
                let Some(&step) = steps.get(at) else { break };
                let end = starts[at + 1];
                let taken = site(step, end);
                held.retain(|one| Some(*one) != taken);
                held.extend(taken);
                at += 1;
                match step {
                    Step::Take(..) => {}
                    Step::Release(kind, place) => {
                        let is_it = |one: &Held| (one.lock, one.place) == (KINDS[kind], place);
                        // To give back what one does not hold ends a program.
                        if !held.iter().any(is_it) {
                            break;
                        }
                        held.retain(|one| !is_it(one));
                    }
                    Step::Call => {
                        let told = sections.at(LinkAddr(end)).held.clone();
                        let missing = held.iter().find(|one| !told.contains(one));
                        prop_assert!(missing.is_none(), "{:x?} at {:#x}, of {:x?}", missing, end, told);
                    }
                    Step::JumpIf(to) => {
                        if turns.next().is_some_and(|turn| turn.index(2) == 1) {
                            at = to.min(steps.len());
                        }
                    }
                    Step::Jump(to) => at = to.min(steps.len()),
                    Step::Switch => match turns.next() {
                        Some(turn) => at = blocks[turn.index(blocks.len())],
                        None => break,
                    },
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn without_branches_what_is_given_back_before_any_of_its_kind_is_taken_is_somebody_elses(
        steps in prop::collection::vec(lock_or_call(), 0..40),
    ) {
        let (code, starts) = assembled(&steps);
        let (mut taken, mut expected) = (Vec::new(), Vec::new());
        for (step, end) in steps.iter().zip(&starts[1..]) {
            match *step {
                Step::Take(kind, _) => taken.push(kind),
                Step::Release(kind, _) if !taken.contains(&kind) => {
                    let at = LinkAddr(end - 5);
                    expected.push(ForeignUnlock { lock: KINDS[kind], at, is_in_closure: false });
                }
                _ => {}
            }
        }
        with_sections(&program(&code), |sections| {
            let told = sections.foreign_unlocks(LinkAddr(MAIN));
            let is_cut = expected.len() > told.len() && !told.is_empty();
            prop_assert!(told.iter().all(|one| expected.contains(one)), "{:x?}, not {:x?}", expected, told);
            prop_assert!(is_cut || told.len() == expected.len(), "{:x?}, not {:x?}", expected, told);
            Ok(())
        })?;
    }

    #[test]
    fn whatever_way_it_takes_what_is_somebody_elses_is_not_given_back_after_one_of_its_kind_was_taken(
        steps in prop::collection::vec(step(), 0..30),
        turns in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let ((code, starts), blocks) = (assembled(&steps), blocks(&steps));
        let told = with_sections(&program(&code), |sections| sections.foreign_unlocks(LinkAddr(MAIN)));
        let (mut at, mut taken, mut turns) = (0, Vec::new(), turns.into_iter());
        for _ in 0..200 {
            let Some(&step) = steps.get(at) else { break };
            let end = starts[at + 1];
            at += 1;
            match step {
                Step::Take(kind, _) => taken.push(kind),
                Step::Release(kind, _) => {
                    let is_told = told.iter().any(|one| one.at == LinkAddr(end - 5));
                    prop_assert!(!(is_told && taken.contains(&kind)), "{:#x} of {:x?}", end - 5, told);
                }
                Step::Call => {}
                Step::JumpIf(to) => {
                    if turns.next().is_some_and(|turn| turn.index(2) == 1) {
                        at = to.min(steps.len());
                    }
                }
                Step::Jump(to) => at = to.min(steps.len()),
                Step::Switch => match turns.next() {
                    Some(turn) => at = blocks[turn.index(blocks.len())],
                    None => break,
                },
            }
        }
    }

    #[test]
    fn arbitrary_code_never_panics_and_nothing_is_held_that_was_not_taken_in_it(
        pieces in prop::collection::vec(piece(), 1..60),
    ) {
        let code = pieces.iter().fold(Vec::new(), |mut code: Vec<u8>, piece| {
            let at = MAIN + code.len() as u64;
            match piece {
                Piece::Bytes(bytes) => code.extend(bytes),
                Piece::Call(index) => code.extend(call(at, helper(*index))),
                Piece::Closure => {
                    code.extend([0x48, 0x8d, 5]);
                    code.extend(relative(at + 7, helper(DEFERRED)));
                }
            }
            code
        });
        let end = MAIN + code.len() as u64;
        with_sections(&program(&code), |sections| {
            for pc in (TEXT..end + 2).chain([0, u64::MAX]) {
                let foreign = sections.foreign_unlocks(LinkAddr(pc));
                prop_assert!(foreign.iter().all(|one| (TEXT..end).contains(&one.at.0)), "{:x?}", foreign);
                let told = sections.at(LinkAddr(pc)).held.clone();
                prop_assert!(told.len() <= MOST_SITES);
                prop_assert!(told.iter().all(|held| (MAIN..end).contains(&held.taken_at.0)), "{:x?}", told);
            }
            Ok(())
        })?;
    }
}

/// A part of code of which not all has to make sense.
#[derive(Clone, Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Call(usize),
    /// The address of the function that may be deferred is taken.
    Closure,
}

fn piece() -> impl Strategy<Value = Piece> {
    let short = |bytes: &'static [u8]| Just(Piece::Bytes(bytes.to_vec()));
    prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 1..12).prop_map(Piece::Bytes),
        6 => (0..HELPERS.len()).prop_map(Piece::Call),
        1 => Just(Piece::Closure),
        1 => short(&[0xff, 0xe0]),                               // jmp *%rax
        1 => short(&[0xf0, 0x0f, 0xb1, 0x51, 0x10]),             // lock cmpxchg %edx, 0x10(%rcx)
        1 => short(&[0x67, 0xf0, 0xff, 0x80, 0xff, 0xff, 0xff, 0x7f]), // lock incl 0x7fffffff(%eax)
        1 => short(&[0xf0, 0xff, 0x05, 0, 0, 0, 0x80]),          // lock incl -0x80000000(%rip)
        2 => any::<i8>().prop_map(|by| Piece::Bytes(vec![0x74, by.cast_unsigned()])),
        1 => any::<i8>().prop_map(|by| Piece::Bytes(vec![0xeb, by.cast_unsigned()])),
    ]
}

#[test]
fn a_body_of_nothing_but_jumps_anywhere_is_read_to_its_end() {
    let place = LockPlace::Variable(LinkAddr(VARIABLES));
    let mut steps = vec![Step::Take(0, place), Step::Call];
    steps.resize(LONGEST_BODY / 2 - 20, Step::Switch);
    let (code, starts) = assembled(&steps);
    let held = with_sections(&program(&code), |sections| sections.at(LinkAddr(starts[2])).held.clone());
    assert_eq!(held.len(), 1);
}

#[test]
fn a_closure_that_is_named_again_and_again_is_read_once() {
    let mut code = Vec::new();
    while code.len() < LONGEST_BODY - 100 {
        let at = MAIN + code.len() as u64;
        code.extend([0x48, 0x8d, 5]);
        code.extend(relative(at + 7, helper(DEFERRED)));
    }
    code.extend(call(MAIN + code.len() as u64, helper(OTHER)));
    let end = MAIN + code.len() as u64;
    code.push(0xc3);
    let file = program(&code);
    with_sections(&file, |sections| {
        assert!(sections.at(LinkAddr(end)).held.clone().is_empty());
        let body = sections.body(LinkAddr(MAIN)).unwrap();
        assert_eq!(body.deferred, [Lock::Mutex]);
    });
}

/// A function out of a listing of [`super::listings`].
struct Compiled {
    func: Func,
    start: u64,
    code: Vec<u8>,
    /// Behind each call.
    returns: Vec<u64>,
}

impl Compiled {
    fn parse(name: &'static str, text: &'static str) -> Self {
        let Listing { start, code } = Listing::parse(text);
        // Where each instruction is, its line in the function itself, and what was inlined there, innermost first.
        let mut notes: Vec<(u64, i32, Vec<&'static str>)> = Vec::new();
        let mut returns = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (at, rest) = line.split_once(": ").unwrap();
            let (at, note) = (u64::from_str_radix(at, 16).unwrap(), rest.rsplit_once("; ").unwrap().1);
            let (number, inlined) = note.split_once(' ').unwrap_or((note, ""));
            let inlined = inlined.split(", ").filter(|name| !name.is_empty()).collect();
            notes.push((at - start.0, number.parse().unwrap(), inlined));
            if rest.contains("  call ") {
                returns.push(at + rest.split("  ").next().unwrap().split(' ').count() as u64);
            }
        }
        let size = u32::try_from(code.len()).unwrap();
        let mut func = Func { files: Vec::new(), lines: Vec::new(), ..Func::plain(name, size, 0, 0) };
        let mut calls: Vec<(i32, Vec<&'static str>)> = Vec::new();
        let ends = notes.iter().skip(1).map(|note| note.0).chain([u64::from(size)]);
        for ((at, line, inlined), end) in notes.iter().zip(ends) {
            let len = u32::try_from(end - at).unwrap();
            let index =
                (!inlined.is_empty()).then(|| index_of(&mut func, &mut calls, &notes, *line, inlined));
            push(&mut func.files, i32::from(index.is_some()), len);
            push(&mut func.lines, if index.is_some() { 1 } else { *line }, len);
            push(&mut func.inlined, index.unwrap_or(-1), len);
        }
        Self { func, start: start.0, code, returns }
    }
}

/// One more run; of two with the same value the table would end at the second.
fn push(runs: &mut Vec<(i32, u32)>, value: i32, len: u32) {
    match runs.last_mut() {
        Some(last) if last.0 == value => last.1 += len,
        _ => runs.push((value, len)),
    }
}

/// The place in the inline tree of what is inlined at a line.
fn index_of(
    func: &mut Func,
    calls: &mut Vec<(i32, Vec<&'static str>)>,
    notes: &[(u64, i32, Vec<&'static str>)],
    line: i32,
    inlined: &[&'static str],
) -> i32 {
    let call = (line, inlined.to_vec());
    if let Some(known) = calls.iter().position(|known| *known == call) {
        return i32::try_from(known).unwrap();
    }
    // It is called where its caller's own code of that line is.
    let caller = notes.iter().find(|note| note.1 == line && note.2 == inlined[1..]);
    let at = caller.unwrap_or_else(|| panic!("nothing of line {line} calls {inlined:?}")).0;
    func.tree.push((inlined[0], i32::try_from(at).unwrap()));
    calls.push(call);
    i32::try_from(calls.len() - 1).unwrap()
}

/// A program of these functions, each where its listing says, and of others that they call.
fn compiled(
    file: &GoFile,
    functions: &[(&'static str, &'static str)],
    others: &[(&'static str, u64)],
) -> (GoFile, Vec<Compiled>) {
    let functions: Vec<Compiled> = functions.iter().map(|(name, text)| Compiled::parse(name, text)).collect();
    let mut all: Vec<(u64, Func, &[u8])> =
        functions.iter().map(|one| (one.start, one.func.clone(), &one.code[..])).collect();
    all.push((TEXT, Func::plain("runtime.first", 16, 0, 1), &[]));
    all.extend(others.iter().map(|&(name, start)| (start, Func::plain(name, 16, 0, 1), &[][..])));
    all.sort_by_key(|(start, ..)| *start);
    let end = all.last().unwrap().0 + 0x1000;
    let mut code = vec![0xc3; (end - TEXT) as usize];
    let mut file = file.clone();
    file.table.functions.clear();
    let nexts: Vec<u64> = all.iter().skip(1).map(|(start, ..)| *start).chain([end]).collect();
    for ((start, func, bytes), next) in all.into_iter().zip(nexts) {
        let padded = u32::try_from(next - start).unwrap();
        let at = (start - TEXT) as usize;
        code[at..at + bytes.len()].copy_from_slice(bytes);
        file.table.functions.push(Func { padded, ..func });
    }
    file.code = code;
    (file, functions)
}

/// What is held where each call of these functions returns to: nothing but this.
fn holds_in(
    file: &GoFile,
    functions: &[(&'static str, &'static str)],
    others: &[(&'static str, u64)],
    expected: &[(u64, Held)],
) {
    let (file, functions) = compiled(file, functions, others);
    with_sections(&file, |sections| {
        let mut found = Vec::new();
        for returns in functions.iter().flat_map(|function| &function.returns) {
            found.extend(sections.at(LinkAddr(*returns)).held.clone().iter().map(|held| (*returns, *held)));
        }
        assert_eq!(found, expected, "{found:x?}\n{expected:x?}");
    });
}

fn held(lock: Lock, place: LockPlace, taken_at: u64) -> Held {
    Held { lock, place, taken_at: LinkAddr(taken_at) }
}

#[test]
fn locks_are_held_between_the_halves_that_go_1_18_inlines() {
    let file = GoFile { version: Some("go1.18.10"), layout: [35, 36, 37, 38], ..GoFile::default() };
    let table = Table { generation: Generation::Go118, ..file.table };
    let all = LockPlace::Variable(LinkAddr(0x4e_a0d8));
    holds_in(
        &GoFile { table, ..file },
        &[
            ("main.(*store).add", listings::ADD_1_18),
            ("main.(*store).read", listings::READ_1_18),
            ("main.guarded", listings::GUARDED_1_18),
            ("main.guarded.func1", listings::GUARDED_DEFER_1_18),
        ],
        &[
            ("runtime.deferreturn", 0x42_a900),
            ("sync.runtime_SemacquireMutex", 0x45_11a0),
            ("runtime.morestack.abi0", 0x45_2280),
            ("runtime.morestack_noctxt.abi0", 0x45_2320),
            ("sync.(*Mutex).lockSlow", 0x45_55a0),
            ("sync.(*Mutex).Unlock", 0x45_5840),
            ("sync.(*Mutex).unlockSlow", 0x45_58a0),
            ("sync.(*RWMutex).rUnlockSlow", 0x45_5b60),
            ("main.work", 0x45_5c60),
        ],
        &[
            (0x45_5ce5, held(Lock::Mutex, LockPlace::Behind(16), 0x45_5ca7)),
            (0x45_5d7e, held(Lock::Read, LockPlace::Behind(24), 0x45_5d5e)),
            (0x45_5e65, held(Lock::Mutex, all, 0x45_5e18)),
            (0x45_5e74, held(Lock::Mutex, all, 0x45_5e18)),
        ],
    );
}

#[test]
fn locks_are_held_between_the_halves_that_go_1_27_inlines() {
    let file = GoFile { version: Some("go1.27.4"), layout: [37, 39, 42, 43], ..GoFile::default() };
    let table = Table { header_text: 0, ..file.table };
    let all = LockPlace::Variable(LinkAddr(0x54_e858));
    holds_in(
        &GoFile { table, ..file },
        &[
            ("main.(*store).add", listings::ADD_1_27),
            ("main.(*store).read", listings::READ_1_27),
            ("main.guarded", listings::GUARDED_1_27),
            ("main.guarded.deferwrap1", listings::GUARDED_DEFER_1_27),
        ],
        &[
            ("runtime.deferreturn", 0x44_1640),
            ("sync.runtime_SemacquireRWMutexR", 0x47_6ec0),
            ("runtime.morestack.abi0", 0x47_9a20),
            ("runtime.morestack_noctxt.abi0", 0x47_9ac0),
            ("internal/sync.(*Mutex).lockSlow", 0x47_df60),
            ("internal/sync.(*Mutex).unlockSlow", 0x47_e200),
            ("sync.(*RWMutex).rUnlockSlow", 0x47_e3a0),
            ("main.work", 0x47_e560),
        ],
        &[
            (0x47_e5e5, held(Lock::Mutex, LockPlace::Behind(16), 0x47_e5aa)),
            (0x47_e676, held(Lock::Read, LockPlace::Behind(24), 0x47_e658)),
            (0x47_e751, held(Lock::Mutex, all, 0x47_e70e)),
            (0x47_e762, held(Lock::Mutex, all, 0x47_e70e)),
        ],
    );
}
