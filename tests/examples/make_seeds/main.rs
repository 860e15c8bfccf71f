//! Writes the committed seeds of the fuzz targets: `make_seeds GO_EXECUTABLE` (see tests/fuzz/README.md).
//!
//! In: any Go executable, of which the seeds take the instructions of the probed functions; out: `tests/fuzz/seeds/`. Everything
//! else is too large in a real program to start a fuzzer from, so it is written here in the smallest valid form.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use goflow_common::event::{Header, channel, goroutine, park, select, sync};
use goflow_common::probe::ProbeId;
use goflow_user::binary::GoBinary;
use goflow_user::binary::buildinfo::BuildInfo;
use goflow_user::binary::elf::Image;
use goflow_user::binary::offsets::{DwarfError, Offsets};
use goflow_user::ingest::decode::decode;

use fuzz::program::{Data, Form, Func, inline_build_info, program, table};
use fuzz::{address_of, executable, join};

mod processes;

#[path = "../../fuzz/src/lib.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "a library of the fuzz targets, which take apart what is put together here"
)]
mod fuzz;

fn main() -> Result<()> {
    let go_executable = std::env::args_os().nth(1).context("usage: make-seeds GO_EXECUTABLE")?;
    probe_sites(Path::new(&go_executable))?;
    ring_records()?;
    processes::write_all()?;
    for (name, form) in [("go1.18", Form::Go118), ("go1.20", Form::Go120), ("go1.26", Form::Go126)] {
        // The second has a call inlined into it.
        let functions = [("runtime.gopark", true), ("main.main", true)];
        let functions =
            functions.map(|(name, is_inlined_into)| Func { name, is_inlined_into, ..Func::default() });
        let file = program(name, form, &functions, &[], &Data::default());
        is_read(name, &file)?;
        write("pclntab", name, &table(form, &functions))?;
        write("elf", name, &file)?;
        write("elf", &format!("{name}-without-sections"), &without_section_table(file))?;
    }
    let inline = inline_build_info("go1.26");
    states_its_version("go1.26", &inline, b"")?;
    write("buildinfo", "inline", &join([&inline, b""]))?;
    let (pointers, strings) = pointer_build_info("go1.17.13");
    states_its_version("go1.17.13", &pointers, &strings)?;
    write("buildinfo", "pointers", &join([&pointers, &strings]))?;
    for version in [4, 5] {
        write("dwarf_offsets", &format!("dwarf{version}"), &debug_information(version)?)?;
    }
    Ok(())
}

/// A seed that is refused at the door would lead a fuzzer nowhere.
fn is_read(name: &str, file: &[u8]) -> Result<()> {
    let binary = GoBinary::parse(file).with_context(|| name.to_owned())?;
    let table = binary.pclntab().map_err(|why| anyhow!("{name}: {why}"))?;
    ensure!(table.find_name("main.main").is_some(), "{name}: no function in its table");
    Ok(())
}

fn states_its_version(version: &str, info: &[u8], elsewhere: &[u8]) -> Result<()> {
    let file = executable(&[(".text", &[0xc3]), (".go.buildinfo", info), (".data", elsewhere)]);
    let image = Image::parse(&file)?;
    let found = BuildInfo::find(&image).map(|info| info.version_text);
    ensure!(found == Some(version), "says {found:?}");
    Ok(())
}

fn write(target: &str, name: &str, bytes: &[u8]) -> Result<()> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    fs::create_dir_all(&directory)?;
    Ok(fs::write(directory.join(name), bytes)?)
}

fn probe_sites(go_executable: &Path) -> Result<()> {
    let bytes = fs::read(go_executable)?;
    let binary = GoBinary::parse(&bytes)?;
    for name in ["gopark", "newproc1", "ready", "goexit0", "makechan", "chansend", "closechan", "selectgo"] {
        let function = binary.function(&format!("runtime.{name}")).with_context(|| format!("no {name}"))?;
        let code = binary.code(&function.range).with_context(|| format!("no code of {name}"))?;
        write("probe_site", name, &code[..code.len().min(1024)])?;
    }
    Ok(())
}

