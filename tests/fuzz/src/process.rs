//! A process of a small Go program whose memory is whatever an input says, and changes while it is read.
//!
//! In: bytes. Out: the program, of the Go that the input chooses, and a [`Memory`] with the runtime's variables and a heap.
//! The input, little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | which of [`VERSIONS`] |
//! | 1 | [`NO_STACKS`], [`MIRRORED`], [`FEW_FRAMES`], [`HAS_HEAP`] |
//! | 1 | how many changes, at most [`MOST_CHANGES`] |
//! | 1 | nothing |
//! | 16 each | a [`Change`]: call 2, kind 1, nothing 1, offset 4, word 8 |
//! | 24 | `runtime.allglen`, `allgptr`, `allm` |
//! | 8 × 5 | five roots of `runtime.semtable`, 50 buckets apart |
//! | 8 × [`STATE`] | with [`HAS_HEAP`] only: address and length of `runtime.allp` and of `runtime.mheap_.allspans`, and two
//! variables of the program, in front of the table of semaphores and behind it |
//! | the rest | the heap, from [`HEAP`] on |
//!
//! Two functions of the program take locks: `main.work` one that it has a pointer to, `main.main` the first variable. Both then
//! call, and it is there that [`pc_in`] has them stand.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;

use goflow_user::binary::GoBinary;
use goflow_user::binary::addr::{LoadBias, RuntimeAddr};
use goflow_user::binary::offsets::Offsets;
use goflow_user::target::Pid;
use goflow_user::target::memory::{Memory, MemoryError, Registers, Run};
use goflow_user::target::snapshot::reader::Options;

use super::program::{Data, FUNCTION, Form, Func, MODULE, gofunc_of, program};
use super::{Symbol, address_of};

/// A Go of each layout that snapshots depend on.
pub const VERSIONS: [&str; 7] =
    ["go1.18.10", "go1.21.13", "go1.23.12", "go1.24.13", "go1.25.7", "go1.26.8", "go1.27.4"];

/// Stacks are not asked for.
pub const NO_STACKS: u8 = 1;

/// The heap is mapped again and again up to a megabyte, and over the highest addresses, as a core file can say.
pub const MIRRORED: u8 = 2;

/// Stacks are cut after three frames.
pub const FEW_FRAMES: u8 = 4;

/// The input tells of processors and of the heap's spans.
pub const HAS_HEAP: u8 = 8;

/// Words of that.
pub const STATE: usize = 6;

/// Most changes in one input.
pub const MOST_CHANGES: usize = 8;

/// How far the program was moved.
pub const BIAS: LoadBias = LoadBias(0x1000_0000);

/// Where the heap starts.
pub const HEAP: u64 = 0xc0_0000_0000;

/// How much of the address space a mirrored heap fills, at [`HEAP`] and at the end.
const MIRROR: u64 = 1 << 20;

/// Link-time address of the runtime's variables: behind the sections.
const VARIABLES: u64 = address_of(4);

/// Where in the variables what [`HAS_HEAP`] brings starts.
const PROCESSORS: usize = 24;

/// Where in the variables the list of spans is.
const SPANS: u64 = 40;

/// Where in the variables the program's own is, in front of the table.
const OWN: u64 = 56;

/// Run-time address of that.
pub const VARIABLE: u64 = BIAS.0 + VARIABLES + OWN;

/// Where in the variables the table of semaphores starts.
const SEMTABLE: usize = 64;

/// Where no variable is any more, whatever Go it is.
const END: u64 = SEMTABLE as u64 + 256 * 128;

/// Roots of the table that an input has.
pub const ROOTS: usize = 5;

/// Buckets from one of them to the next.
const BUCKETS_APART: usize = 50;

/// The program's functions: the runtime's that mean something to a snapshot, and a few of its own.
pub const FUNCTIONS: [&str; 15] = [
    "runtime.goexit",
    "runtime.gopark",
    "runtime.main",
    "runtime.bgsweep",
    "runtime.runfinq",
    "runtime.runFinalizers",
    "main.main",
    "main.work",
    "sync.(*Mutex).lockSlow",
    "internal/sync.(*Mutex).lockSlow",
    "sync.(*RWMutex).Lock",
    "sync.(*RWMutex).RLock",
    "sync.(*WaitGroup).Wait",
    "sync.runtime_notifyListWait",
    "sync.(*Mutex).Lock",
];

