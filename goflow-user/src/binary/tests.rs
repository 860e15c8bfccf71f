//! The facade as a whole, each way to refuse a file, and arbitrary bytes.

use super::fixture::{
    DATA, Elf, Func, GoFile, ORDER_TYPE, READ, READ_EXEC, READ_WRITE, RODATA, TEXT, Table, words,
};
use super::pclntab::Generation;
use super::*;
use proptest::prelude::*;

fn refusal(data: &[u8]) -> BinaryError {
    GoBinary::parse(data).map(|_| ()).unwrap_err()
}

/// What is missing apart from struct offsets and wait reasons, which depend on the release rather than on the file.
fn missing(binary: &GoBinary<'_>) -> Vec<&'static str> {
    let of_the_file = |what: &&str| !matches!(*what, "struct offsets" | "wait reasons");
    binary.missing().iter().map(|missing| missing.what).filter(of_the_file).collect()
}

#[test]
fn a_small_program_tells_everything() {
    let data = GoFile::default().build();
    let binary = GoBinary::parse(&data).unwrap();
    assert_eq!(binary.go_version().map(GoVersion::as_str), Some("go1.22.5"));
    assert_eq!(binary.version_source(), VersionSource::BuildInfo);
    assert_eq!(binary.recognition(), Recognition::BuildInfoSection);
    assert_eq!(binary.symbol_source(), SymbolSource::Pclntab);
    assert_eq!(binary.module(), Some("example.com/shop"));
    assert_eq!(binary.has_cgo(), Some(false));
    assert_eq!(missing(&binary), [""; 0]);
    let main = binary.function("main.main").unwrap();
    assert_eq!(binary.code(&main.range), Some(&[0xc3; 40][..]));
    assert_eq!(binary.frames(LinkAddr(main.range.start.0 + 8)).len(), 2);
    // The call that returns to 8 is the instruction before it, which is not inlined.
    assert_eq!(binary.frames_of_call(LinkAddr(main.range.start.0 + 8)).len(), 1);
    assert_eq!(binary.function_at(main.range.start).and_then(|f| f.line), Some(10));
    assert_eq!(binary.type_name(LinkAddr(ORDER_TYPE)).as_deref(), Some("main.order"));
}

#[test]
fn without_sections_and_build_info_the_table_alone_says_what_it_is() {
    let data = GoFile { has_sections: false, version: None, ..GoFile::default() }.build();
    let binary = GoBinary::parse(&data).unwrap();
    assert_eq!(binary.recognition(), Recognition::PclntabScan);
    assert_eq!(binary.version_source(), VersionSource::Implied("Go 1.20 to 1.25"));
    assert_eq!(missing(&binary), ["Go version"]);
    assert!(binary.function("main.main").is_some());
    assert_eq!(binary.type_name(LinkAddr(ORDER_TYPE)).as_deref(), Some("main.order"));
}

#[test]
fn an_address_outside_code_asks_no_debug_information() {
    let data = GoFile::default().build();
    let binary = GoBinary::parse(&data).unwrap();
    for pc in [0, DATA, RODATA, u64::MAX] {
        assert_eq!(binary.frames(LinkAddr(pc)), []);
        assert_eq!(binary.frames_of_call(LinkAddr(pc)), []);
    }
}

#[test]
fn a_program_for_another_machine_is_refused_with_both_names() {
    let riscv = GoFile { elf: Elf { machine: 243, ..Elf::default() }, ..GoFile::default() }.build();
    let expected = BinaryError::WrongArch { machine: "riscv64".to_owned(), wanted: "amd64 and arm64" };
    assert_eq!(refusal(&riscv), expected);
    let (foreign, name) = if cfg!(target_arch = "aarch64") { (62, "amd64") } else { (183, "arm64") };
    let data = GoFile { elf: Elf { machine: foreign, ..Elf::default() }, ..GoFile::default() }.build();
    let error = GoBinary::parse(&data).unwrap().for_this_machine().map(|_| ()).unwrap_err();
    assert!(matches!(error, BinaryError::WrongArch { machine, .. } if machine == name));
}

#[test]
fn what_is_not_go_says_who_compiled_it() {
    let program = Elf::default().load(TEXT, READ_EXEC, &[0xc3; 16]);
    let evidence = |data: &[u8]| match refusal(data) {
        BinaryError::NotGo { evidence } => evidence,
        other => panic!("{other}"),
    };
    assert_eq!(evidence(&program.build()), "no build info and no Go function table");
    let by_gcc = program.clone().section(".comment", 1, 0, b"\0GCC: 12.2\0").build();
    assert!(evidence(&by_gcc).ends_with("compiled by GCC: 12.2"));
    let packed = program.load(DATA, READ_WRITE, b"\0UPX!\0").build();
    assert!(evidence(&packed).ends_with("packed by UPX"));
}

#[test]
fn go_before_1_18_is_refused_by_its_version_or_by_its_table() {
    let stated = GoFile { version: Some("go1.17.13"), ..GoFile::default() }.build();
    assert_eq!(refusal(&stated), BinaryError::OldGo { version: "go1.17.13".to_owned() });
    let table = [&[0xfa, 0xff, 0xff, 0xff, 0, 0, 1, 8][..], &[0; 64]].concat();
    let implied = Elf::default().load(TEXT, READ_EXEC, &[0xc3; 16]).load(RODATA, READ, &table).build();
    assert_eq!(refusal(&implied), BinaryError::OldGo { version: "Go 1.16 or 1.17".to_owned() });
}

#[test]
fn an_obfuscated_program_says_which_part_cannot_be_read() {
    let mut data = GoFile { version: Some("unknown"), ..GoFile::default() }.build();
    let magic = memchr::memmem::find(&data, b"\xf1\xff\xff\xff\0\0\x01\x08").unwrap();
    data[magic..magic + 4].copy_from_slice(&[0xfc, 0x50, 0x36, 0x19]);
    match refusal(&data) {
        BinaryError::NoFunctions { version, why } => {
            assert_eq!(version, "unknown");
            assert!(why.contains("0x193650fc") && why.contains("garble"), "{why}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_table_without_text_start_and_module_data_names_no_functions() {
    let table = Table { header_text: 0, ..GoFile::default().table };
    let mut data = GoFile { table, ..GoFile::default() }.build();
    let module = GoBinary::parse(&data).unwrap();
    let at = module.image().file_offset(module.module_data().unwrap().addr).unwrap().0 as usize;
    data[at..at + 8].fill(0);
    assert!(matches!(refusal(&data), BinaryError::NoFunctions { why, .. } if why == NO_MODULE_DATA));
}

#[test]
fn every_refusal_has_advice_that_is_a_sentence_without_its_full_stop() {
    let refusals = [
        refusal(b"#!"),
        refusal(&Elf { kind: 4, ..Elf::default() }.build()),
        refusal(&Elf::default().load(TEXT, READ_EXEC, &[0xc3; 16]).build()),
        refusal(&GoFile { version: Some("go1.17"), ..GoFile::default() }.build()),
        refusal(&GoFile::default().build()[..300]),
    ];
    for error in refusals {
        let advice = error.advice();
        assert!(advice.len() > 10 && !advice.ends_with('.'), "{error}: {advice}");
    }
}

/// `cmpq $0, length(%rip)` and `ret`: what `runtime.schedinit` does with `runtime.buildVersion`, whose text is `version`.
fn schedinit(version: &str, again: &str) -> GoFile {
    let mut file = GoFile { version: None, ..GoFile::default() };
    file.table.functions[0] = Func::plain("runtime.schedinit", 32, 0, 1);
    // Two string headers and their texts, in a segment of their own.
    let strings = DATA + 0x10_0000;
    let texts = [version, again].map(str::len).map(|len| len as u64);
    let mut data = words(&[strings + 32, texts[0], strings + 32 + texts[0], texts[1]]);
    data.extend([version, again].concat().bytes());
    file.elf = file.elf.load(strings, READ_WRITE, &data);
    let mut code = Vec::new();
    for header in [strings, strings + 16] {
        let next = TEXT + code.len() as u64 + 8;
        code.extend([0x48, 0x83, 0x3d]);
        code.extend(u32::try_from(header + 8 - next).unwrap().to_le_bytes());
        code.push(0);
    }
    code.resize(0x200, 0xc3);
    file.code = code;
    file
}

#[test]
fn the_version_is_read_where_the_runtime_tests_it() {
    let data = schedinit("go1.26.5", "no version").build();
    let binary = GoBinary::parse(&data).unwrap();
    assert_eq!(binary.go_version().map(GoVersion::as_str), Some("go1.26.5"));
    assert_eq!(binary.version_source(), VersionSource::Runtime);
    assert_eq!(missing(&binary), [""; 0]);
}

#[test]
fn two_different_versions_are_none() {
    let data = schedinit("go1.26.5", "go1.25.1").build();
    assert_eq!(GoBinary::parse(&data).unwrap().go_version(), None);
    let data = schedinit("go1.17.5", "").build();
    assert_eq!(refusal(&data), BinaryError::OldGo { version: "go1.17.5".to_owned() });
}

/// Asks everything that there is to ask.
fn exercise(data: &[u8]) {
    let Ok(binary) = GoBinary::parse(data) else { return };
    let _ =
        (binary.missing(), binary.has_cgo(), binary.go_build_id(), binary.gnu_build_id(), binary.module());
    let _ = binary.build_info().map(|info| info.settings().count());
    for name in ["main.main", "main.both", "runtime.first", "x"] {
        if let Some(function) = binary.function(name) {
            let _ = (binary.code(&function.range), binary.function_at(function.range.start));
        }
    }
    let mut sections = critical::Sections::new(&binary);
    for pc in (TEXT..TEXT + 0x100).step_by(3).chain([0, u64::MAX]) {
        let _ = (binary.frames(LinkAddr(pc)), binary.frames_of_call(LinkAddr(pc)));
        let _ =
            binary.pclntab().map(|table| (table.stack_map(LinkAddr(pc)), table.stack_depth(LinkAddr(pc))));
        let _ = (
            sections.at(LinkAddr(pc)),
            sections.open_defers(LinkAddr(pc)),
            sections.ahead_of_call(LinkAddr(pc)),
        );
    }
    for at in (RODATA..RODATA + 0x100).step_by(8) {
        let _ = (binary.type_name(LinkAddr(at)), binary.image().pointer(LinkAddr(at)));
    }
}

fn arbitrary_program() -> impl Strategy<Value = GoFile> {
    (any::<bool>(), any::<bool>(), any::<bool>(), 0_usize..3).prop_map(|(old, pie, has_sections, layout)| {
        let generation = if old { Generation::Go118 } else { Generation::Go120 };
        let elf = Elf { kind: if pie { 3 } else { 2 }, ..Elf::default() };
        let layout = [[35, 36, 37, 38], [37, 38, 39, 40], [37, 39, 42, 43]][layout];
        let table = Table { generation, ..GoFile::default().table };
        GoFile { elf, table, has_sections, layout, ..GoFile::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
        exercise(&data);
    }

    #[test]
    fn arbitrary_bytes_behind_an_elf_header_never_panic(mut data in proptest::collection::vec(any::<u8>(), 64..2000)) {
        data[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        exercise(&data);
    }

    #[test]
    fn a_damaged_program_never_panics(
        file in arbitrary_program(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![Just(0), Just(0xff), any::<u8>()]), 1..40),
    ) {
        let mut data = file.build();
        for (at, byte) in damage {
            let at = at.index(data.len());
            data[at] = byte;
        }
        exercise(&data);
    }

    #[test]
    fn damage_to_the_tables_alone_never_panics(
        file in arbitrary_program(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 1..10),
    ) {
        let mut data = file.build();
        // From the function table on; headers stay whole, so that the reading gets this far.
        let magic = memchr::memmem::find(&data, b"\xff\xff\xff\0\0\x01\x08").unwrap();
        for (at, value) in damage {
            let at = magic + at.index(data.len() - magic - 8);
            data[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        exercise(&data);
    }
}