fn ring_records() -> Result<()> {
    for probe in ProbeId::ALL {
        let header = Header {
            t_ns: 1,
            goid: 7,
            ip: 0x40_1000,
            pid: 100,
            tid: 101,
            probe: probe as _,
            ..Header::default()
        };
        let bytes = match probe {
            ProbeId::Newproc1 => {
                record(&goroutine::GoroutineCreate { header, child: 8, created_pc: 1, start_pc: 2 })
            }
            ProbeId::Goexit0 => record(&goroutine::GoroutineExit { header }),
            ProbeId::Gopark => {
                let park = park::Park { header, lock: 3, wait_reason: 4, depth: 2 };
                [record(&park), vec![5; 8 * park::SHORT_STACK]].concat()
            }
            ProbeId::Ready | ProbeId::NetpollReady => record(&park::Ready { header, target: 9 }),
            ProbeId::Makechan => record(&channel::ChanMake { header, chan: 1, cap: 2, ..Default::default() }),
            ProbeId::Chansend | ProbeId::Chanrecv | ProbeId::Closechan => {
                record(&channel::ChanOp { header, chan: 1, site_pc: 2 })
            }
            ProbeId::Selectgo => {
                record(&select::Select { header, sends: 1, receives: 2, ..Default::default() })
            }
            ProbeId::Semacquire1
            | ProbeId::MutexLockSlow
            | ProbeId::RwMutexLock
            | ProbeId::WaitGroupWait
            | ProbeId::NotifyListWait => record(&sync::SyncWait { header, addr: 1, ..Default::default() }),
            ProbeId::WaitGroupAdd => {
                record(&sync::WaitGroupAdd { header, addr: 1, delta: 1, has_state: 1, ..Default::default() })
            }
        };
        ensure!(
            decode(&bytes).is_ok_and(|decoded| decoded.probe == probe),
            "{probe:?}: {:?}",
            decode(&bytes)
        );
        write("ring_records", &format!("{probe:?}").to_lowercase(), &bytes)?;
    }
    Ok(())
}

fn record<T: bytemuck::Pod>(record: &T) -> Vec<u8> {
    bytemuck::bytes_of(record).to_vec()
}

/// The form up to 1.17: pointers to string headers, here in the section that follows.
fn pointer_build_info(version: &str) -> (Vec<u8>, Vec<u8>) {
    let elsewhere = address_of(2);
    let mut info = b"\xff Go buildinf:\x08\0".to_vec();
    info.extend(elsewhere.to_le_bytes());
    info.extend(elsewhere.to_le_bytes());
    let mut strings = (elsewhere + 16).to_le_bytes().to_vec();
    strings.extend((version.len() as u64).to_le_bytes());
    strings.extend_from_slice(version.as_bytes());
    (info, strings)
}

/// The same file with no section headers: e_shoff, e_shnum and e_shstrndx are zero.
fn without_section_table(mut file: Vec<u8>) -> Vec<u8> {
    file[40..48].fill(0);
    file[60..64].fill(0);
    file
}

/// Debug information that describes every struct and field that goflow wants, found by asking until it is content.
fn debug_information(version: u16) -> Result<Vec<u8>> {
    let mut structs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    // More rounds than there are fields.
    for _ in 0..1000 {
        let (abbrev, info) = unit(version, &structs);
        let load = |name: &str| match name {
            ".debug_abbrev" => Some(Cow::Borrowed(&abbrev[..])),
            ".debug_info" => Some(Cow::Borrowed(&info[..])),
            _ => None,
        };
        match Offsets::from_dwarf(&load) {
            Ok(_) => return Ok(join([&abbrev, b"", &info])),
            Err(DwarfError::NoStruct(name)) => drop(structs.insert(name, Vec::new())),
            Err(DwarfError::NoField { strukt, field }) => structs.entry(strukt).or_default().push(field),
            Err(other) => bail!("{other}"),
        }
    }
    bail!("never content with {structs:?}")
}

