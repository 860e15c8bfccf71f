//! What goflow reads out of a binary, held against what the Go runtime says about itself: every Go minor from 1.18 on, in
//! every way to build, with and without section headers.
//!
//! The program (`programs/positions`) prints stacks, positions all over its text and type names as the runtime resolves
//! them; goflow gets the file alone. Where there is DWARF, the layout of `runtime.moduledata` is held against it too.

use anyhow::{Context, Result, bail, ensure};
use gimli::{EndianSlice, LittleEndian};
use goflow_tests::printed_name;
use goflow_tests::programs::{Flavour, Program, go_versions};
use goflow_user::binary::GoBinary;
use goflow_user::binary::addr::{LinkAddr, LoadBias, RuntimeAddr};
use goflow_user::binary::buildinfo::Recognition;
use goflow_user::binary::dwarf;
use goflow_user::binary::frame::Frame;
use goflow_user::binary::symbols::SymbolSource;
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::Command;

/// Functions that every Go program has, and one of each kind of package path.
const FUNCTIONS: [&str; 8] = [
    "main.main",
    "main.printStack",
    "runtime.newproc1",
    "runtime.gopark",
    "runtime.chansend",
    "runtime.memmove",
    "sync.(*Mutex).Unlock",
    "runtime.asmcgocall",
];