/// Run-time address in the half of the function `name` in which it has something on the stack.
#[must_use]
pub fn pc_in(name: &str) -> u64 {
    BIAS.0 + entry_of(name) + FUNCTION / 2 + 1
}

/// What becomes of the memory at some time.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Before which call of [`Memory::read_runs`], modulo 64.
    pub call: u16,
    /// 0: `word` is written to the heap. 1: to the variables. 2: the heap ends at `offset`. 3: the process ends.
    pub kind: u8,
    /// Bytes from the start.
    pub offset: u32,
    /// What is written.
    pub word: u64,
}

/// The programs, one for each of [`VERSIONS`].
#[must_use]
pub fn programs() -> &'static [GoBinary<'static>] {
    static PROGRAMS: OnceLock<Vec<GoBinary<'static>>> = OnceLock::new();
    PROGRAMS.get_or_init(|| VERSIONS.into_iter().map(built).collect())
}

fn built(version: &str) -> GoBinary<'static> {
    // Where the list of spans is in the heap's state is known once the version is.
    let plain = file(version, 0);
    let offsets = parsed(version, plain).offsets().map(|(offsets, _)| offsets.mheap.allspans);
    let allspans = offsets.unwrap_or_else(|error| panic!("the offsets of {version} are not known: {error}"));
    parsed(version, file(version, u64::from(allspans)))
}

fn parsed(version: &str, file: Vec<u8>) -> GoBinary<'static> {
    GoBinary::parse(file.leak())
        .unwrap_or_else(|error| panic!("the program of {version} is not in form: {error}"))
}

fn file(version: &str, allspans: u64) -> Vec<u8> {
    let form = match version {
        _ if version.starts_with("go1.18.") => Form::Go118,
        _ if version < "go1.26" => Form::Go120,
        _ => Form::Go126,
    };
    let maps_at = MODULE - gofunc_of(version);
    let functions = FUNCTIONS.map(|name| match name {
        "main.work" => {
            Func { name, code: locks_what_it_has(), maps: Some([maps_at, maps_at + 16]), ..Func::default() }
        }
        "main.main" => Func { name, code: locks_variable(), ..Func::default() },
        _ => Func { name, ..Func::default() },
    });
    let symbol = |name, address| Symbol { name, address, size: 8, is_function: false };
    let symbols = [
        Symbol { name: "runtime.goexit", address: address_of(0), size: FUNCTION, is_function: true },
        symbol("runtime.allglen", VARIABLES),
        symbol("runtime.allgptr", VARIABLES + 8),
        symbol("runtime.allm", VARIABLES + 16),
        symbol("runtime.allp", VARIABLES + PROCESSORS as u64),
        symbol("runtime.mheap_", VARIABLES + SPANS - allspans),
        symbol("runtime.semtable", VARIABLES + SEMTABLE as u64),
    ];
    let own = VARIABLES + OWN;
    let data = Data { variables: [own..own + 8, own..VARIABLES + END], maps: maps() };
    program(version, form, &functions, &symbols, &data)
}

/// `mov 8(%rsp), %rax`, a call of `Lock`, and one of `gopark`, which ends where [`pc_in`] says.
fn locks_what_it_has() -> Vec<u8> {
    let at = entry_of("main.work");
    let calls = [call(at + 5, "sync.(*Mutex).Lock"), vec![0x66, 0x90], call(at + 12, "runtime.gopark")];
    [vec![0x48, 0x8b, 0x44, 0x24, 8], calls.concat()].concat()
}

/// `lea variable(%rip), %rax`, a call of `Lock`, and one of `main.work`.
fn locks_variable() -> Vec<u8> {
    let at = entry_of("main.main");
    let distance = (VARIABLES + OWN).wrapping_sub(at + 7) as u32;
    let calls = [call(at + 7, "sync.(*Mutex).Lock"), call(at + 12, "main.work")];
    [vec![0x48, 0x8d, 5], distance.to_le_bytes().to_vec(), calls.concat()].concat()
}

fn call(at: u64, callee: &str) -> Vec<u8> {
    let distance = entry_of(callee).wrapping_sub(at + 5) as u32;
    [vec![0xe8], distance.to_le_bytes().to_vec()].concat()
}

/// Link-time address of a function.
fn entry_of(name: &str) -> u64 {
    let index = FUNCTIONS.iter().position(|function| *function == name).unwrap_or(0);
    address_of(0) + FUNCTION * index as u64
}

