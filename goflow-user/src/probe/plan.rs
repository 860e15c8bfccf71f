//! Decides, from a binary's facts alone, which instruction each probe of a level goes to.
//!
//! In: an analysed binary, its struct offsets, a level. Out: sites with file offsets, the configuration of the eBPF
//! programs, and what could not be placed, with the reason. Pure: it neither loads nor attaches.

use super::catalog::{self, Level, Point, Spec};
use super::filter::Chosen;
use crate::binary::GoBinary;
use crate::binary::addr::FileOffset;
use crate::binary::offsets::Offsets;
use crate::binary::site::{self, Site};
use goflow_common::config::{ProbeConfig, SiteTable};
use goflow_common::probe::ProbeId;
use goflow_common::{LAYOUT_VERSION, MAX_STACK_DEPTH};

/// First Go minor whose `semacquire1` takes a wait reason (runtime/sema.go).
const SEMACQUIRE1_REASON_SINCE: (u32, u32) = (1, 20);

/// Where the probes of one binary go.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Every site, in catalogue order.
    pub sites: Vec<PlannedSite>,
    /// Probes of the level without a site.
    pub unavailable: Vec<Unplaced>,
    /// What the eBPF programs need to know about the binary.
    pub config: ProbeConfig,
    /// What the filter lets through.
    pub chosen: Chosen,
}

/// One place to probe.
#[derive(Clone, Debug)]
pub struct PlannedSite {
    /// What is probed.
    pub spec: &'static Spec,
    /// The symbol that was found.
    pub function: &'static str,
    /// The instruction.
    pub site: Site,
    /// Where the kernel finds it.
    pub offset: FileOffset,
}

/// A probe that has no place in this binary.
#[derive(Clone, Debug)]
pub struct Unplaced {
    /// What is missing.
    pub spec: &'static Spec,
    /// Why, in a sentence.
    pub why: String,
    /// True when the program has no use for what is missing, so that nothing is lost.
    pub is_unused: bool,
}

impl Plan {
    /// Plans the probes of `level` for `binary`, whose structs have these `offsets`.
    #[must_use]
    pub fn new(binary: &GoBinary<'_>, offsets: &Offsets, level: Level, stack_depth: u32) -> Self {
        let (mut sites, mut unavailable) = place(binary, level);
        if offsets.poll_desc.is_none() {
            let without_offsets = |planned: &mut PlannedSite| planned.spec.probe == ProbeId::NetpollReady;
            unavailable.extend(sites.extract_if(.., without_offsets).map(|planned| Unplaced {
                spec: planned.spec,
                why: format!(
                    "the layout of runtime.pollDesc, which {} needs, is not known",
                    planned.function
                ),
                is_unused: false,
            }));
        }
        let config = config(binary, offsets, stack_depth);
        let mut plan = Self { sites, unavailable, config, chosen: Chosen::default() };
        for planned in plan.sites.iter().filter(|planned| planned.site.on_stack_check) {
            plan.config.on_stack_check |= 1 << planned.spec.probe as u32;
        }
        plan
    }

    /// Which part of the hits of the probe on `gopark` read a stack.
    #[must_use]
    pub fn parks_with_stack(&self) -> f64 {
        let ProbeConfig { record_nothing, whole_waits, filter_created, sample_below, stack_depth, .. } =
            self.config;
        if stack_depth == 0 || record_nothing != 0 || whole_waits != 0 || filter_created != 0 {
            // Of goroutines that some places created there are few, or the filter would not be there.
            0.0
        } else if sample_below != 0 {
            f64::from(sample_below) / f64::from(u32::MAX)
        } else {
            1.0
        }
    }

    /// How the programs tell the probes apart. A page of a file is loaded whole, so an offset in it does for an address.
    #[must_use]
    pub fn site_table(&self) -> SiteTable {
        SiteTable::new(self.sites.iter().map(|planned| (planned.offset.0, planned.spec.probe)))
    }
}

/// Where each probe of `level` goes in `binary`, and which have no place; this needs no offsets.
#[must_use]
pub fn place(binary: &GoBinary<'_>, level: Level) -> (Vec<PlannedSite>, Vec<Unplaced>) {
    let (mut placed, mut unplaced) = (Vec::new(), Vec::new());
    for spec in catalog::of_level(level) {
        match sites_of(binary, spec) {
            Ok(sites) => placed.extend(sites),
            Err(why) => {
                let is_absent = || spec.functions.iter().all(|name| binary.function(name).is_none());
                let is_unused = spec.may_be_absent.is_some() && is_absent();
                unplaced.push(Unplaced { spec, why, is_unused });
            }
        }
    }
    (placed, unplaced)
}

fn config(binary: &GoBinary<'_>, offsets: &Offsets, stack_depth: u32) -> ProbeConfig {
    let has_reason = binary.go_version().is_some_and(|version| version.at_least(SEMACQUIRE1_REASON_SINCE));
    ProbeConfig {
        layout_version: LAYOUT_VERSION,
        stack_depth: stack_depth.min(MAX_STACK_DEPTH as u32),
        g_goid: offsets.g.goid,
        g_m: offsets.g.m,
        g_gopc: offsets.g.gopc,
        g_startpc: offsets.g.startpc,
        m_curg: offsets.m.curg,
        hchan_elemsize: offsets.hchan.elemsize,
        hchan_elemtype: offsets.hchan.elemtype,
        poll_desc_rg: offsets.poll_desc.map_or(0, |poll_desc| poll_desc.rg),
        poll_desc_wg: offsets.poll_desc.map_or(0, |poll_desc| poll_desc.wg),
        semacquire1_has_reason: u32::from(has_reason),
        // What a filter needs is set with it, and the rest when the programs are loaded.
        ..bytemuck::Zeroable::zeroed()
    }
}

fn sites_of(binary: &GoBinary<'_>, spec: &'static Spec) -> Result<Vec<PlannedSite>, String> {
    let Some((function, found)) =
        spec.functions.iter().find_map(|&name| binary.function(name).map(|found| (name, found)))
    else {
        return Err(absent(spec));
    };
    let code = binary
        .code(&found.range)
        .ok_or_else(|| format!("{function} is at {} but its code is not in the file", found.range.start))?;
    let sites = match spec.point {
        Point::Entry => site::entry_site(code, found.range.start).map(|site| vec![site]),
        Point::Return => site::return_sites(code, found.range.start),
        Point::Result => site::result_sites(code, found.range.start),
    };
    let sites = sites.map_err(|error| format!("{function} has no safe place for a probe: {error}"))?;
    sites.into_iter().map(|site| placed(binary, spec, function, site)).collect()
}

fn placed(
    binary: &GoBinary<'_>,
    spec: &'static Spec,
    function: &'static str,
    site: Site,
) -> Result<PlannedSite, String> {
    let offset = binary
        .image()
        .file_offset(site.address)
        .ok_or_else(|| format!("{} of {function} is in no loaded segment", site.address))?;
    Ok(PlannedSite { spec, function, site, offset })
}

fn absent(spec: &Spec) -> String {
    let names = spec.functions.join(" or ");
    match spec.may_be_absent {
        Some(why) => format!("{names} is not in this binary: {why}"),
        None => format!("{names} is not in this binary, although every Go program has it"),
    }
}
