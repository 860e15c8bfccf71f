//! What the fuzz targets share: an ELF executable around the bytes under test ([`executable`]), the smallest Go executable
//! ([`program`]), and a process of it whose memory lies ([`process`]).
//!
//! In: sections; out: a file as a Go linker would lay it out, each section in a loadable segment, so that a parser
//! that is given the file meets the fuzzed bytes as it does in life.

pub mod process;
pub mod program;

/// Where the sections' addresses start.
pub const BASE: u64 = 0x40_0000;

/// Address of the first byte of the section at `index` in [`executable`]; sections are a megabyte apart.
#[must_use]
pub const fn address_of(index: usize) -> u64 {
    BASE + ((index as u64) << 20)
}

/// A name in the ELF symbol table.
pub struct Symbol {
    /// Its name.
    pub name: &'static str,
    /// Its address.
    pub address: u64,
    /// Its size, in bytes.
    pub size: u64,
    /// A function (`STT_FUNC`), else a variable (`STT_OBJECT`).
    pub is_function: bool,
}

/// An ELF64 little-endian x86-64 executable with these sections, named and loaded; the first is executable.
#[must_use]
pub fn executable(sections: &[(&str, &[u8])]) -> Vec<u8> {
    executable_with_symbols(sections, &[])
}

/// As [`executable`], with a symbol table, unless `symbols` is empty.
#[must_use]
pub fn executable_with_symbols(sections: &[(&str, &[u8])], symbols: &[Symbol]) -> Vec<u8> {
    const EHDR: usize = 64;
    const PHDR: usize = 56;
    const SHDR: usize = 64;
    let data_start = EHDR + PHDR * sections.len();
    let mut names = b"\0".to_vec();
    let mut file = vec![0; data_start];
    let mut headers = vec![0; SHDR];
    for (index, (name, bytes)) in sections.iter().enumerate() {
        let offset = file.len() as u64;
        let (address, length) = (address_of(index), bytes.len() as u64);
        file.extend_from_slice(bytes);
        let flags: u32 = if index == 0 { 5 } else { 6 };
        // Elf64_Phdr: type, flags, offset, vaddr, paddr, filesz, memsz, align.
        let at = EHDR + PHDR * index;
        file[at..at + 4].copy_from_slice(&1_u32.to_le_bytes());
        file[at + 4..at + 8].copy_from_slice(&flags.to_le_bytes());
        words(&mut file[at + 8..at + PHDR], &[offset, address, address, length, length, 1]);
        headers.extend(section_header(names.len(), 1, address, offset, length));
        names.extend_from_slice(name.as_bytes());
        names.push(0);
    }
    if !symbols.is_empty() {
        let (entries, strings) = symbol_table(symbols);
        for (name, kind, bytes) in [(&b".symtab\0"[..], 2, entries), (b".strtab\0", 3, strings)] {
            let mut header = section_header(names.len(), kind, 0, file.len() as u64, bytes.len() as u64);
            if kind == 2 {
                // Its names are in the section that follows; an entry has 24 bytes.
                header[40] = sections.len() as u8 + 2;
                header[56] = 24;
            }
            headers.extend(header);
            names.extend_from_slice(name);
            file.extend_from_slice(&bytes);
        }
    }
    let names_name = names.len();
    names.extend_from_slice(b".shstrtab\0");
    headers.extend(section_header(names_name, 3, 0, file.len() as u64, names.len() as u64));
    file.extend_from_slice(&names);
    let section_headers = file.len() as u64;
    file.extend_from_slice(&headers);

    file[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    // e_type EXEC, e_machine X86_64, e_version.
    file[16..24].copy_from_slice(&[2, 0, 62, 0, 1, 0, 0, 0]);
    words(&mut file[24..48], &[address_of(0), EHDR as u64, section_headers]);
    let (count, all) = (sections.len() as u16, (headers.len() / SHDR) as u16);
    let halves = [EHDR as u16, PHDR as u16, count, SHDR as u16, all, all - 1];
    for (at, half) in (52..).step_by(2).zip(halves) {
        file[at..at + 2].copy_from_slice(&half.to_le_bytes());
    }
    file
}

/// Elf64_Sym (name, info, other, section, value, size) of each symbol, after the empty first one, and their names.
fn symbol_table(symbols: &[Symbol]) -> (Vec<u8>, Vec<u8>) {
    let (mut entries, mut names) = (vec![0; 24], vec![0]);
    for symbol in symbols {
        entries.extend((names.len() as u32).to_le_bytes());
        entries.extend([if symbol.is_function { 0x12 } else { 0x11 }, 0, 1, 0]);
        entries.extend(symbol.address.to_le_bytes());
        entries.extend(symbol.size.to_le_bytes());
        names.extend_from_slice(symbol.name.as_bytes());
        names.push(0);
    }
    (entries, names)
}

/// Elf64_Shdr: name, type, flags (ALLOC), addr, offset, size, link, info, addralign, entsize.
fn section_header(name: usize, kind: u32, address: u64, offset: u64, size: u64) -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..4].copy_from_slice(&(name as u32).to_le_bytes());
    header[4..8].copy_from_slice(&kind.to_le_bytes());
    words(&mut header[8..40], &[u64::from(address != 0) * 2, address, offset, size]);
    words(&mut header[48..56], &[1]);
    header
}

fn words(into: &mut [u8], values: &[u64]) {
    for (slot, value) in into.chunks_exact_mut(8).zip(values) {
        slot.copy_from_slice(&value.to_le_bytes());
    }
}

/// Sections in one input: lengths of all but the last (little-endian, four bytes each), then the bytes.
pub fn split<const N: usize>(input: &[u8]) -> Option<[&[u8]; N]> {
    let (lengths, mut rest) = input.split_at_checked(4 * (N - 1))?;
    let mut sections = [&[][..]; N];
    for (section, length) in sections.iter_mut().zip(lengths.chunks_exact(4)) {
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        (*section, rest) = rest.split_at(length.min(rest.len()));
    }
    sections[N - 1] = rest;
    Some(sections)
}

/// The inverse of [`split`].
#[must_use]
pub fn join<const N: usize>(sections: [&[u8]; N]) -> Vec<u8> {
    let lengths = sections[..N - 1].iter().flat_map(|section| (section.len() as u32).to_le_bytes());
    lengths.chain(sections.concat()).collect()
}
