//! What code names: the functions that it calls or takes, and the package variables that it reads, writes or passes on.
//!
//! In: a function, or a place in one. Out: [`Named`], which is what all of its instructions name, or those that can still come
//! after that place. Go's compiler addresses a package variable and a function by their address, so whoever uses one either names
//! it or was given a pointer. Read-only data that is named counts with what it leads to: closures without variables, tables of
//! methods, what composite literals are made from. Not seen here: assembly that computes addresses, `reflect` and plugins, which
//! find functions by other ways; every method that `reflect` or an interface could find is in [`Mentions::from_outside`].

use super::GoBinary;
use super::addr::LinkAddr;
use super::elf::SymbolTable;
use super::moduledata::ModuleData;
use super::read::u32_at;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, OpKind};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Most bytes of a body that are decoded. What is longer names everything.
const LONGEST_BODY: usize = 1 << 20;

/// Most bytes of a read-only object that are followed; the linker's own tables are larger.
const LARGEST_CONSTANT: u64 = 1 << 16;

/// Most bytes of code that are decoded in all: a file may claim that its functions overlap.
const MOST_CODE: usize = 1 << 28;

/// Most places of which it is remembered what is named ahead of them. A process that makes them up has no end of them.
const MOST_PLACES: usize = 1 << 16;

/// Most read-only objects that are followed from one function.
const MOST_CONSTANTS: usize = 1 << 12;

/// How deep read-only data is followed.
const DEPTH: u32 = 8;

/// Symbols of the linker that stand for many objects, or for none of the program's.
const CARRIERS: [&str; 8] =
    ["type:", "type.", "go:string", "go.string", "go:func", "go.func", "runtime.", "gclocals"];

/// What some code names, each in the order of the addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Entries of functions.
    pub functions: Vec<LinkAddr>,
    /// Addresses in package variables.
    pub variables: Vec<LinkAddr>,
}

/// Where a package variable is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// From its first byte to the next variable.
    pub range: Range<LinkAddr>,
    /// It is the runtime's own: those lead to every goroutine, and the program cannot name them.
    pub is_runtimes: bool,
}

/// Reads functions of one binary, each once.
pub struct Mentions<'b> {
    binary: &'b GoBinary<'b>,
    text: Range<LinkAddr>,
    /// Where all variables are.
    variables: Range<LinkAddr>,
    each: Vec<Variable>,
    /// Read-only objects, by address.
    constants: Vec<Range<LinkAddr>>,
    named: HashMap<LinkAddr, Option<Arc<Named>>>,
    ahead: HashMap<LinkAddr, Option<Arc<Named>>>,
    from_outside: Option<Arc<[LinkAddr]>>,
    /// Bytes of code that may still be decoded.
    code_left: usize,
}

impl<'b> Mentions<'b> {
    /// `None` for a binary that does not tell where which variable is: one without symbols.
    #[must_use]
    pub fn new(binary: &'b GoBinary<'b>) -> Option<Self> {
        let (symbols, module) = (binary.symbols().elf()?, binary.module_data()?);
        binary.pclntab().ok()?;
        let all = binary.image().segments().iter().map(|segment| (segment.start, segment.mem_size));
        let constants = all
            .filter_map(|(start, size)| Some(start..start.checked_add(size)?))
            .flat_map(|segment| symbols.variables_in(&segment))
            .filter(|(name, range)| {
                !module.variables.contains(&range.start)
                    && range.end.0 - range.start.0 <= LARGEST_CONSTANT
                    && !CARRIERS.iter().any(|carrier| name.starts_with(carrier))
            });
        let mut constants: Vec<_> = constants.map(|(_, range)| range).collect();
        constants.sort_by_key(|range| range.start);
        Some(Self {
            binary,
            text: module.text..module.etext,
            variables: module.variables.clone(),
            each: variables(binary, symbols, module),
            constants,
            named: HashMap::new(),
            ahead: HashMap::new(),
            from_outside: None,
            code_left: MOST_CODE,
        })
    }

