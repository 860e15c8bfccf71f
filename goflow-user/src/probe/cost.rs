//! What a hit costs the target: numbers by class of instruction, measured by [`super::calibration`] or assumed.

use super::plan::PlannedSite;
use crate::binary::site::SiteClass;
use goflow_common::probe::ProbeId;

/// What one hit costs whoever makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Where the kernel emulates the instruction.
    pub emulated: HitCost,
    /// Where it runs a copy of it.
    pub single_stepped: HitCost,
}

/// Of one class of instruction, in nanoseconds of CPU time. Each includes the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HitCost {
    /// The trap alone: an empty program.
    pub trap_ns: u64,
    /// With goflow's program and its record.
    pub record_ns: u64,
    /// And the stack of a park, of the default depth.
    pub stack_ns: u64,
}

impl Costs {
    /// What to take where nothing was measured: more than on any machine that was, since a budget is to be kept. Those were
    /// 2-core x86-64 VMs with Linux 6.18; the kernel's own figures for bare metal are about a third.
    pub const ASSUMED: Self = Self {
        emulated: HitCost { trap_ns: 1_000, record_ns: 1_200, stack_ns: 1_450 },
        single_stepped: HitCost { trap_ns: 9_000, record_ns: 9_400, stack_ns: 9_900 },
    };

    /// Of a class.
    #[must_use]
    pub fn of(&self, class: SiteClass) -> HitCost {
        match class {
            SiteClass::Emulated => self.emulated,
            SiteClass::SingleStepped => self.single_stepped,
        }
    }

    /// Of one hit of a planned probe, nanoseconds; of parks that part whose stack is read.
    #[must_use]
    pub fn of_hit(&self, planned: &PlannedSite, with_stack: f64) -> u64 {
        let cost = self.of(planned.site.class);
        let stack = if planned.spec.probe == ProbeId::Gopark { with_stack } else { 0.0 };
        let of_stack = cost.stack_ns.saturating_sub(cost.record_ns) as f64 * stack;
        cost.record_ns + of_stack as u64
    }
}
