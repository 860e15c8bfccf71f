//! What code names: the functions that it calls or takes, and the package variables that it reads, writes or passes on.
//!
//! In: a function, or a place in one. Out: [`Named`], which is what all of its instructions name, or those that can still come
//! after that place. Go's compiler addresses a package variable and a function by their address, so whoever uses one either names
//! it or was given a pointer. Read-only data that is named counts with what it leads to: closures without variables, tables of
//! methods, what composite literals are made from. Not seen here: assembly that computes addresses, `reflect` and plugins, which
//! find functions by other ways; every method that `reflect` or an interface could find is in [`Mentions::from_outside`].

use super::GoBinary;
use super::addr::LinkAddr;
use super::read::u32_at;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, OpKind};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Most bytes of a body that are decoded. What is longer names everything.
const LONGEST_BODY: usize = 1 << 20;

/// Most bytes of a read-only object that are followed; the linker's own tables are larger.
const LARGEST_CONSTANT: u64 = 1 << 16;

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

/// Reads functions of one binary, each once.
pub struct Mentions<'b> {
    binary: &'b GoBinary<'b>,
    text: Range<LinkAddr>,
    variables: Range<LinkAddr>,
    /// Read-only objects, by address.
    constants: Vec<Range<LinkAddr>>,
    named: HashMap<LinkAddr, Option<Arc<Named>>>,
    ahead: HashMap<LinkAddr, Option<Arc<Named>>>,
    from_outside: Option<Arc<[LinkAddr]>>,
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
            constants,
            named: HashMap::new(),
            ahead: HashMap::new(),
            from_outside: None,
        })
    }

    /// Where each package variable is that has a name, in the order of their addresses, and whether it is the runtime's own, which
    /// lead to every goroutine. What composite literals at the level of packages are made of has no name.
    #[must_use]
    pub fn variables(&self) -> Vec<(Range<LinkAddr>, bool)> {
        let all = self.binary.symbols().elf().map(|symbols| symbols.variables_in(&self.variables));
        let is_runtimes = |name: &str| name.starts_with("runtime.") || name.starts_with("internal/runtime/");
        let all = all.unwrap_or_default().into_iter().filter(|(_, range)| !range.is_empty());
        all.map(|(name, range)| (range, is_runtimes(name))).collect()
    }

    /// Where all of them are.
    #[must_use]
    pub fn extent(&self) -> Range<LinkAddr> {
        self.variables.clone()
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

    /// `Ifn` and `Tfn` of `abi.Method` are offsets into the text in four bytes. Where types end and methods begin is not marked, so
    /// whatever is the offset of a function counts.
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
        let offsets = (0..bytes.len() / 4).filter_map(|at| u32_at(bytes, at * 4));
        let mut found: Vec<LinkAddr> = offsets
            .filter(|offset| entries.contains(offset))
            .filter_map(|offset| module.text.checked_add(u64::from(offset)))
            .collect();
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    /// The function around `pc`.
    fn body(&self, pc: LinkAddr) -> Option<Body> {
        let table = self.binary.pclntab().ok()?;
        let range = table.range(&table.find_pc(pc)?)?;
        let code = self.binary.code(&range).filter(|code| code.len() <= LONGEST_BODY)?;
        let decoder = Decoder::with_ip(64, code, range.start.0, DecoderOptions::NONE);
        let instructions: Vec<Instruction> = decoder.into_iter().collect();
        Some(Body { range, instructions })
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
        } else if depth > 0 && found.constants.insert(address) {
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
