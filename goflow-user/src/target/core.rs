//! The memory of a process that left a core file.
//!
//! In: the file, and the executable it is of. Out: a [`Memory`], the load bias and what the notes say of the process. A core
//! leaves out what the kernel can have from files, so addresses that it does not hold are looked for in the executable's own
//! read-only segments. Every offset in the file is untrusted: a segment that the file does not hold is no memory.

use super::Pid;
use super::executable::open_at_once;
use super::memory::{Memory, MemoryError, Registers, Run};
use crate::binary::GoBinary;
use crate::binary::addr::{LoadBias, RuntimeAddr};
use crate::binary::read::{c_str, u32_at, u64_at};
use memmap2::Mmap;
use object::Endianness;
use object::elf::{
    EM_X86_64, ET_CORE, FileHeader64, NT_AUXV, NT_FILE, NT_PRPSINFO, NT_PRSTATUS, PT_LOAD, PT_NOTE,
};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// `AT_ENTRY` of the auxiliary vector: where the program's first instruction is (linux/auxvec.h).
const AT_ENTRY: u64 = 9;

/// Offset of `pr_pid` in `struct elf_prpsinfo` (linux/elfcore.h), 64 bits.
const PRPSINFO_PID: usize = 24;

/// Offset of `pr_pid`, a thread's id, in `struct elf_prstatus` (linux/elfcore.h), 64 bits.
const PRSTATUS_PID: usize = 32;

/// Offset of `pr_reg` in `struct elf_prstatus`.
const PRSTATUS_REGISTERS: usize = 112;

/// Offsets of `rbp`, `rip` and `rsp` in `struct user_regs_struct` of x86-64 (sys/user.h).
const RBP: usize = 4 * 8;
const RIP: usize = 16 * 8;
const RSP: usize = 19 * 8;

/// Longest path in a core.
const LONGEST_PATH: usize = 4096;

/// Most mappings that are looked at for the executable.
const MOST_FILES: u64 = 1 << 20;

/// Why a core file cannot be read.
#[derive(Debug, Error)]
pub enum CoreError {
    /// It cannot be opened or mapped.
    #[error("{path}: {error}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Its bytes are no core file that goflow can read.
    #[error("{path} is not a core file of a 64-bit process: {why}")]
    NotCore {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It is one, but ends before what its headers announce of its description of the process.
    #[error("{path} is a core file that is cut short: it has {size} bytes, and {what} ends at byte {end}")]
    Cut {
        /// The file.
        path: PathBuf,
        /// Its size, in bytes.
        size: u64,
        /// What is not whole.
        what: &'static str,
        /// Where that should end.
        end: u64,
    },
    /// It does not say where the executable was loaded.
    #[error("{path} does not say where the program was loaded: {why}")]
    NoBias {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: &'static str,
    },
    /// It is of another program.
    #[error(
        "{path} is of another program: its entry is at {entry}, which is not where {binary} would have it"
    )]
    OtherProgram {
        /// The file.
        path: PathBuf,
        /// Entry in the core.
        entry: RuntimeAddr,
        /// The executable that was given.
        binary: PathBuf,
    },
}

/// A piece of memory that the file holds.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u64,
    /// Offset in the file.
    offset: u64,
    /// Bytes in the file; as many as it really has.
    len: u64,
}

/// An opened core file.
#[derive(Debug)]
pub struct CoreFile {
    path: PathBuf,
    map: Mmap,
    /// By address.
    pieces: Vec<Piece>,
    entry: Option<u64>,
    executable: Option<PathBuf>,
    pid: Option<Pid>,
    /// By the kernel's id of the thread.
    threads: HashMap<u64, Registers>,
    truncated: bool,
}