/// What a compiler notes of a frame with two words (`stackmap` in src/runtime/symtab.go, `stackObjectRecord` in
/// src/runtime/stack.go): three maps, of which the last has both as pointers, and behind 16 bytes one variable, which is both.
fn maps() -> Vec<u8> {
    let mut maps: Vec<u8> = [3_u32, 2].into_iter().flat_map(u32::to_le_bytes).collect();
    maps.extend([1, 2, 3, 0, 0, 0, 0, 0]);
    maps.extend(1_u64.to_le_bytes());
    maps.extend([-16_i32, 16, 16, 0].into_iter().flat_map(i32::to_le_bytes));
    maps
}

/// A process of one of the programs.
pub struct Process {
    /// Its program.
    pub binary: &'static GoBinary<'static>,
    /// What is asked of it.
    pub options: Options,
    /// Its memory.
    pub memory: Lying,
    /// Nothing changes while it is read.
    pub is_still: bool,
}

impl Process {
    /// The process of an input; `None` where the input is too short for one.
    #[must_use]
    pub fn of(input: &[u8]) -> Option<Self> {
        let (&[version, flags, changes, _], rest) = input.split_first_chunk()?;
        let count = usize::from(changes) % (MOST_CHANGES + 1);
        let (changes, rest) = rest.split_at_checked(16 * count)?;
        let (words, rest) = rest.split_at_checked(8 * (3 + ROOTS))?;
        let state = if flags & HAS_HEAP == 0 { 0 } else { 8 * STATE };
        let (state, heap) = rest.split_at_checked(state)?;
        let binary = programs().get(usize::from(version) % VERSIONS.len())?;
        let (offsets, _) = binary.offsets().ok()?;
        let memory = Lying {
            binary,
            variables: RefCell::new(variables(&offsets, words, state)),
            heap: RefCell::new(heap.to_vec()),
            is_mirrored: flags & MIRRORED != 0,
            changes: changes.chunks_exact(16).map(change).collect(),
            calls: Cell::new(0),
            asked: Cell::new(0),
        };
        let options = Options {
            stacks: flags & NO_STACKS == 0,
            most_stacks: usize::MAX,
            frames: if flags & FEW_FRAMES == 0 { 128 } else { 3 },
            labels: true,
        };
        Some(Self { binary, options, memory, is_still: count == 0 })
    }
}

/// The runtime's variables as they lie in memory.
fn variables(offsets: &Offsets, words: &[u8], state: &[u8]) -> Vec<u8> {
    let (len, stride) = (offsets.sema_table.len as usize, offsets.sema_table.stride as usize);
    let mut variables = vec![0; SEMTABLE + len * stride + 8];
    let (first, roots) = words.split_at(24);
    variables[..24].copy_from_slice(first);
    for (index, root) in roots.chunks_exact(8).enumerate() {
        let at = SEMTABLE + BUCKETS_APART * index * stride + offsets.sema_root.treap as usize;
        variables[at..at + 8].copy_from_slice(root);
    }
    if let Some((state, behind)) = state.split_at_checked(8 * (STATE - 1)) {
        // The slice of processors has a capacity that nobody reads.
        let (processors, others) = state.split_at(16);
        variables[PROCESSORS..PROCESSORS + 16].copy_from_slice(processors);
        variables[SPANS as usize..SEMTABLE].copy_from_slice(others);
        variables[SEMTABLE + len * stride..].copy_from_slice(behind);
    }
    variables
}

fn change(bytes: &[u8]) -> Change {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[8..16]);
    Change {
        call: u16::from_le_bytes([bytes[0], bytes[1]]) % 64,
        kind: bytes[2] % 4,
        offset: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        word: u64::from_le_bytes(word),
    }
}

/// The input of a process: the inverse of [`Process::of`]. `words` are the three variables and the roots, `state` is what
/// [`HAS_HEAP`] brings.
#[must_use]
pub fn input(
    (version, flags): (u8, u8),
    changes: &[Change],
    words: [u64; 3 + ROOTS],
    state: Option<[u64; STATE]>,
    heap: &[u8],
) -> Vec<u8> {
    let flags = flags | if state.is_some() { HAS_HEAP } else { 0 };
    let mut input = vec![version, flags, changes.len() as u8, 0];
    for change in changes {
        input.extend(change.call.to_le_bytes());
        input.extend([change.kind, 0]);
        input.extend(change.offset.to_le_bytes());
        input.extend(change.word.to_le_bytes());
    }
    input.extend(words.into_iter().chain(state.into_iter().flatten()).flat_map(u64::to_le_bytes));
    input.extend_from_slice(heap);
    input
}

