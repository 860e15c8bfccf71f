//! The facts as a page for people: names in one column, values in another, lists under a heading. What comes from the
//! file is made printable in [`rows`] and [`probes`], through which everything goes.

use std::fmt::Write as _;

use super::facts::Facts;
use crate::sink::printable::printable;

/// The page. What is unknown says so; why stands at the end.
pub(super) fn page(facts: &Facts) -> String {
    let mut page = String::new();
    rows(&mut page, "", &summary(facts));
    section(&mut page, "Build settings", &pairs(&facts.settings));
    section(&mut page, "Sections", &sections(facts));
    section(&mut page, "Runtime variables", &pairs(&facts.globals));
    probes(&mut page, facts);
    let missing: Vec<_> = facts.not_available.iter().map(|it| (it.what.clone(), it.why.clone())).collect();
    if missing.is_empty() {
        page.push_str("\nNot available: nothing, every probe has its place\n");
    } else {
        section(&mut page, "Not available", &missing);
    }
    page
}

fn summary(facts: &Facts) -> Vec<(String, String)> {
    let unknown = || "unknown".to_owned();
    let none = || "none".to_owned();
    let version = match (&facts.go_version, facts.go_version_from) {
        (Some(version), Some("runtime")) => format!("{version}, from runtime.buildVersion"),
        (Some(version), _) => format!("{version}, from the build info"),
        (None, _) => unknown(),
    };
    let linking = match &facts.interpreter {
        Some(loader) => format!("dynamic, by {loader}"),
        None => "static".to_owned(),
    };
    let position = if facts.pie { "position-independent" } else { "at fixed addresses" };
    let module = facts.module.as_ref().map(|module| match &module.version {
        Some(version) => format!("{} {version}", module.path),
        None => module.path.clone(),
    });
    let cgo = match facts.cgo {
        Some(true) => "yes: C code is linked in".to_owned(),
        Some(false) => "no".to_owned(),
        None => unknown(),
    };
    let functions = match facts.function_count {
        Some(count) => format!("{}, {count} functions in the runtime's table", facts.symbols_from),
        None => facts.symbols_from.to_owned(),
    };
    let row = |name: &str, value: Option<String>| (name.to_owned(), value.unwrap_or_else(unknown));
    vec![
        row("File", Some(format!("{} ({} bytes)", facts.file, facts.size))),
        row("Format", Some(format!("{} {}, {position}, {linking}", facts.format, facts.arch))),
        row("Go version", Some(version)),
        row("Recognised by", Some(facts.recognised_by.replace('_', " "))),
        row(
            "Module",
            module.or_else(|| facts.package.is_some().then(|| "none named in the build info".to_owned())),
        ),
        row("Main package", facts.package.clone()),
        row("Go build id", Some(facts.go_build_id.clone().unwrap_or_else(none))),
        row("GNU build id", Some(facts.gnu_build_id.clone().unwrap_or_else(none))),
        row("cgo", Some(cgo)),
        row("Names from", Some(functions)),
        row("Offsets from", facts.offsets_from.map(str::to_owned)),
    ]
}

fn pairs<K: ToString, V: ToString>(map: &std::collections::BTreeMap<K, V>) -> Vec<(String, String)> {
    map.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn sections(facts: &Facts) -> Vec<(String, String)> {
    let value = |section: &super::facts::Section| format!("{}  {} bytes", section.address, section.size);
    facts.sections.iter().map(|section| (section.name.clone(), value(section))).collect()
}

fn probes(page: &mut String, facts: &Facts) {
    let mut table = Vec::new();
    for function in &facts.functions {
        for probe in &function.probes {
            let offset = format!("file {}", probe.file_offset);
            let cells = [
                function.name,
                probe.at,
                &probe.address.to_string(),
                &offset,
                probe.class,
                &probe.instruction,
            ];
            table.push(cells.map(|cell| printable(cell).into_owned()));
        }
    }
    if table.is_empty() {
        return;
    }
    let widths: [usize; 6] =
        std::array::from_fn(|i| table.iter().map(|cells| cells[i].len()).max().unwrap_or(0));
    page.push_str("\nProbes\n");
    for cells in &table {
        let mut line = String::from(" ");
        for (cell, width) in cells.iter().zip(widths) {
            // Writing to a string cannot fail, here and below.
            let _ = write!(line, " {cell:width$}");
        }
        let _ = writeln!(page, "{}", line.trim_end());
    }
}

fn section(page: &mut String, heading: &str, rows_of: &[(String, String)]) {
    if !rows_of.is_empty() {
        let _ = writeln!(page, "\n{heading}");
        rows(page, "  ", rows_of);
    }
}

fn rows(page: &mut String, indent: &str, rows: &[(String, String)]) {
    let rows: Vec<_> = rows.iter().map(|(name, value)| (printable(name), printable(value))).collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        let _ = writeln!(page, "{indent}{name:width$}  {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_the_file_cannot_drive_the_terminal() {
        let mut page = String::new();
        let hostile = "x\x1b[2J\ny".to_owned();
        section(&mut page, "Build settings", &[(hostile.clone(), hostile)]);
        assert_eq!(page, "\nBuild settings\n  x\u{fffd}[2J\u{fffd}y  x\u{fffd}[2J\u{fffd}y\n");
    }
}
