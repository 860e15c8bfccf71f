//! From the object to one loaded program for a multi-uprobe link, with its maps.
//!
//! In: the object, what its globals and maps are to be; out: the program and the maps by name. aya's own loader does not
//! know the kind of program, and it begins by reading all type information of the kernel, which takes 70 ms of CPU: more
//! than everything else between the start of goflow and the first event. Our object refers to nothing in it, so here the
//! object goes through `aya_obj` alone.

use super::load::LoadError;
use super::sys;
use aya::maps::{Map, MapData};
use aya_obj::{EbpfSectionKind, Object};
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

/// Creates the maps of `object` and loads its program `name` against them. `globals` are variables and their bytes, `entries`
/// the sizes of maps that are not those of the object.
///
/// # Errors
/// See [`LoadError`].
pub(super) fn load<'a>(
    object: &[u8],
    name: &'static str,
    globals: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    entries: &[(&str, u32)],
) -> Result<(OwnedFd, HashMap<String, Map>), LoadError> {
    let mut object = Object::parse(object)?;
    object.patch_map_data(globals.into_iter().map(|(name, data)| (name, (data, true))).collect())?;
    let mut created = Vec::new();
    for (name, mut map) in std::mem::take(&mut object.maps) {
        if let Some(&(_, entries)) = entries.iter().find(|(known, _)| *known == name) {
            map.set_max_entries(entries);
        }
        let data = MapData::create(map.clone(), &name, None)?;
        fill(&map, &data)?;
        created.push((name, map, data));
    }
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let descriptors =
        created.iter().map(|(name, map, data)| (name.as_str(), data.fd().as_fd().as_raw_fd(), map));
    object.relocate_maps(descriptors, &sections)?;
    object.relocate_calls(&sections)?;
    let program = load_program(&object, name)?;
    let maps = created.into_iter().map(|(name, _, data)| Ok((name, Map::from_map_data(data)?)));
    Ok((program, maps.collect::<Result<_, LoadError>>()?))
}

/// Variables of the object have values from the start; those that no program writes are frozen, which lets the verifier take
/// them for constants.
fn fill(map: &aya_obj::Map, data: &MapData) -> Result<(), LoadError> {
    if !map.data().is_empty() {
        sys::set_first_element(data.fd().as_fd(), map.data()).map_err(LoadError::Fill)?;
    }
    if map.section_kind() == EbpfSectionKind::Rodata {
        sys::freeze(data.fd().as_fd()).map_err(LoadError::Fill)?;
    }
    Ok(())
}

fn load_program(object: &Object, name: &'static str) -> Result<OwnedFd, LoadError> {
    let program = object.programs.get(name).ok_or(LoadError::Missing("program all_probes"))?;
    let function = object
        .functions
        .get(&program.function_key())
        .ok_or(LoadError::Missing("code of the program all_probes"))?;
    sys::load_multi_uprobe_program(name, &function.instructions, &program.license)
        .map_err(|(error, log)| LoadError::Verifier { program: name, error, log: deciding_lines(&log) })
}

/// The verifier's last words: what comes before them is the path it took.
fn deciding_lines(log: &str) -> String {
    const KEPT: usize = 12;
    let lines: Vec<&str> = log.trim_end().lines().collect();
    let cut = lines.len().saturating_sub(KEPT);
    let note =
        if cut > 0 { format!("({cut} lines of the verifier's log left out)\n") } else { String::new() };
    note + &lines[cut..].join("\n")
}