/// One compile unit of package runtime (DWARF 4 section 7.5, DWARF 5 section 7.5).
fn unit(version: u16, structs: &BTreeMap<&str, Vec<&str>>) -> (Vec<u8>, Vec<u8>) {
    // code, tag, children, (attribute, form)…, 0, 0. Forms: 8 string, 0xb data1, 0xf udata, 0x13 ref4.
    let abbreviations: [&[u8]; 7] = [
        &[1, 0x11, 1, 3, 8, 0x13, 0xb, 0, 0], // compile unit: name, language
        &[2, 0x13, 1, 3, 8, 0xb, 0xf, 0, 0],  // structure: name, byte size
        &[3, 0xd, 0, 3, 8, 0x38, 0xf, 0x49, 0x13, 0, 0], // member: name, location, type
        &[4, 0x24, 0, 3, 8, 0xb, 0xf, 0, 0],  // base type: name, byte size
        &[5, 0x34, 0, 3, 8, 0x49, 0x13, 0, 0], // variable: name, type
        &[6, 1, 1, 0xb, 0xf, 0, 0],           // array: byte size
        &[7, 0x21, 0, 0x37, 0xf, 0, 0],       // subrange: count
    ];
    let abbrev = [&abbreviations.concat()[..], &[0]].concat();
    let mut unit = Unit { bytes: Vec::new() };
    unit.bytes.extend(version.to_le_bytes());
    if version >= 5 {
        unit.bytes.extend([1, 8, 0, 0, 0, 0]); // DW_UT_compile, address size, abbreviations at 0
    } else {
        unit.bytes.extend([0, 0, 0, 0, 8]);
    }
    unit.entry(1, "runtime");
    unit.bytes.push(0x16); // DW_LANG_Go
    let word = unit.position();
    unit.entry(4, "uint64");
    unit.bytes.push(8);
    for (name, fields) in structs {
        unit.structure(name, fields, word);
    }
    let array = unit.position();
    unit.bytes.extend([6, 0x80, 2, 7, 4, 0]); // 256 bytes of 4 elements
    unit.entry(5, "runtime.semtable");
    unit.reference(array);
    unit.bytes.push(0);
    let length = unit.bytes.len() as u32;
    (abbrev, [&length.to_le_bytes()[..], &unit.bytes].concat())
}

struct Unit {
    bytes: Vec<u8>,
}

impl Unit {
    /// Offset from the unit's start, which is its length field.
    fn position(&self) -> u32 {
        self.bytes.len() as u32 + 4
    }

    fn entry(&mut self, abbreviation: u8, name: &str) {
        self.bytes.push(abbreviation);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
    }

    fn reference(&mut self, to: u32) {
        self.bytes.extend(to.to_le_bytes());
    }

    /// A struct with these fields, one word each; the types of dotted paths are structs in front of it.
    fn structure(&mut self, name: &str, fields: &[&str], word: u32) {
        let mut members: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for field in fields.iter().filter(|field| **field != "sizeof") {
            let (outer, inner) = field.split_once('.').unwrap_or((field, ""));
            let inners = members.entry(outer).or_default();
            inners.extend((!inner.is_empty()).then_some(inner));
        }
        let mut types = BTreeMap::new();
        for (outer, inners) in members.iter().filter(|(_, inners)| !inners.is_empty()) {
            types.insert(*outer, self.position());
            self.structure(&format!("{name}.{outer}"), inners, word);
        }
        self.entry(2, name);
        self.bytes.push(64);
        for (index, member) in members.keys().enumerate() {
            self.entry(3, member);
            self.bytes.push((8 * index as u8) & 0x7f);
            self.reference(types.get(member).copied().unwrap_or(word));
        }
        self.bytes.push(0);
    }
}