    /// Where each package variable is, in the order of their addresses and without gaps.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        &self.each
    }

    /// What the whole function that begins at `entry` names; `None` where its code cannot be read.
    pub fn of(&mut self, entry: LinkAddr) -> Option<Arc<Named>> {
        if let Some(known) = self.named.get(&entry) {
            return known.clone();
        }
        let named = self.body(entry).map(|body| Arc::new(self.named(&body, body.instructions.iter())));
        self.named.insert(entry, named.clone());
        named
    }

    /// What a function names that goes on at `pc`, in what it may still come to; `None` where its code cannot be read.
    pub fn ahead(&mut self, pc: LinkAddr) -> Option<Arc<Named>> {
        if let Some(known) = self.ahead.get(&pc) {
            return known.clone();
        }
        if self.ahead.len() >= MOST_PLACES {
            self.ahead.clear();
        }
        let named = self.body(pc).map(|body| {
            let ahead = body.ahead(pc, self.deferreturn());
            Arc::new(self.named(&body, ahead.into_iter().map(|at| &body.instructions[at])))
        });
        self.ahead.insert(pc, named.clone());
        named
    }

    /// What a word is that lies in memory: the entry of a function, or read-only data that leads to such.
    #[must_use]
    pub fn at(&self, address: LinkAddr) -> Named {
        let mut found = Found::default();
        self.follow(address, DEPTH, &mut found);
        found.into()
    }

    /// Functions that nobody needs to name: methods in the linker's tables of types, which anybody may call who has a value, and
    /// what C calls. Of methods those that no interface of the program could ask for are in no table
    /// (cmd/link/internal/ld/deadcode.go).
    pub fn from_outside(&mut self) -> Arc<[LinkAddr]> {
        if let Some(known) = &self.from_outside {
            return known.clone();
        }
        let mut all = self.methods().unwrap_or_default();
        all.extend(self.exported());
        let known: Arc<[LinkAddr]> = all.into();
        self.from_outside = Some(known.clone());
        known
    }

    /// cmd/cgo makes a function of that name for each that is exported to C.
    fn exported(&self) -> Vec<LinkAddr> {
        let Ok(table) = self.binary.pclntab() else { return Vec::new() };
        let is_exported = |name: &str| name.starts_with("_cgoexp_");
        let exported = table.records().filter(|record| table.name(record).is_some_and(is_exported));
        exported.filter_map(|record| Some(table.range(&record)?.start)).collect()
    }

    /// `abi.Method` (src/internal/abi/type.go) is four offsets of four bytes: of name and type into the types, and of two functions
    /// into the text. Where types end and methods begin is not marked, so whatever looks like that counts.
    fn methods(&self) -> Option<Vec<LinkAddr>> {
        let module = self.binary.module_data()?;
        let (types, etypes) = (module.types?, module.etypes?);
        let bytes = self.binary.image().bytes(types, etypes.0.checked_sub(types.0)?)?;
        let table = self.binary.pclntab().ok()?;
        let entries: HashSet<u32> = table
            .records()
            .filter_map(|record| table.range(&record))
            .filter_map(|range| u32::try_from(range.start.0.checked_sub(module.text.0)?).ok())
            .filter(|&offset| offset != 0)
            .collect();
        let offset = |at: usize| u32_at(bytes, at * 4);
        let method = |at: usize| {
            let is_of_types = |offset: u32| offset != 0 && (offset as usize) < bytes.len();
            let is_named = is_of_types(offset(at)?) && is_of_types(offset(at + 1)?);
            let functions = [offset(at + 2)?, offset(at + 3)?];
            (is_named && functions.iter().all(|function| entries.contains(function))).then_some(functions)
        };
        let functions = (0..bytes.len() / 4).filter_map(method).flatten();
        let mut found: Vec<LinkAddr> =
            functions.filter_map(|offset| module.text.checked_add(u64::from(offset))).collect();
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    /// The function around `pc`.
    fn body(&mut self, pc: LinkAddr) -> Option<Body> {
        let table = self.binary.pclntab().ok()?;
        let range = table.range(&table.find_pc(pc)?)?;
        let code = self.binary.code(&range).filter(|code| code.len() <= LONGEST_BODY)?;
        self.code_left = self.code_left.checked_sub(code.len())?;
        Some(Body::read(range, code))
    }

    fn deferreturn(&self) -> Option<LinkAddr> {
        Some(self.binary.function("runtime.deferreturn")?.range.start)
    }

    fn named<'i>(&self, body: &Body, instructions: impl Iterator<Item = &'i Instruction>) -> Named {
        let mut found = Found::default();
        for (address, is_sure) in instructions.flat_map(addresses) {
            if body.range.contains(&address) || !is_sure && !self.variables.contains(&address) {
                continue;
            }
            self.follow(address, DEPTH, &mut found);
            // Code goes on in the middle of another function nowhere in Go, and in assembly it may.
            if self.text.contains(&address) && !found.functions.contains(&address) {
                found.functions.extend(self.function_around(address));
            }
        }
        found.into()
    }

    fn function_around(&self, pc: LinkAddr) -> Option<LinkAddr> {
        let table = self.binary.pclntab().ok()?;
        Some(table.range(&table.find_pc(pc)?)?.start)
    }

    /// The entry of a function that could be called.
    fn is_entry(&self, address: LinkAddr) -> bool {
        self.text.contains(&address) && self.function_around(address) == Some(address)
    }

    fn follow(&self, address: LinkAddr, depth: u32, found: &mut Found) {
        if self.variables.contains(&address) {
            found.variables.insert(address);
        } else if self.text.contains(&address) {
            if self.is_entry(address) {
                found.functions.insert(address);
            }
        } else if depth > 0 && found.constants.len() < MOST_CONSTANTS && found.constants.insert(address) {
            self.follow_constant(address, depth - 1, found);
        }
    }

    fn follow_constant(&self, address: LinkAddr, depth: u32, found: &mut Found) {
        let Some(word) = self.binary.image().pointer(address) else { return };
        // A closure without variables of its own.
        if self.is_entry(word) {
            found.functions.insert(word);
            return;
        }
        let place = self.constants.partition_point(|range| range.start <= address);
        let Some(range) = place.checked_sub(1).map(|at| &self.constants[at]) else { return };
        if range.contains(&address) {
            let words = (range.start.0..range.end.0).step_by(8);
            for word in words.filter_map(|at| self.binary.image().pointer(LinkAddr(at))) {
                self.follow(word, depth, found);
            }
        }
    }
}