impl CoreFile {
    /// Opens the core file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn open(path: &Path) -> Result<Self, CoreError> {
        let open = |error| CoreError::Open { path: path.into(), error };
        let file = open_at_once(path).map_err(open)?;
        if !file.metadata().map_err(open)?.is_file() {
            return Err(open(io::Error::other("not a regular file")));
        }
        // SAFETY: the mapping is private and read-only; a core that is truncated meanwhile raises SIGBUS, which ends goflow
        // (`executable::survive_truncation`).
        let map = unsafe { Mmap::map(&file) }.map_err(open)?;
        let mut core = Self {
            path: path.into(),
            map,
            pieces: Vec::new(),
            entry: None,
            executable: None,
            pid: None,
            threads: HashMap::new(),
            truncated: false,
        };
        let cut = core.cut();
        core.read_headers().map_err(|why| match cut {
            Some((what, end)) => CoreError::Cut { path: path.into(), size: core.map.len() as u64, what, end },
            None => CoreError::NotCore { path: path.into(), why },
        })?;
        Ok(core)
    }

    /// What of the headers and notes of a core lies beyond the end of the file, and where it should end.
    fn cut(&self) -> Option<(&'static str, u64)> {
        let data: &[u8] = &self.map;
        let header = FileHeader64::<Endianness>::parse(data).ok()?;
        let endian = header.endian().ok().filter(|&endian| header.e_type(endian) == ET_CORE)?;
        let size = data.len() as u64;
        let count = u64::from(header.e_phnum(endian));
        let end = header.e_phoff(endian).saturating_add(count * u64::from(header.e_phentsize(endian)));
        if end > size {
            return Some(("its list of segments", end));
        }
        let segments = header.program_headers(endian, data).ok()?;
        let notes = segments.iter().filter(|segment| segment.p_type(endian) == PT_NOTE);
        let ends = notes.map(|notes| notes.p_offset(endian).saturating_add(notes.p_filesz(endian)));
        ends.max().filter(|&end| end > size).map(|end| ("its description of the process", end))
    }

    fn read_headers(&mut self) -> Result<(), String> {
        let data: &[u8] = &self.map;
        let words = |error: object::Error| error.to_string();
        let header = FileHeader64::<Endianness>::parse(data).map_err(words)?;
        let endian = header.endian().map_err(words)?;
        if header.e_type(endian) != ET_CORE {
            return Err("it is an ELF file, but no core".to_owned());
        }
        let (mut pieces, mut notes) = (Vec::new(), Vec::new());
        let mut truncated = false;
        for segment in header.program_headers(endian, data).map_err(words)? {
            if segment.p_type(endian) == PT_LOAD {
                let (start, offset) = (segment.p_vaddr(endian), segment.p_offset(endian));
                let announced = segment.p_filesz(endian);
                let len = announced.min((data.len() as u64).saturating_sub(offset));
                truncated |= len < announced;
                pieces.push(Piece { start, offset, len });
            }
            if segment.p_type(endian) == PT_NOTE {
                let mut of_segment = segment.notes(endian, data).map_err(words)?;
                while let Some(found) = of_segment.as_mut().map(object::read::elf::NoteIterator::next) {
                    match found {
                        Ok(Some(note)) => notes.push((note.n_type(endian), note.desc().to_vec())),
                        Ok(None) => break,
                        Err(error) => return Err(error.to_string()),
                    }
                }
            }
        }
        pieces.retain(|piece| piece.len > 0);
        pieces.sort_unstable_by_key(|piece| piece.start);
        (self.pieces, self.truncated) = (pieces, truncated);
        let note = |kind| notes.iter().find(|(found, _)| *found == kind).map(|(_, desc)| desc.as_slice());
        self.entry = note(NT_AUXV).and_then(entry);
        self.executable = note(NT_FILE).zip(self.entry).and_then(|(files, entry)| file_at(files, entry));
        self.pid = note(NT_PRPSINFO).and_then(|info| u32_at(info, PRPSINFO_PID)).map(Pid);
        if header.e_machine(endian) == EM_X86_64 {
            let threads = notes.iter().filter(|(kind, _)| *kind == NT_PRSTATUS);
            self.threads = threads.filter_map(|(_, status)| thread(status)).collect();
        }
        Ok(())
    }

    /// The process it was.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// Path of the executable, as the process had it.
    #[must_use]
    pub fn executable(&self) -> Option<&Path> {
        self.executable.as_deref()
    }

    /// True when the file ends before what its headers announce, so that memory is missing.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Its memory, with what `binary`, the file at `path`, adds to it.
    ///
    /// # Errors
    /// It does not say where the program was loaded, or it was another program.
    pub fn memory<'c>(&'c self, binary: &'c GoBinary<'c>, path: &Path) -> Result<CoreMemory<'c>, CoreError> {
        let entry = self.entry.ok_or_else(|| CoreError::NoBias {
            path: self.path.clone(),
            why: "it has no auxiliary vector (NT_AUXV) with the program's entry",
        })?;
        let data = binary.image().data();
        let link = u64_at(data, 24).unwrap_or(0);
        let bias = LoadBias(entry.wrapping_sub(link));
        let possible = bias.0.is_multiple_of(4096) && (binary.is_pie() || bias.0 == 0);
        if !possible {
            let (path, binary) = (self.path.clone(), path.to_owned());
            return Err(CoreError::OtherProgram { path, entry: RuntimeAddr(entry), binary });
        }
        Ok(CoreMemory { core: self, binary, bias })
    }
}

