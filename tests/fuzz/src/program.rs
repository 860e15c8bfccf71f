//! The smallest Go executable: a function table, build info, module data, and symbols for the runtime's variables.
//!
//! In: a Go version and functions; out: a file that goflow takes for a program of that version. Written from the formats,
//! not from the code under test.

use std::ops::Range;

use super::{Symbol, address_of, executable_with_symbols};

/// Bytes of code of each function.
pub const FUNCTION: u64 = 32;

/// Bytes a function has on the stack in the second half of its code; in the first half it has none.
pub const DEPTH: u64 = 24;

/// A function of the program.
#[derive(Default)]
pub struct Func {
    /// Its name.
    pub name: &'static str,
    /// Its table says that the second half of its code was inlined into it.
    pub is_inlined_into: bool,
    /// The start of its code; the rest are `ret`s.
    pub code: Vec<u8>,
    /// The compiler's notes on its frame: where in `go:func.*` the map of its locals is, and that of its variables.
    pub maps: Option<[u32; 2]>,
}

/// What of a program is in its data.
#[derive(Default)]
pub struct Data {
    /// Where its variables with pointers are: those that have a first value, and those that begin as zeroes.
    pub variables: [Range<u64>; 2],
    /// What is in `go:func.*` behind [`MODULE`] bytes less what [`gofunc_of`] gives.
    pub maps: Vec<u8>,
}

/// Bytes of the module data.
pub const MODULE: u32 = 48 * 8;

/// Where in the section of the module data `go:func.*` starts in a program of Go `version` (see [`module_data`]).
#[must_use]
pub fn gofunc_of(version: &str) -> u32 {
    match version {
        _ if version.starts_with("go1.18.") => 38,
        _ if version < "go1.27" => 40,
        _ => 43,
    }
}

/// The file of a program of Go `version` with these functions, one after the other from the start of section 0, these
/// symbols, and this data.
#[must_use]
pub fn program(version: &str, form: Form, functions: &[Func], symbols: &[Symbol], data: &Data) -> Vec<u8> {
    let mut text = vec![0xc3; 256.max(FUNCTION as usize * functions.len())];
    for (into, function) in text.chunks_mut(FUNCTION as usize).zip(functions) {
        into[..function.code.len()].copy_from_slice(&function.code);
    }
    let (table, info) = (table(form, functions), inline_build_info(version));
    let module = [module_data(functions.len(), text.len(), &data.variables), data.maps.clone()].concat();
    let sections: [(&str, &[u8]); 4] =
        [(".text", &text), (".gopclntab", &table), (".go.buildinfo", &info), (".go.module", &module)];
    executable_with_symbols(&sections, symbols)
}

/// The layouts of the function table (src/runtime/symtab.go).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Go 1.18 and 1.19.
    Go118,
    /// From Go 1.20 on it has start lines.
    Go120,
    /// From Go 1.26 on it does not tell where the text starts.
    Go126,
}

/// The function table.
#[must_use]
pub fn table(form: Form, functions: &[Func]) -> Vec<u8> {
    let mut names = vec![0];
    let mut names_at = Vec::new();
    for function in functions {
        names_at.push(names.len() as u32);
        names.extend_from_slice(function.name.as_bytes());
        names.push(0);
    }
    let units = 1_u32.to_le_bytes();
    let files = b"\0/src/main.go\0";
    // Two pc-value tables: pairs of zigzag value and program counter steps, ended by a zero.
    let pcs = [0, 2, 16, 4, 16, 0, 2, 16, 2 * DEPTH as u8, 16, 0];
    let functions = records(form, functions, &names_at);
    let starts = [72, names.len(), units.len(), files.len(), pcs.len()];
    let starts = starts.iter().scan(0, |sum, length| {
        *sum += length;
        Some(*sum as u64)
    });
    let magic: u32 = if form == Form::Go118 { 0xffff_fff0 } else { 0xffff_fff1 };
    let text = if form == Form::Go126 { 0 } else { address_of(0) };
    let mut table = magic.to_le_bytes().to_vec();
    table.extend([0, 0, 1, 8]);
    table.extend([names_at.len() as u64, 1, text].iter().flat_map(|word| word.to_le_bytes()));
    table.extend(starts.flat_map(u64::to_le_bytes));
    [&table[..], &names, &units, files, &pcs, &functions].concat()
}

/// Entries, the sentinel, and the `_func` records, which from 1.20 on have a start line.
fn records(form: Form, functions: &[Func], names_at: &[u32]) -> Vec<u8> {
    let record = |entry: u32, name: u32, inlined: u32, maps: Option<[u32; 2]>| {
        // Tables of stack depth, file and line, number of tables, compile unit.
        let mut words = vec![entry, name, 0, 0, 6, 1, 1, 3, 0];
        words.extend((form != Form::Go118).then_some(10));
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.extend([0, 0, 0, 4]); // funcID, flag, padding, number of funcdata
        let [args, locals, objects] = maps.map_or([0; 3], |[locals, objects]| [u32::MAX, locals, objects]);
        let tail = [1, 1, inlined, args, locals, objects, 0];
        bytes.extend(tail.iter().flat_map(|word: &u32| word.to_le_bytes()));
        bytes
    };
    let records_at = 8 * functions.len() as u32 + 4;
    let (mut index, mut records) = (Vec::new(), Vec::new());
    let mut entry = 0;
    for (function, &name) in functions.iter().zip(names_at) {
        index.extend([entry, records_at + records.len() as u32].iter().flat_map(|word| word.to_le_bytes()));
        records.extend(record(entry, name, u32::from(function.is_inlined_into), function.maps));
        entry += FUNCTION as u32;
    }
    index.extend(entry.to_le_bytes());
    [index, records].concat()
}

/// `runtime.firstmoduledata` for the sections of [`program`]: words 0 (function table) and 20 to 23 (text) are the same in
/// every Go, and so are 26 to 29 (variables); what follows moves (src/runtime/symtab.go), so each of those words is an address
/// that could be any of them.
fn module_data(functions: usize, text: usize, [data, bss]: &[Range<u64>; 2]) -> Vec<u8> {
    let mut words = vec![0; MODULE as usize / 8];
    words[0] = address_of(1);
    let end = address_of(0) + FUNCTION * functions as u64;
    words[20..24].copy_from_slice(&[address_of(0), end, address_of(0), address_of(0) + text as u64]);
    words[26..30].copy_from_slice(&[data.start, data.end, bss.start, bss.end]);
    for (index, word) in words.iter_mut().enumerate().skip(35) {
        *word = address_of(3) + index as u64;
    }
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// The form since 1.18 (src/debug/buildinfo): flag 2, then length-prefixed version and module text, framed by 16 bytes.
#[must_use]
pub fn inline_build_info(version: &str) -> Vec<u8> {
    let frame = [b'-'; 16];
    let text =
        b"path\tgoflow.test/x\nmod\tgoflow.test/x\t(devel)\t\nbuild\t-compiler=gc\nbuild\tGOARCH=amd64\n";
    let module = [&frame[..], text, &frame].concat();
    let mut info = b"\xff Go buildinf:\x08\x02".to_vec();
    info.resize(32, 0);
    for text in [version.as_bytes(), &module] {
        info.push(u8::try_from(text.len() & 0x7f).unwrap_or(0) | if text.len() > 127 { 0x80 } else { 0 });
        if text.len() > 127 {
            info.push(u8::try_from(text.len() >> 7).unwrap_or(0));
        }
        info.extend_from_slice(text);
    }
    info
}
