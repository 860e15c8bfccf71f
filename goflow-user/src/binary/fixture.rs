//! Hand-made executables for tests: an ELF file in which no address equals its file offset, and a function table.
//!
//! In: what a test wants to be true; out: the bytes that say so. Written from the formats, not from the code under test.

use super::pclntab::Generation;

/// Where the parts of [`GoFile`] are loaded.
pub(super) const TEXT: u64 = 0x40_1000;
pub(super) const RODATA: u64 = 0x50_0000;
pub(super) const DATA: u64 = 0x60_0000;

pub(super) const READ: u32 = 4;
pub(super) const READ_EXEC: u32 = 5;
pub(super) const READ_WRITE: u32 = 6;

/// An ELF64 little-endian file.
#[derive(Clone, Debug)]
pub(super) struct Elf {
    /// `e_type`: 2 `ET_EXEC`, 3 `ET_DYN`.
    pub(super) kind: u16,
    /// `e_machine`: 62 amd64, 183 arm64.
    pub(super) machine: u16,
    /// Type, address, flags, content of each program header.
    pub(super) segments: Vec<(u32, u64, u32, Vec<u8>)>,
    /// Sections with content of their own: name, type, flags, content.
    pub(super) sections: Vec<(&'static str, u32, u64, Vec<u8>)>,
    /// Sections that lie in a segment: name, address, size.
    pub(super) loaded: Vec<(&'static str, u64, u64)>,
}

impl Default for Elf {
    fn default() -> Self {
        Self { kind: 2, machine: 62, segments: Vec::new(), sections: Vec::new(), loaded: Vec::new() }
    }
}

impl Elf {
    pub(super) fn load(mut self, addr: u64, flags: u32, bytes: &[u8]) -> Self {
        self.segments.push((1, addr, flags, bytes.to_vec()));
        self
    }

    pub(super) fn segment(mut self, kind: u32, addr: u64, bytes: &[u8]) -> Self {
        self.segments.push((kind, addr, READ, bytes.to_vec()));
        self
    }

    pub(super) fn section(mut self, name: &'static str, kind: u32, flags: u64, bytes: &[u8]) -> Self {
        self.sections.push((name, kind, flags, bytes.to_vec()));
        self
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let headers = 64 + 56 * self.segments.len();
        let mut body = Vec::new();
        let place = |body: &mut Vec<u8>, bytes: &[u8]| {
            body.resize(body.len().next_multiple_of(16), 0);
            let offset = (headers.next_multiple_of(16) + body.len()) as u64;
            body.extend_from_slice(bytes);
            offset
        };
        let mut program_headers = Vec::new();
        let mut loads = Vec::new();
        for (kind, addr, flags, bytes) in &self.segments {
            let (offset, size) = (place(&mut body, bytes), bytes.len() as u64);
            if *kind == 1 {
                loads.push((*addr, offset, size));
            }
            program_headers.extend(words32(&[*kind, *flags]));
            let align = if *kind == 1 { 0x1000 } else { 4 };
            program_headers.extend(words(&[offset, *addr, *addr, size, size, align]));
        }
        let (section_headers, count) = self.section_headers(&mut body, &loads, place);
        let at = place(&mut body, &section_headers);
        let mut file = self.header(at, count);
        file.extend(program_headers);
        file.resize(headers.next_multiple_of(16), 0);
        file.extend(body);
        file
    }

    fn header(&self, sections_at: u64, sections: u16) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend([self.kind, self.machine].iter().flat_map(|v| v.to_le_bytes()));
        file.extend(words32(&[1]));
        file.extend(words(&[TEXT, 64, if sections == 0 { 0 } else { sections_at }]));
        file.extend(words32(&[0]));
        let last = sections.saturating_sub(1);
        let sizes = [64, 56, u16::try_from(self.segments.len()).unwrap(), 64, sections, last];
        file.extend(sizes.iter().flat_map(|v| v.to_le_bytes()));
        file
    }

    fn section_headers(
        &self,
        body: &mut Vec<u8>,
        loads: &[(u64, u64, u64)],
        place: impl Fn(&mut Vec<u8>, &[u8]) -> u64,
    ) -> (Vec<u8>, u16) {
        if self.sections.is_empty() && self.loaded.is_empty() {
            return (Vec::new(), 0);
        }
        let mut names = vec![0];
        let mut headers = vec![0; 64];
        let mut add = |name: &str, kind: u32, flags: u64, addr: u64, offset: u64, size: u64, link: u32| {
            headers.extend(words32(&[u32::try_from(names.len()).unwrap(), kind]));
            headers.extend(words(&[flags, addr, offset, size]));
            headers.extend(words32(&[link, 0]));
            headers.extend(words(&[4, if kind == 2 { 24 } else { 0 }]));
            names.extend_from_slice(name.as_bytes());
            names.push(0);
            names.clone()
        };
        for (i, (name, kind, flags, bytes)) in self.sections.iter().enumerate() {
            let offset = place(body, bytes);
            // A symbol table (type 2) links to the section that follows it, its names.
            let link = if *kind == 2 { u32::try_from(i).unwrap() + 2 } else { 0 };
            add(name, *kind, *flags, 0, offset, bytes.len() as u64, link);
        }
        for (name, addr, size) in &self.loaded {
            let (start, offset, _) =
                loads.iter().find(|(start, _, len)| addr >= start && addr - start < *len).unwrap();
            add(name, 1, 2, *addr, offset + (addr - start), *size, 0);
        }
        // Twice, because the table of names holds its own name.
        let strings = add(".shstrtab", 3, 0, 0, 0, 0, 0);
        let offset = place(body, &strings);
        let last = headers.len() - 64;
        headers[last + 24..last + 40].copy_from_slice(&words(&[offset, strings.len() as u64]));
        let count = u16::try_from(headers.len() / 64).unwrap();
        (headers, count)
    }
}

pub(super) fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(super) fn words32(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// An ELF note.
pub(super) fn note(name: &[u8], kind: u32, content: &[u8]) -> Vec<u8> {
    let mut note =
        words32(&[u32::try_from(name.len()).unwrap() + 1, u32::try_from(content.len()).unwrap(), kind]);
    note.extend_from_slice(name);
    note.push(0);
    note.resize(note.len().next_multiple_of(4), 0);
    note.extend_from_slice(content);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

/// A function of [`Table`].
#[derive(Clone, Debug, Default)]
pub(super) struct Func {
    pub(super) name: &'static str,
    /// Bytes of code, and bytes up to the next function.
    pub(super) size: u32,
    pub(super) padded: u32,
    /// File number (see [`FILES`]) and bytes of code, run by run.
    pub(super) files: Vec<(i32, u32)>,
    /// Line and bytes of code, run by run.
    pub(super) lines: Vec<(i32, u32)>,
    /// Index in the inline tree (−1: not inlined) and bytes of code, run by run.
    pub(super) inlined: Vec<(i32, u32)>,
    /// The inline tree: name, and the offset in the function at which it is called.
    pub(super) tree: Vec<(&'static str, i32)>,
    /// Which of its stack maps holds (−1: that of its entry) and bytes of code, run by run.
    pub(super) stack_maps: Vec<(i32, u32)>,
    /// What the compiler notes of pointers: of arguments, of locals, of variables on the stack.
    pub(super) pointers: [Option<Vec<u8>>; 3],
    /// Bytes of arguments on the stack.
    pub(super) args_size: u32,
}

/// The files that functions number.
pub(super) const FILES: [&str; 3] = ["/src/main.go", "/src/other.go", "<autogenerated>"];

impl Func {
    /// A function of one line in one file, without inlined calls.
    pub(super) fn plain(name: &'static str, size: u32, file: i32, line: i32) -> Self {
        let (files, lines) = (vec![(file, size)], vec![(line, size)]);
        Self { name, size, padded: size.next_multiple_of(16), files, lines, ..Self::default() }
    }
}

/// A function table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) generation: Generation,
    /// The text start in the header; 0 as from Go 1.26 on.
    pub(super) header_text: u64,
    pub(super) functions: Vec<Func>,
}

impl Table {
    /// The table, and the inline trees as `go:func.*` holds them.
    pub(super) fn build(&self) -> (Vec<u8>, Vec<u8>) {
        let is_old = self.generation == Generation::Go118;
        let mut names = Vec::new();
        let mut name_at = |name: &str| {
            let at = u32::try_from(names.len()).unwrap();
            names.extend_from_slice(name.as_bytes());
            names.push(0);
            at
        };
        // Offset 0 of the values means none.
        let mut values = vec![0];
        let mut files = Vec::new();
        let units: Vec<u32> = FILES.iter().map(|file| string_at(&mut files, file)).collect();
        let mut trees = vec![0; 8];
        let mut index = Vec::new();
        let mut records = Vec::new();
        let records_at = 8 * self.functions.len() + 8;
        let mut entry = 0;
        for function in &self.functions {
            index.extend(words32(&[entry, u32::try_from(records_at + records.len()).unwrap()]));
            let name = name_at(function.name);
            let stack = values_at(&mut values, &[(8, function.size)]);
            let file = values_at(&mut values, &function.files);
            let line = values_at(&mut values, &function.lines);
            let inlined = values_at(&mut values, &function.inlined);
            let stack_maps = values_at(&mut values, &function.stack_maps);
            records.extend(words32(&[entry, name, function.args_size, 0, stack, file, line, 3, 0]));
            if !is_old {
                records.extend(function.lines.first().map_or([0; 4], |(line, _)| line.to_le_bytes()));
            }
            records.extend([0, 0, 0, 4]);
            let tree = if function.tree.is_empty() { u32::MAX } else { u32::try_from(trees.len()).unwrap() };
            records.extend(words32(&[0, stack_maps, inlined]));
            for (name, call) in &function.tree {
                let name = name_at(name);
                let call = call.cast_unsigned();
                trees.extend(words32(&if is_old {
                    vec![0, 0, 0, name, call]
                } else {
                    vec![0, name, call, 0]
                }));
            }
            for notes in &function.pointers {
                let at = notes.as_ref().map(|_| u32::try_from(trees.len()).unwrap());
                records.extend(words32(&[at.unwrap_or(u32::MAX)]));
                trees.extend(notes.iter().flatten());
            }
            records.extend(words32(&[tree]));
            entry += function.padded;
        }
        index.extend(words32(&[entry, 0]));
        index.extend(records);
        let units = words32(&units);
        let mut table = words32(&[if is_old { 0xffff_fff0 } else { 0xffff_fff1 }, 0x0801_0000]);
        let mut starts = vec![72];
        for part in [&names, &units, &files, &values] {
            starts.push(starts.last().unwrap() + part.len() as u64);
        }
        table.extend(words(&[self.functions.len() as u64, FILES.len() as u64, self.header_text]));
        table.extend(words(&starts));
        for part in [names, units, files, values, index] {
            table.extend(part);
        }
        (table, trees)
    }
}

fn string_at(strings: &mut Vec<u8>, text: &str) -> u32 {
    let at = u32::try_from(strings.len()).unwrap();
    strings.extend_from_slice(text.as_bytes());
    strings.push(0);
    at
}

/// Appends a pc-value table: from −1 and the entry, zig-zag value deltas and lengths, up to a zero.
fn values_at(values: &mut Vec<u8>, runs: &[(i32, u32)]) -> u32 {
    if runs.is_empty() {
        return 0;
    }
    let at = u32::try_from(values.len()).unwrap();
    let mut last = -1;
    for &(value, length) in runs {
        let delta = value - last;
        varint(values, ((delta << 1) ^ (delta >> 31)).cast_unsigned());
        varint(values, length);
        last = value;
    }
    values.push(0);
    at
}

pub(super) fn varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A whole small Go program: text, function table, types, build info, module data.
#[derive(Clone, Debug)]
pub(super) struct GoFile {
    pub(super) elf: Elf,
    pub(super) table: Table,
    /// As the build info states it; `None` leaves the build info out.
    pub(super) version: Option<&'static str>,
    /// Word numbers of types, etypes, rodata and gofunc in the module data.
    pub(super) layout: [usize; 4],
    /// Keeps section headers.
    pub(super) has_sections: bool,
    /// Code, instead of `ret` all over.
    pub(super) code: Vec<u8>,
}

/// Address of the descriptor of type `main.order` in [`GoFile`].
pub(super) const ORDER_TYPE: u64 = RODATA + 0x40;

impl Default for GoFile {
    fn default() -> Self {
        let main = Func {
            files: vec![(0, 8), (1, 16), (0, 16)],
            lines: vec![(10, 8), (7, 8), (3, 8), (12, 16)],
            inlined: vec![(-1, 8), (0, 8), (1, 8), (-1, 16)],
            // `inner` is called at 8 of `middle`, which is called at 4 of main.
            tree: vec![("main.middle", 4), ("main.inner", 8)],
            ..Func::plain("main.main", 40, 0, 10)
        };
        let functions = vec![
            Func::plain("runtime.first", 16, 0, 1),
            Func::plain("main.both", 10, 2, 1),
            Func::plain("main.both", 30, 1, 20),
            main,
            Func::plain("runtime.last", 5, 0, 99),
        ];
        Self {
            elf: Elf::default(),
            table: Table { generation: Generation::Go120, header_text: TEXT, functions },
            version: Some("go1.22.5"),
            layout: [37, 38, 39, 40],
            has_sections: true,
            code: vec![0xc3; 0x200],
        }
    }
}

impl GoFile {
    pub(super) fn build(&self) -> Vec<u8> {
        let mut rodata = types();
        rodata.resize(0x200, 0);
        let table_at = RODATA + rodata.len() as u64;
        let (table, trees) = self.table.build();
        rodata.extend(&table);
        rodata.resize(rodata.len().next_multiple_of(8), 0);
        let trees_at = RODATA + rodata.len() as u64;
        rodata.extend(&trees);

        let mut data = self.version.map_or_else(Vec::new, build_info);
        data.resize(data.len().next_multiple_of(16), 0);
        let info = data.len() as u64;
        let text_size: u64 = self.table.functions.iter().map(|f| u64::from(f.padded)).sum();
        let mut module = vec![0; 64];
        module[0] = table_at;
        module[20..24].copy_from_slice(&[TEXT, TEXT + text_size, TEXT, TEXT + text_size]);
        for (&word, value) in self.layout.iter().zip([RODATA, RODATA + 0x200, RODATA, trees_at]) {
            module[word] = value;
        }
        data.extend(words(&module));

        let mut elf = self.elf.clone();
        elf = elf.load(TEXT, READ_EXEC, &self.code).load(RODATA, READ, &rodata).load(DATA, READ_WRITE, &data);
        if self.has_sections {
            elf.loaded.push((".gopclntab", table_at, table.len() as u64));
            elf.loaded.push((".noptrdata", DATA + info, 512));
            if self.version.is_some() {
                elf.loaded.push((".go.buildinfo", DATA, info));
            }
        }
        elf.build()
    }
}

/// Two descriptors, and the names behind them: `main.order` with an extra star, `chan int` without.
fn types() -> Vec<u8> {
    let mut types = vec![0; 0xc0];
    for (descriptor, flags, name) in [(0x40, 2, 0xc0_u32), (0x80, 0, 0xd0)] {
        types[descriptor + 20] = flags;
        types[descriptor + 40..descriptor + 44].copy_from_slice(&name.to_le_bytes());
    }
    types.extend(b"\0\x0b*main.order");
    types.resize(0xd0, 0);
    types.extend(b"\0\x08chan int");
    types
}

/// Build info in the inline form, with a module and some settings.
pub(super) fn build_info(version: &str) -> Vec<u8> {
    let text = "path\texample.com/shop/cmd/shop\nmod\texample.com/shop\tv1.2.3\th1:abc=\n\
                dep\tgolang.org/x/sync\tv0.7.0\th1:def=\nbuild\t-ldflags=\"-s -w -X main.v=\\\"1\\\"\"\n\
                build\tCGO_ENABLED=1\n";
    let mut info = b"\xff Go buildinf:\x08\x02".to_vec();
    info.resize(32, 0);
    varint(&mut info, u32::try_from(version.len()).unwrap());
    info.extend(version.as_bytes());
    varint(&mut info, u32::try_from(text.len()).unwrap() + 32);
    info.extend(b"\x30\x77\xaf\x0c\x92\x74\x08\x02\x41\xe1\xc1\x07\xe6\xd6\x18\xe6");
    info.extend(text.as_bytes());
    info.extend(b"\xf9\x32\x43\x31\x86\x18\x20\x72\x00\x82\x42\x10\x41\x16\xd8\xf2");
    info
}