/// The variables with a name, and what lies between them, which composite literals at the level of packages are made of: one begins
/// wherever a variable has a pointer to at the start.
fn variables(binary: &GoBinary<'_>, symbols: &SymbolTable<'_>, module: &ModuleData) -> Vec<Variable> {
    let is_runtimes = |name: &str| name.starts_with("runtime.") || name.starts_with("internal/runtime/");
    let all = &module.variables;
    let mut starts: BTreeMap<LinkAddr, bool> = BTreeMap::from([(all.start, false)]);
    let image = binary.image();
    let words = image.segments().iter().flat_map(|segment| {
        let (start, end) = (segment.start.0, segment.start.0.saturating_add(segment.file_size));
        (start.max(module.data.start.0).next_multiple_of(8)..end.min(module.data.end.0)).step_by(8)
    });
    let pointers = words.filter_map(|at| image.pointer(LinkAddr(at)));
    starts.extend(pointers.filter(|pointer| all.contains(pointer)).map(|pointer| (pointer, false)));
    for (name, range) in symbols.variables_in(all).into_iter().filter(|(_, range)| !range.is_empty()) {
        // A pointer into the middle of a variable does not divide it.
        let inside: Vec<_> = starts.range(range.clone()).map(|(start, _)| *start).collect();
        for start in inside {
            starts.remove(&start);
        }
        starts.insert(range.start, is_runtimes(name));
        starts.entry(range.end).or_insert(false);
    }
    let ends = starts.keys().skip(1).copied().chain([all.end]);
    let each = starts.iter().zip(ends).filter(|((start, _), end)| **start < *end);
    each.map(|((&start, &is_runtimes), end)| Variable { range: start..end, is_runtimes }).collect()
}