/// The id of a thread and where it stands.
fn thread(status: &[u8]) -> Option<(u64, Registers)> {
    let word = |offset| u64_at(status, PRSTATUS_REGISTERS + offset);
    let registers = Registers { pc: word(RIP)?, sp: word(RSP)?, bp: word(RBP)? };
    Some((u64::from(u32_at(status, PRSTATUS_PID)?), registers))
}

/// The value of `AT_ENTRY`.
fn entry(auxv: &[u8]) -> Option<u64> {
    let mut pairs = auxv.chunks_exact(16);
    pairs.find(|pair| u64_at(pair, 0) == Some(AT_ENTRY)).and_then(|pair| u64_at(pair, 8))
}

/// The file that is mapped at `address`: `NT_FILE` has a count, a page size, triples of start, end and page, then the names
/// (linux/elfcore.h).
fn file_at(note: &[u8], address: u64) -> Option<PathBuf> {
    let count = u64_at(note, 0).filter(|&count| count <= MOST_FILES)?;
    let mut name = usize::try_from(count).ok()?.checked_mul(24)?.checked_add(16)?;
    for index in 0..usize::try_from(count).ok()? {
        let (start, end) = (u64_at(note, 16 + 24 * index)?, u64_at(note, 24 + 24 * index)?);
        let text = c_str(note, name, LONGEST_PATH)?;
        if (start..end).contains(&address) {
            return Some(PathBuf::from(text));
        }
        name += text.len() + 1;
    }
    None
}

/// The memory of a core file and its executable.
#[derive(Debug)]
pub struct CoreMemory<'c> {
    core: &'c CoreFile,
    binary: &'c GoBinary<'c>,
    bias: LoadBias,
}

impl CoreMemory<'_> {
    /// How far the loader had moved the executable.
    #[must_use]
    pub fn bias(&self) -> LoadBias {
        self.bias
    }

    /// The bytes from `address` on, as far as one piece has them.
    fn bytes_at(&self, address: u64) -> &[u8] {
        let pieces = &self.core.pieces;
        let after = pieces.partition_point(|piece| piece.start <= address);
        if let Some(piece) = after.checked_sub(1).map(|index| pieces[index]) {
            let skip = address - piece.start;
            if skip < piece.len {
                let range = (piece.offset + skip) as usize..(piece.offset + piece.len) as usize;
                return self.core.map.get(range).unwrap_or(&[]);
            }
        }
        // What the program wrote to is in the core, or nowhere.
        let link = self.bias.to_link(RuntimeAddr(address));
        let image = self.binary.image();
        let read_only = image.segments().iter().any(|segment| !segment.writable && segment.contains(link));
        if read_only { image.bytes_from(link).unwrap_or(&[]) } else { &[] }
    }
}

impl Memory for CoreMemory<'_> {
    fn registers(&self, tid: u64) -> Option<Registers> {
        self.core.threads.get(&tid).copied()
    }

    fn stands_still(&self) -> bool {
        true
    }

    fn read_runs(&self, runs: &mut [Run<'_>]) -> Result<(), MemoryError> {
        for run in runs {
            run.read = 0;
            while run.read < run.into.len() {
                let Some(address) = run.address.0.checked_add(run.read as u64) else { break };
                let bytes = self.bytes_at(address);
                let len = bytes.len().min(run.into.len() - run.read);
                if len == 0 {
                    break;
                }
                run.into[run.read..run.read + len].copy_from_slice(&bytes[..len]);
                run.read += len;
            }
        }
        Ok(())
    }
}