/// Memory that says what the input says.
pub struct Lying {
    binary: &'static GoBinary<'static>,
    variables: RefCell<Vec<u8>>,
    heap: RefCell<Vec<u8>>,
    is_mirrored: bool,
    changes: Vec<Change>,
    calls: Cell<u16>,
    asked: Cell<usize>,
}

impl Lying {
    /// How many bytes were asked of it so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.get()
    }

    /// Which goroutines `runtime.allgs` lists now, each once; `None` when the list is not all mapped.
    #[must_use]
    pub fn listed(&self) -> Option<Vec<u64>> {
        let (mut len, mut at) = ([0; 8], [0; 8]);
        self.copy(BIAS.0 + VARIABLES, &mut len);
        self.copy(BIAS.0 + VARIABLES + 8, &mut at);
        let (len, at) = (usize::try_from(u64::from_le_bytes(len)).ok()?, u64::from_le_bytes(at));
        let mut bytes = vec![0; len.checked_mul(8).filter(|&len| len <= 2 * MIRROR as usize)?];
        if self.copy(at, &mut bytes) != bytes.len() {
            return None;
        }
        let words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
        let mut listed: Vec<u64> = words.filter(|&g| g != 0).collect();
        listed.sort_unstable();
        listed.dedup();
        Some(listed)
    }

    /// Does what is due before this call; `false` once the process has ended.
    fn advance(&self) -> bool {
        let call = self.calls.get();
        self.calls.set(call.saturating_add(1));
        for change in self.changes.iter().filter(|change| change.call == call) {
            let at = change.offset as usize;
            let into = if change.kind == 0 { &self.heap } else { &self.variables };
            match change.kind {
                0 | 1 => {
                    if let Some(bytes) = into.borrow_mut().get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
                        *bytes = change.word.to_le_bytes();
                    }
                }
                2 => self.heap.borrow_mut().truncate(at),
                _ => {}
            }
        }
        !self.changes.iter().any(|change| change.kind == 3 && change.call <= call)
    }

    /// Copies what is at `address`, and gives how many bytes there are.
    fn copy(&self, address: u64, into: &mut [u8]) -> usize {
        let (variables, heap) = (self.variables.borrow(), self.heap.borrow());
        let mut done = 0;
        while done < into.len() {
            let Some(address) = address.checked_add(done as u64) else { break };
            let found = self.bytes_at(address, &variables, &heap);
            let len = found.len().min(into.len() - done);
            if len == 0 {
                break;
            }
            into[done..done + len].copy_from_slice(&found[..len]);
            done += len;
        }
        done
    }

    fn bytes_at<'m>(&'m self, address: u64, variables: &'m [u8], heap: &'m [u8]) -> &'m [u8] {
        let within = |start: u64, len: u64| address.checked_sub(start).filter(|&offset| offset < len);
        let size = heap.len() as u64;
        if let Some(offset) = within(BIAS.0 + VARIABLES, variables.len() as u64) {
            return &variables[offset as usize..];
        }
        if size > 0 && self.is_mirrored {
            let offset = within(HEAP, MIRROR).or(within(u64::MAX - (MIRROR - 1), MIRROR));
            if let Some(offset) = offset {
                return &heap[(offset % size) as usize..];
            }
        }
        if let Some(offset) = within(HEAP, size) {
            return &heap[offset as usize..];
        }
        self.binary.image().bytes_from(BIAS.to_link(RuntimeAddr(address))).unwrap_or(&[])
    }
}

impl Memory for Lying {
    /// As the id of the thread says, which is in the memory itself.
    fn registers(&self, tid: u64) -> Option<Registers> {
        let lowest = self.binary.image().lowest_address();
        let pc = BIAS.to_runtime(lowest).0.wrapping_add(tid >> 32);
        Some(Registers { pc, sp: HEAP.wrapping_add(tid & 0xffff), bp: HEAP.wrapping_add(tid >> 16 & 0xffff) })
    }

    fn stands_still(&self) -> bool {
        self.changes.is_empty()
    }

    fn read_runs(&self, runs: &mut [Run<'_>]) -> Result<(), MemoryError> {
        if !self.advance() {
            return Err(MemoryError::Ended(Pid(1)));
        }
        for run in runs {
            self.asked.set(self.asked.get() + run.into.len());
            run.read = self.copy(run.address.0, run.into);
        }
        Ok(())
    }
}