/// What has been found so far.
#[derive(Default)]
struct Found {
    functions: HashSet<LinkAddr>,
    variables: HashSet<LinkAddr>,
    constants: HashSet<LinkAddr>,
}

impl From<Found> for Named {
    fn from(found: Found) -> Self {
        let sorted = |set: HashSet<LinkAddr>| {
            let mut all: Vec<_> = set.into_iter().collect();
            all.sort_unstable();
            all
        };
        Self { functions: sorted(found.functions), variables: sorted(found.variables) }
    }
}

/// A function, read.
struct Body {
    range: Range<LinkAddr>,
    instructions: Vec<Instruction>,
}

impl Body {
    fn read(range: Range<LinkAddr>, code: &[u8]) -> Self {
        let decoder = Decoder::with_ip(64, code, range.start.0, DecoderOptions::NONE);
        Self { range, instructions: decoder.into_iter().collect() }
    }

    /// The places of the instructions that can be executed once it goes on at `pc`. A panic may go on where deferred calls are
    /// made, wherever it comes from.
    fn ahead(&self, pc: LinkAddr, deferreturn: Option<LinkAddr>) -> Vec<usize> {
        let place = |address: u64| self.instructions.binary_search_by_key(&address, Instruction::ip).ok();
        let is_last = |one: &Instruction| {
            one.flow_control() == FlowControl::Call && Some(LinkAddr(one.near_branch_target())) == deferreturn
        };
        let mut todo: Vec<usize> =
            (0..self.instructions.len()).filter(|&at| is_last(&self.instructions[at])).collect();
        match place(pc.0) {
            Some(at) => todo.push(at),
            None => return (0..self.instructions.len()).collect(),
        }
        let mut seen = vec![false; self.instructions.len()];
        while let Some(mut at) = todo.pop() {
            while at < self.instructions.len() && !std::mem::replace(&mut seen[at], true) {
                let instruction = &self.instructions[at];
                let target = || place(instruction.near_branch_target());
                match instruction.flow_control() {
                    FlowControl::ConditionalBranch => todo.extend(target()),
                    FlowControl::UnconditionalBranch => {
                        todo.extend(target());
                        break;
                    }
                    // A table of jumps.
                    FlowControl::IndirectBranch => return (0..self.instructions.len()).collect(),
                    FlowControl::Return | FlowControl::Exception => break,
                    _ => {}
                }
                at += 1;
            }
        }
        (0..seen.len()).filter(|&at| seen[at]).collect()
    }
}

