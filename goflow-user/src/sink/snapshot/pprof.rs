//! A snapshot as a profile that `go tool pprof` opens: one sample for each stack, whose value is how many goroutines stand
//! there, as in Go's own goroutine profile, with the frames and the names that such a profile has.
//!
//! The messages are those of proto/profile.proto of github.com/google/pprof that a goroutine profile uses.

use super::{Named, View};
use crate::target::snapshot::Goroutine;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use std::collections::HashMap;
use std::io::{self, Write};

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(int64, tag = "6")]
    build_id: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
    #[prost(bool, tag = "8")]
    has_filenames: bool,
    #[prost(bool, tag = "9")]
    has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    has_inline_frames: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// A profile under construction: what is already in its tables.
#[derive(Default)]
struct Tables {
    profile: Profile,
    strings: HashMap<String, i64>,
    functions: HashMap<(String, String), u64>,
    /// By address and number of lines: a wrapper that was called by a panic has one more.
    locations: HashMap<(u64, usize), u64>,
}

impl Tables {
    fn string(&mut self, text: &str) -> i64 {
        if let Some(&index) = self.strings.get(text) {
            return index;
        }
        let index = self.profile.string_table.len() as i64;
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), index);
        index
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let key = (name.to_owned(), file.to_owned());
        if let Some(&id) = self.functions.get(&key) {
            return id;
        }
        let id = self.profile.function.len() as u64 + 1;
        let (name, filename) = (self.string(name), self.string(file));
        self.profile.function.push(Function { id, name, system_name: name, filename });
        self.functions.insert(key, id);
        id
    }

    /// The locations of a stack.
    fn stack(&mut self, view: &View<'_>, goroutine: &Goroutine) -> Vec<u64> {
        let mut locations = Vec::new();
        let frames = view.profiled(goroutine);
        for frames in frames.chunk_by(|inner, outer| inner.pc == outer.pc && inner.is_inlined()) {
            locations.push(self.location(frames));
        }
        locations
    }

    /// The location of `frames`, which share an address.
    fn location(&mut self, frames: &[Named<'_>]) -> u64 {
        let pc = frames.first().map_or(0, |named| named.pc.0);
        if let Some(&id) = self.locations.get(&(pc, frames.len())) {
            return id;
        }
        let id = self.profile.location.len() as u64 + 1;
        let mut line = Vec::new();
        for frame in frames.iter().filter_map(|named| named.frame) {
            let function_id = self.function(frame.function, frame.file.unwrap_or(""));
            line.push(Line { function_id, line: i64::from(frame.line.unwrap_or(0)) });
        }
        // A profile has the address of the call, a stack that of the instruction behind it.
        self.profile.location.push(Location { id, mapping_id: 1, address: pc.saturating_sub(1), line });
        self.locations.insert((pc, frames.len()), id);
        id
    }
}

/// Writes the profile, compressed with gzip.
///
/// # Errors
/// The output fails.
pub fn write(view: &View<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut encoder = GzEncoder::new(out, Compression::default());
    encoder.write_all(&profile(view).encode_to_vec())?;
    encoder.finish()?;
    Ok(())
}

/// Locations and labels, which goroutines of one sample share.
type Stand = (Vec<u64>, Vec<(i64, i64)>);

fn profile(view: &View<'_>) -> Profile {
    let mut tables = Tables::default();
    // The first string is empty by definition.
    tables.string("");
    let kind = ValueType { kind: tables.string("goroutine"), unit: tables.string("count") };
    let mapping = Mapping {
        id: 1,
        filename: tables.string(&view.origin.binary),
        build_id: tables.string(view.binary().go_build_id().unwrap_or("")),
        has_functions: true,
        has_filenames: true,
        has_line_numbers: true,
        has_inline_frames: true,
    };
    let mut samples: HashMap<Stand, i64> = HashMap::new();
    for &goroutine in &view.chosen {
        let locations = tables.stack(view, goroutine);
        let labels = goroutine.labels.iter();
        let labels = labels.map(|label| (tables.string(&label.key), tables.string(&label.value))).collect();
        *samples.entry((locations, labels)).or_default() += 1;
    }
    let mut samples: Vec<_> = samples.into_iter().collect();
    samples.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let sample = samples.into_iter().map(|((location_id, labels), count)| Sample {
        location_id,
        value: vec![count],
        label: labels.into_iter().map(|(key, str)| Label { key, str }).collect(),
    });
    let time = view.origin.wall_clock_offset_ns.map(|offset| view.snapshot.ended.0.cast_signed() + offset);
    Profile {
        sample_type: vec![kind],
        sample: sample.collect(),
        mapping: vec![mapping],
        time_nanos: time.unwrap_or(0),
        period_type: Some(kind),
        period: 1,
        ..tables.profile
    }
}
