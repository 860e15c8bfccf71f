//! What goflow finds in a program that was stripped of symbols and debug information, held against the same program
//! that was not: for every Go and every way to build, the runtime's variables, the struct offsets, the wait reasons and
//! the probe sites.
//!
//! A program is built once with everything; taking its section headers away is what `sstrip` does, and leaves addresses
//! alone. Plain programs are also built with `-ldflags=-s -w`, as most are shipped.

use anyhow::{Context, Result, ensure};
use goflow_tests::programs::{Flavour, Program, go_versions};
use goflow_user::binary::GoBinary;
use goflow_user::binary::addr::LinkAddr;
use goflow_user::binary::globals::{Global, GlobalError};
use goflow_user::binary::offsets::OffsetSource;
use goflow_user::binary::site::{Site, SiteClass, SitePoint, entry_site, result_sites, return_sites};
use goflow_user::probe::catalog::{CATALOG, Point};
use libtest_mimic::{Arguments, Trial};

type Check = fn(&GoBinary<'_>, &GoBinary<'_>) -> Result<()>;

fn main() {
    let checks: [(&str, Check); 4] = [
        ("runtime variables are where the symbols are", variables_agree),
        ("the offset table says what the debug information says", offsets_agree),
        ("wait reasons are read", wait_reasons_agree),
        ("every probe has its cheapest site", sites_are_the_cheapest),
    ];
    let mut tests = Vec::new();
    for go in go_versions() {
        for flavour in Flavour::MATRIX.into_iter().filter(|flavour| *flavour != Flavour::Stripped) {
            for (what, check) in checks {
                let name = format!("go{go} {}: {what}", flavour.name());
                tests.push(Trial::test(name, move || {
                    against_itself(go, flavour, check).map_err(|error| format!("{error:?}").into())
                }));
            }
        }
        for (what, check) in checks {
            let name = format!("go{go} stripped by the linker: {what}");
            tests.push(Trial::test(name, move || {
                against_twin(go, check).map_err(|error| format!("{error:?}").into())
            }));
        }
    }
    for go in go_versions() {
        let name = format!("go{go} arm64: what instructions do not tell is refused or the release's");
        tests.push(Trial::test(name, move || arm64(go).map_err(|error| format!("{error:?}").into())));
    }
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

fn build(go: &str, flavour: Flavour) -> Result<Vec<u8>> {
    Ok(std::fs::read(Program::named("counts").go(go).flavour(flavour).build()?)?)
}

/// The program without its section headers: no symbols, no debug information, the same addresses.
fn without_sections(whole: &[u8]) -> Vec<u8> {
    let mut bare = whole.to_vec();
    // e_shoff; e_shnum and e_shstrndx of Elf64_Ehdr.
    bare[0x28..0x30].fill(0);
    bare[0x3c..0x40].fill(0);
    bare
}

fn arm64(go: &str) -> Result<()> {
    let whole = std::fs::read(Program::named("layouts").go(go).goarch("arm64").build()?)?;
    let bare = without_sections(&whole);
    let (whole, stripped) = (GoBinary::parse(&whole)?, GoBinary::parse(&bare)?);
    offsets_agree(&whole, &stripped)?;
    let global = Global::Allgs;
    ensure!(
        whole.global(global).is_ok() && stripped.global(global) == Err(GlobalError::Architecture { global })
    );
    let own = whole.own_wait_reasons().context("not found by symbol")?;
    ensure!(stripped.own_wait_reasons().is_none(), "read from instructions that are not decoded");
    let release = (0..=u8::MAX).map_while(|reason| stripped.wait_reason(reason));
    ensure!(release.eq(own), "the release's wait reasons are not the program's");
    Ok(())
}

fn against_itself(go: &str, flavour: Flavour, check: Check) -> Result<()> {
    let whole = build(go, flavour)?;
    let bare = without_sections(&whole);
    check(&GoBinary::parse(&whole)?, &GoBinary::parse(&bare)?)
}

fn against_twin(go: &str, check: Check) -> Result<()> {
    let (whole, stripped) = (build(go, Flavour::Plain)?, build(go, Flavour::Stripped)?);
    check(&GoBinary::parse(&whole)?, &GoBinary::parse(&stripped)?)
}

fn variables_agree(whole: &GoBinary<'_>, stripped: &GoBinary<'_>) -> Result<()> {
    let symbols = whole.symbols().elf().context("no symbols to compare with")?;
    ensure!(stripped.symbols().elf().is_none(), "the stripped program has symbols");
    let symbol = |global: Global| {
        let variable = symbols.variable(global.symbol()).with_context(|| format!("no symbol {global}"))?;
        ensure!(whole.global(global)? == variable.start, "{global}: the symbol was not taken");
        Ok(variable.start.0)
    };
    // The linker records its flags in the program, so `-s -w` can shift all data by the length of that text.
    let same_file = whole.image().data().len() == stripped.image().data().len();
    let shift = stripped.global(Global::Allgs)?.0.wrapping_sub(symbol(Global::Allgs)?);
    ensure!(shift == 0 || (!same_file && shift % 32 == 0), "all variables are off by {shift:#x}");
    for global in Global::ALL {
        let (expected, found) = (symbol(global)?.wrapping_add(shift), stripped.global(global)?.0);
        ensure!(found == expected, "{global} is at {expected:#x}, the code says {found:#x}");
    }
    Ok(())
}

fn offsets_agree(whole: &GoBinary<'_>, stripped: &GoBinary<'_>) -> Result<()> {
    let (own, own_source) = whole.offsets()?;
    let (release, release_source) = stripped.offsets()?;
    ensure!((own_source, release_source) == (OffsetSource::Dwarf, OffsetSource::Table));
    ensure!(own == release, "DWARF: {own:#?}\ntable: {release:#?}");
    Ok(())
}

fn wait_reasons_agree(whole: &GoBinary<'_>, stripped: &GoBinary<'_>) -> Result<()> {
    let own = whole.own_wait_reasons().context("not found by symbol")?;
    let found = stripped.own_wait_reasons().context("not found by instructions")?;
    ensure!(own == found, "by symbol: {own:?}\nby instructions: {found:?}");
    for reason in ["chan receive", "chan send", "select", "semacquire", "sync.Cond.Wait"] {
        ensure!(own.contains(&reason), "{reason:?} is not among {own:?}");
    }
    Ok(())
}

fn sites_are_the_cheapest(whole: &GoBinary<'_>, stripped: &GoBinary<'_>) -> Result<()> {
    for spec in CATALOG {
        let names = spec.functions;
        let found = sites(whole, names, spec.point).with_context(|| format!("{names:?}"))?;
        let again = sites(stripped, names, spec.point).with_context(|| format!("{names:?}, stripped"))?;
        ensure!(found == again, "{names:?}: {found:?}, stripped {again:?}");
        let is_late = |site: &&Site| spec.point == Point::Result && site.point != SitePoint::Result;
        ensure!(!found.iter().any(|site| is_late(&site)), "{names:?}: {found:?}");
        for site in &found {
            let checks_stack = checks_stack(whole, names)?;
            check_site(whole, site, checks_stack).with_context(|| format!("{names:?}: {site:?}"))?;
        }
    }
    Ok(())
}

fn sites(binary: &GoBinary<'_>, names: &[&str], point: Point) -> Result<Vec<Site>> {
    let function = names.iter().find_map(|name| binary.function(name)).context("no such function")?;
    let code = binary.code(&function.range).context("no instructions")?;
    let start = function.range.start;
    Ok(match point {
        Point::Entry => vec![entry_site(code, start)?],
        Point::Return => return_sites(code, start)?,
        Point::Result => result_sites(code, start)?,
    })
}

/// Whether a function begins with the stack check, `cmp rsp, [r14+16]` or with a large frame `lea r12, [rsp-…]`. The linker leaves it out where the frame is small
/// and nothing is called that needs more (`runtime.netpollready` up to Go 1.21).
fn checks_stack(binary: &GoBinary<'_>, names: &[&str]) -> Result<bool> {
    const SMALL_FRAME: [u8; 4] = [0x49, 0x3b, 0x66, 0x10];
    const LARGE_FRAME: [u8; 2] = [0x4c, 0x8d];
    let function = names.iter().find_map(|name| binary.function(name)).context("no such function")?;
    let code = binary.code(&function.range).context("no instructions")?;
    Ok(code.starts_with(&SMALL_FRAME) || code.starts_with(&LARGE_FRAME))
}

/// From Go 1.21 on every probed function that checks the stack goes on with a push; before, the frame is made by `sub`.
fn check_site(binary: &GoBinary<'_>, site: &Site, checks_stack: bool) -> Result<()> {
    let pushes = binary.go_version().context("no Go version")?.at_least((1, 21));
    let byte = |offset| binary.image().bytes(LinkAddr(site.address.0 + offset), 1).map(|bytes| bytes[0]);
    match site.point {
        SitePoint::Return => ensure!(byte(0) == Some(0xc3) && site.class == SiteClass::SingleStepped),
        // The `jne` or `je` at the end of `releasem`.
        SitePoint::Result => ensure!(matches!(byte(0), Some(0x74 | 0x75)) && !site.on_stack_check),
        SitePoint::Entry if !checks_stack => ensure!(!site.on_stack_check),
        SitePoint::Entry if pushes => ensure!(byte(0) == Some(0x55) && !site.on_stack_check),
        SitePoint::Entry => {
            let near = byte(0) == Some(0x0f) && byte(1) == Some(0x86);
            ensure!((near || byte(0) == Some(0x76)) && site.on_stack_check);
        }
    }
    ensure!(site.point == SitePoint::Return || site.class == SiteClass::Emulated, "single-stepped");
    Ok(())
}