/// What could be an address in an instruction, and whether it can be none but an address: Go addresses relative to the instruction
/// pointer, and assembly need not.
fn addresses(instruction: &Instruction) -> impl Iterator<Item = (LinkAddr, bool)> + use<> {
    let instruction = *instruction;
    let address = move |operand| match instruction.op_kind(operand) {
        OpKind::NearBranch64 => Some((instruction.near_branch_target(), true)),
        OpKind::Memory if instruction.is_ip_rel_memory_operand() => {
            Some((instruction.ip_rel_memory_address(), true))
        }
        OpKind::Memory if instruction.memory_displ_size() >= 4 => {
            Some((instruction.memory_displacement64(), false))
        }
        OpKind::Immediate32 | OpKind::Immediate32to64 | OpKind::Immediate64 => {
            Some((instruction.immediate(operand), false))
        }
        _ => None,
    };
    (0..instruction.op_count()).filter_map(address).map(|(address, is_sure)| (LinkAddr(address), is_sure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: u64 = 0x40_1000;
    const DEFERRETURN: LinkAddr = LinkAddr(0x40_0000);
    const VARIABLE: u64 = 0x60_0000;

    /// Instructions of a function, each behind the one before.
    #[derive(Default)]
    struct Code(Vec<u8>);

    impl Code {
        fn relative(mut self, opcode: &[u8], target: u64) -> Self {
            self.0.extend(opcode);
            let next = START + self.0.len() as u64 + 4;
            self.0.extend((target.wrapping_sub(next) as u32).to_le_bytes());
            self
        }

        /// `lea rax, [rip + …]`
        fn names(self, n: u64) -> Self {
            self.relative(&[0x48, 0x8d, 0x05], VARIABLE + 8 * n)
        }

        fn calls(self, target: LinkAddr) -> Self {
            self.relative(&[0xe8], target.0)
        }

        fn plain(mut self, bytes: &[u8]) -> Self {
            self.0.extend(bytes);
            self
        }

        fn here(&self) -> u64 {
            START + self.0.len() as u64
        }

        /// Numbers of the variables that are named once it goes on at `pc`.
        fn ahead(&self, pc: u64) -> Vec<u64> {
            let range = LinkAddr(START)..LinkAddr(START + self.0.len() as u64);
            let body = Body::read(range, &self.0);
            let ahead = body.ahead(LinkAddr(pc), Some(DEFERRETURN));
            let addresses = ahead.into_iter().flat_map(|at| addresses(&body.instructions[at]));
            addresses.filter_map(|(address, _)| Some(address.0.checked_sub(VARIABLE)? / 8)).collect()
        }
    }

    const OTHER: LinkAddr = LinkAddr(0x40_2000);
    const RET: [u8; 1] = [0xc3];

    #[test]
    fn what_is_behind_is_not_named_any_more_but_in_a_loop() {
        let code = Code::default().names(0).calls(OTHER);
        let pc = code.here();
        assert_eq!(code.names(1).plain(&RET).ahead(pc), [1]);
        let code = Code::default().names(0).calls(OTHER).names(1).relative(&[0x0f, 0x84], START).plain(&RET);
        assert_eq!(code.ahead(pc), [0, 1]);
    }

    #[test]
    fn both_ways_of_a_branch_are_ahead_and_what_is_jumped_over_is_not() {
        let code = Code::default().calls(OTHER);
        let pc = code.here();
        // je +8 over a name and a return, then a name, a jump over a name, and the end.
        let code = code.plain(&[0x74, 0x08]).names(0).plain(&RET).names(1).plain(&[0xeb, 0x07]).names(2);
        assert_eq!(code.plain(&RET).ahead(pc), [0, 1]);
    }

    #[test]
    fn deferred_calls_are_ahead_wherever_it_stands_and_of_a_jump_by_a_table_everything_is() {
        let code = Code::default().names(0).calls(OTHER);
        let pc = code.here();
        let code = code.plain(&RET).names(1).plain(&RET).calls(DEFERRETURN).names(2).plain(&RET);
        assert_eq!(code.ahead(pc), [2]);
        // jmp rax
        let code = Code::default().names(0).calls(OTHER).plain(&[0xff, 0xe0]).names(1).plain(&RET);
        assert_eq!(code.ahead(pc), [0, 1]);
        assert_eq!(code.ahead(pc + 1), [0, 1]);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_what_is_ahead_is_in_the_function(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), pc in START - 8..START + 208,
        ) {
            let body = Body::read(LinkAddr(START)..LinkAddr(START + bytes.len() as u64), &bytes);
            let ahead = body.ahead(LinkAddr(pc), Some(DEFERRETURN));
            prop_assert!(ahead.iter().all(|&at| at < body.instructions.len()));
            ahead.iter().for_each(|&at| { addresses(&body.instructions[at]).for_each(drop); });
        }
    }
}