fn main() {
    let mut tests = Vec::new();
    for go in go_versions() {
        for flavour in Flavour::MATRIX {
            let name =
                format!("go{go} {}: positions, inlined frames and types are the runtime's", flavour.name());
            tests.push(Trial::test(name, move || run(go, flavour, agrees_with_the_runtime)));
            let name =
                format!("go{go} {}: without section headers nothing but symbols is lost", flavour.name());
            tests.push(Trial::test(name, move || run(go, flavour, reads_program_headers_alone)));
        }
        let name = format!("go{go} plain: module data is where DWARF says");
        tests.push(Trial::test(name, move || run(go, Flavour::Plain, module_data_is_where_dwarf_says)));
        let name = format!("go{go} plain: ELF, DWARF and the function table name the same instructions");
        tests.push(Trial::test(name, move || run(go, Flavour::Plain, symbol_sources_agree)));
        let name = format!("go{go} plain: DWARF names the functions where the ELF table is gone");
        tests.push(Trial::test(name, move || {
            run(go, Flavour::Plain, dwarf_names_functions_where_elf_does_not)
        }));
        let name = format!("go{go} cgo: C has frames with file and line");
        tests.push(Trial::test(name, move || run(go, Flavour::Cgo, c_has_frames)));
        let name = format!("go{go} arm64: functions, version and types are read");
        tests.push(Trial::test(name, move || arm64(go).map_err(|error| format!("{error:?}").into())));
    }
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

/// One built program: its file, and what the runtime in it said.
struct Subject {
    go: &'static str,
    flavour: Flavour,
    file: Vec<u8>,
    said: String,
}

fn run(go: &'static str, flavour: Flavour, check: fn(&Subject) -> Result<()>) -> Result<(), Failed> {
    let test = || {
        let program = Program::named("positions").go(go).flavour(flavour).build()?;
        check(&Subject { go, flavour, file: std::fs::read(&program)?, said: output(&program)? })
    };
    test().map_err(|error| format!("{error:?}").into())
}

fn output(program: &Path) -> Result<String> {
    let output =
        Command::new(program).output().with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(output.status.success(), "{} ended with {}", program.display(), output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn agrees_with_the_runtime(subject: &Subject) -> Result<()> {
    let binary = GoBinary::parse(&subject.file)?;
    let version = binary.go_version().context("no Go version")?;
    ensure!(version.as_str() == format!("go{}", subject.go), "read as {version}");
    ensure!(
        binary.recognition() == Recognition::BuildInfoSection,
        "recognised by {:?}",
        binary.recognition()
    );
    ensure!(binary.is_pie() == (subject.flavour == Flavour::Pie), "PIE is {}", binary.is_pie());
    ensure!(binary.module() == Some("goflow.test/positions"), "module {:?}", binary.module());
    ensure!(binary.missing().is_empty(), "missing: {:?}", binary.missing());
    let source = if subject.flavour == Flavour::Stripped { SymbolSource::Pclntab } else { SymbolSource::Elf };
    ensure!(binary.symbol_source() == source, "symbols from {}", binary.symbol_source());
    // Whether a program without C that is linked externally gets runtime/cgo is the toolchain's choice.
    let cgo = binary.has_cgo();
    ensure!(
        subject.flavour == Flavour::External || cgo == Some(subject.flavour == Flavour::Cgo),
        "cgo is {cgo:?}"
    );
    subject.compare(&binary)
}

/// The file without what `sstrip` removes: nothing at run time needs it.
fn reads_program_headers_alone(subject: &Subject) -> Result<()> {
    let mut bare = subject.file.clone();
    // e_shoff; e_shnum and e_shstrndx of Elf64_Ehdr.
    bare[0x28..0x30].fill(0);
    bare[0x3c..0x40].fill(0);
    let binary = GoBinary::parse(&bare)?;
    ensure!(binary.recognition() == Recognition::BuildInfoMagic, "recognised by {:?}", binary.recognition());
    ensure!(binary.symbol_source() == SymbolSource::Pclntab, "symbols from {}", binary.symbol_source());
    let with_sections = GoBinary::parse(&subject.file)?;
    ensure!(binary.module_data() == with_sections.module_data(), "{:?}", binary.module_data());
    ensure!(binary.go_build_id() == with_sections.go_build_id(), "build id {:?}", binary.go_build_id());
    subject.compare(&binary)
}

impl Subject {
    /// Every line the program printed, against the same fact out of the file.
    fn compare(&self, binary: &GoBinary<'_>) -> Result<()> {
        let bias = self.bias(binary)?;
        let mut compared = [0_usize; 3];
        let mut differences = Vec::new();
        for (number, line) in self.said.lines().enumerate() {
            let fields: Vec<&str> = line.split('\t').collect();
            let (kind, expected, found) = match fields[..] {
                ["frame", pc, function, file, line] => {
                    let frames = binary.frames_of_call(bias.to_link(address(pc)?));
                    (0, format!("{function} {file}:{line}"), shown(frames.first()))
                }
                ["pc", pc, function, file, line] => {
                    let frames = binary.frames(bias.to_link(address(pc)?));
                    let found = shown(frames.first());
                    // The runtime takes the name at offset 0, which is as good as any other, for none.
                    let name = found.split_once(' ').map_or("", |(name, _)| name);
                    let function = if function.is_empty() { name } else { function };
                    (1, format!("{function} {file}:{line}"), found)
                }
                ["type", descriptor, name] => {
                    let found = binary.type_name(bias.to_link(address(descriptor)?));
                    (2, name.to_owned(), found.unwrap_or_default())
                }
                _ => continue,
            };
            compared[kind] += 1;
            if expected != found {
                differences.push(format!("line {}: the runtime says {expected}, goflow {found}", number + 1));
            }
        }
        ensure!(compared[0] > 20 && compared[1] > 400 && compared[2] == 9, "compared only {compared:?}");
        ensure!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
        self.compare_inlined_chain(binary, bias)
    }

    /// The first stack is one physical frame of `printStack` in a chain of inlined calls: the innermost return address
    /// alone must give the whole chain.
    fn compare_inlined_chain(&self, binary: &GoBinary<'_>, bias: LoadBias) -> Result<()> {
        let stack: Vec<Vec<&str>> = self
            .said
            .lines()
            .map(|line| line.split('\t').collect())
            .filter(|f: &Vec<_>| f[0] == "frame")
            .collect();
        let expected = ["main.inner", "main.middle", "main.outer", "main.main"];
        let spoken: Vec<&str> = stack[1..5].iter().map(|fields| fields[2]).collect();
        ensure!(spoken == expected, "the program's first stack is {spoken:?}");
        let frames = binary.frames_of_call(bias.to_link(address(stack[1][1])?));
        for (frame, fields) in frames.iter().zip(&stack[1..5]) {
            let line = format!("{} {}:{}", fields[2], fields[3], fields[4]);
            ensure!(shown(Some(frame)) == line, "{line}, goflow {}", shown(Some(frame)));
        }
        let inlined: Vec<bool> = frames.iter().map(|frame| frame.inlined).collect();
        ensure!(inlined == [true, true, true, false], "inlined: {inlined:?}");
        Ok(())
    }

    /// Where the loader put it, from one function that both sides know; zero unless it is a PIE.
    fn bias(&self, binary: &GoBinary<'_>) -> Result<LoadBias> {
        let (name, entry) = self
            .said
            .lines()
            .find_map(|line| line.strip_prefix("func\t")?.split_once('\t'))
            .context("the program printed no function")?;
        let link = binary.function(name).with_context(|| format!("{name} is not found"))?.range.start;
        let bias = LoadBias::between(link, address(entry)?);
        ensure!(
            bias.0.is_multiple_of(4096) && (binary.is_pie() || bias.0 == 0),
            "{name} is at {link}, and runs at {entry}"
        );
        Ok(bias)
    }
}

fn address(text: &str) -> Result<RuntimeAddr> {
    let digits = text.strip_prefix("0x").context("an address without 0x")?;
    Ok(RuntimeAddr(u64::from_str_radix(digits, 16)?))
}

/// A frame as the program prints it.
fn shown(frame: Option<&Frame<'_>>) -> String {
    let Some(frame) = frame else { return "nothing".to_owned() };
    let (file, line) = (frame.file.unwrap_or("?"), frame.line.unwrap_or(0));
    format!("{} {file}:{line}", printed_name(frame.function))
}

fn module_data_is_where_dwarf_says(subject: &Subject) -> Result<()> {
    let binary = GoBinary::parse(&subject.file)?;
    let module = binary.module_data().context("no module data")?;
    let symbol = binary.symbols().elf().and_then(|elf| elf.variable("runtime.firstmoduledata"));
    let start = symbol.map(|range| range.start);
    ensure!(start == Some(module.addr), "the symbol says {start:?}, found {}", module.addr);
    let fields = members(&binary, "runtime.moduledata")?;
    let expected = [
        ("minpc", Some(module.min_pc)),
        ("maxpc", Some(module.max_pc)),
        ("text", Some(module.text)),
        ("etext", Some(module.etext)),
        ("data", Some(module.data.start)),
        ("edata", Some(module.data.end)),
        ("bss", Some(module.bss.start)),
        ("ebss", Some(module.bss.end)),
        ("types", module.types),
        ("etypes", module.etypes),
        ("rodata", module.rodata),
        ("gofunc", module.gofunc),
    ];
    for (field, found) in expected {
        let (_, offset) =
            fields.iter().find(|(name, _)| name == field).with_context(|| format!("no {field}"))?;
        let stored = binary.image().pointer(LinkAddr(module.addr.0 + offset));
        ensure!(
            found.is_some() && stored == found,
            "{field} at {offset} is {stored:?}, goflow has {found:?}"
        );
    }
    Ok(())
}

/// Name and offset of each member of a Go struct, from DWARF.
fn members(binary: &GoBinary<'_>, name: &str) -> Result<Vec<(String, u64)>> {
    let sections = dwarf::sections(binary.image());
    let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        let unit = dwarf.unit(header)?;
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            let called = |entry: &gimli::DebuggingInformationEntry<_>| {
                let text = dwarf.attr_string(&unit, entry.attr_value(gimli::DW_AT_name)?).ok()?;
                Some(text.to_string_lossy().into_owned())
            };
            if entry.tag() != gimli::DW_TAG_structure_type || called(entry).as_deref() != Some(name) {
                continue;
            }
            let mut tree = unit.entries_tree(Some(entry.offset()))?;
            let mut children = tree.root()?.children();
            let mut found = Vec::new();
            while let Some(child) = children.next()? {
                let at = child.entry().attr_value(gimli::DW_AT_data_member_location);
                let at = at.and_then(|value| value.udata_value()).context("a member without an offset")?;
                found.push((called(child.entry()).context("a member without a name")?, at));
            }
            return Ok(found);
        }
    }
    bail!("no {name} in the debug information")
}

fn symbol_sources_agree(subject: &Subject) -> Result<()> {
    let binary = GoBinary::parse(&subject.file)?;
    let elf = binary.symbols().elf().context("no ELF symbols")?;
    let table = binary.pclntab().map_err(|why| anyhow::anyhow!("{why}"))?;
    let mut agreed = 0;
    for record in table.records() {
        let name = table.name(&record).context("a function without a name")?;
        let range = table.range(&record).context("a function without a range")?;
        // The linker's own markers are not code.
        if name.starts_with("go:") || name.starts_with("go.") {
            continue;
        }
        // The table shortens type arguments up to Go 1.20; ELF calls the other convention's symbol `name.abi0`.
        let symbol =
            elf.function_at(range.start).with_context(|| format!("{name} is not in the ELF table"))?;
        // The middle dot of generated names is a plain one in ELF.
        let expected = printed_name(name).replace('\u{b7}', ".");
        let same = printed_name(symbol.strip_suffix(".abi0").unwrap_or(symbol)) == expected;
        ensure!(same, "{name} at {range:?} is {symbol} in the ELF table");
        let ranges: Vec<_> = elf.functions(symbol).collect();
        ensure!(ranges.contains(&range), "{name} is {range:?}, in the ELF table {ranges:?}");
        ensure!(table.find_pc(range.start) == Some(record), "{name} is not found by its own address");
        agreed += 1;
    }
    ensure!(agreed > 1000, "only {agreed} functions");
    let debug = binary.symbols().dwarf().context("no DWARF")?;
    for name in FUNCTIONS {
        let found = binary.function(name).with_context(|| format!("no {name}"))?;
        let by_table = table.find_name(name).and_then(|record| table.range(&record));
        ensure!(
            by_table.as_ref() == Some(&found.range),
            "{name}: {found:?}, the function table says {by_table:?}"
        );
        let by_dwarf = debug.functions(binary.image(), name);
        ensure!(by_dwarf.contains(&found.range), "{name}: {found:?}, DWARF says {by_dwarf:?}");
    }
    Ok(())
}

/// The file without its ELF symbol table, but with its debug information.
fn dwarf_names_functions_where_elf_does_not(subject: &Subject) -> Result<()> {
    let mut file = subject.file.clone();
    let headers = usize::try_from(u64::from_le_bytes(file[0x28..0x30].try_into()?))?;
    let count = usize::from(u16::from_le_bytes([file[0x3c], file[0x3d]]));
    // sh_type of Elf64_Shdr; 2 is SHT_SYMTAB, 0 is SHT_NULL.
    let types = (0..count).map(|index| headers + 64 * index + 4);
    let symtab = types.into_iter().find(|&at| file[at] == 2).context("no symbol table")?;
    file[symtab] = 0;
    let (binary, whole) = (GoBinary::parse(&file)?, GoBinary::parse(&subject.file)?);
    ensure!(binary.symbol_source() == SymbolSource::Dwarf, "symbols from {}", binary.symbol_source());
    for name in FUNCTIONS {
        let found = binary.function(name).with_context(|| format!("no {name}"))?;
        ensure!(found.source == SymbolSource::Dwarf, "{name} from {}", found.source);
        let expected = whole.function(name).with_context(|| format!("no {name} in the whole file"))?;
        ensure!(found.range == expected.range, "{name} is {:?}, by ELF {:?}", found.range, expected.range);
    }
    ensure!(binary.function("main.none").is_none(), "a function that does not exist was found");
    Ok(())
}

fn c_has_frames(subject: &Subject) -> Result<()> {
    let binary = GoBinary::parse(&subject.file)?;
    ensure!(binary.has_cgo() == Some(true), "cgo is {:?}", binary.has_cgo());
    ensure!(subject.said.contains("cgo\ttrue"), "the program did not call C");
    let function = binary.function("x_cgo_init").context("no x_cgo_init, which runtime/cgo has in C")?;
    let frames = binary.frames(function.range.start);
    let [frame] = frames[..] else { bail!("{} frames at the entry of x_cgo_init", frames.len()) };
    ensure!(frame.function == "x_cgo_init" && frame.line.is_some(), "{frame:?}");
    ensure!(frame.file.is_some_and(|file| file.contains("runtime/cgo/gcc_")), "{frame:?}");
    Ok(())
}

fn arm64(go: &str) -> Result<()> {
    let program = Program::named("positions").go(go).flavour(Flavour::Stripped).goarch("arm64").build()?;
    let file = std::fs::read(&program)?;
    let binary = GoBinary::parse(&file)?;
    ensure!(binary.arch().to_string() == "arm64", "read as {}", binary.arch());
    ensure!(
        binary.go_version().is_some_and(|v| v.as_str() == format!("go{go}")),
        "{:?}",
        binary.go_version()
    );
    ensure!(binary.missing().is_empty(), "missing: {:?}", binary.missing());
    for name in FUNCTIONS {
        let function = binary.function(name).with_context(|| format!("no {name}"))?;
        let code = binary.code(&function.range).with_context(|| format!("no code of {name}"))?;
        ensure!(!code.is_empty() && code.len() % 4 == 0, "{name} has {} bytes", code.len());
        let frames = binary.frames(function.range.start);
        ensure!(frames.last().is_some_and(|frame| frame.function == name), "{name} starts in {frames:?}");
    }
    Ok(())
}
