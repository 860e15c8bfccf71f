//! What user space tells the eBPF programs before they are loaded.
//!
//! These are read-only globals, so the verifier sees constants and prunes the branches a binary does not need.

use crate::probe::ProbeId;

/// Per-binary constants of the eBPF programs. All offsets are in bytes from the start of the named runtime struct.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct ProbeConfig {
    /// [`crate::LAYOUT_VERSION`] of the side that wrote it.
    pub layout_version: u32,
    /// 1: only thread groups listed in the map `TARGETS` are recorded; 0: every process that hits a probe.
    pub filter_targets: u32,
    /// Bit `1 << ProbeId`: the probe sits on the `jbe` of the stack check and must ignore a hit that branches to
    /// `morestack`, because the function starts again after the stack has grown.
    pub on_stack_check: u32,
    /// Frames to record for a park, 0 to [`crate::MAX_STACK_DEPTH`].
    pub stack_depth: u32,
    /// `g.goid`.
    pub g_goid: u32,
    /// `g.m`.
    pub g_m: u32,
    /// `g.gopc`, the return address of the `go` statement.
    pub g_gopc: u32,
    /// `g.startpc`.
    pub g_startpc: u32,
    /// `m.curg`.
    pub m_curg: u32,
    /// `hchan.elemsize` (`uint16`).
    pub hchan_elemsize: u32,
    /// `hchan.elemtype`.
    pub hchan_elemtype: u32,
    /// `pollDesc.rg`: the `g` that waits to read, or a state.
    pub poll_desc_rg: u32,
    /// `pollDesc.wg`: the `g` that waits to write, or a state.
    pub poll_desc_wg: u32,
    /// 1 where `semacquire1` takes a wait reason as fifth argument (Go 1.20 and later), else 0.
    pub semacquire1_has_reason: u32,
    /// [`crate::ring::Geometry::rings`].
    pub rings: u32,
    /// [`crate::ring::Geometry::chunks`].
    pub ring_chunks: u32,
    /// `g.sched.bp`, the frame pointer of a goroutine that does not run.
    pub g_sched_bp: u32,
    /// `hchan.lock`.
    pub hchan_lock: u32,
    /// 1: no hit is recorded, whatever the other filters say.
    pub record_nothing: u32,
    /// Of 2³², how many goroutines are recorded, by a hash of their goid; 0 for all of them.
    pub sample_below: u32,
    /// 1: only goroutines that a `go` statement in the map `GO_STATEMENTS` created are recorded.
    pub filter_created: u32,
    /// 1: `GO_STATEMENTS` has link-time addresses, and the map `BIASES` tells where each process is loaded.
    pub is_pie: u32,
    /// 1: of channel operations and of waits only those on a channel in the map `CHANNELS` are recorded.
    pub filter_channels: u32,
    /// 1: a wait is recorded when it ends, as one record with the wake-up.
    pub whole_waits: u32,
    /// 1: operations and waits are counted in the maps `CHANNEL_TOTALS` and `SITE_TOTALS`.
    pub aggregate: u32,
    /// Wait reason of a send, a number of this Go version; above a byte where it is not known.
    pub reason_send: u32,
    /// Wait reason of a receive, likewise.
    pub reason_receive: u32,
    /// Wait reason of a `select`, likewise.
    pub reason_select: u32,
    /// With `whole_waits`, shorter waits are not recorded, nanoseconds.
    pub min_block_ns: u64,
    /// Bit `1 << ProbeId`: the session has such a probe. The handlers of the others are not even verified.
    pub probes: u64,
}

/// Tells which probe was hit from where the instruction is in its page, which a load at any address leaves as it is.
/// Looking here costs less than asking the kernel for the cookie of the site.
pub struct SiteTable([u8; Self::LEN]);

impl SiteTable {
    /// Bytes in the smallest page.
    const LEN: usize = 4096;
    /// Entry without a site.
    const NONE: u8 = u8::MAX;
    /// Entry of sites of several probes.
    const SEVERAL: u8 = u8::MAX - 1;

    /// A table without a site.
    pub const EMPTY: Self = Self([Self::NONE; Self::LEN]);

    /// The table of these sites: an address, link-time or other, and its probe.
    #[must_use]
    pub fn new(sites: impl IntoIterator<Item = (u64, ProbeId)>) -> Self {
        let mut table = Self::EMPTY;
        for (address, probe) in sites {
            let entry = &mut table.0[Self::index(address)];
            *entry = match *entry {
                Self::NONE => probe as u8,
                same if same == probe as u8 => same,
                _ => Self::SEVERAL,
            };
        }
        table
    }

    /// Which entry belongs to an address.
    #[inline(always)]
    #[must_use]
    pub const fn index(address: u64) -> usize {
        address as usize % Self::LEN
    }

    /// What an entry says; `None` leaves it to the cookie.
    #[inline(always)]
    #[must_use]
    pub fn probe(entry: u8) -> Option<ProbeId> {
        ProbeId::from_raw(u32::from(entry))
    }

    /// The table as the object holds it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_found_wherever_its_page_is_loaded() {
        let table = SiteTable::new([(0x40_1234, ProbeId::Chansend), (0x47_1234, ProbeId::Chansend)]);
        let entry = table.as_bytes()[SiteTable::index(0x5555_0000_1234)];
        assert_eq!(SiteTable::probe(entry), Some(ProbeId::Chansend));
        assert_eq!(SiteTable::probe(table.as_bytes()[SiteTable::index(0x40_1235)]), None);
    }

    #[test]
    fn sites_of_several_probes_at_one_place_in_their_pages_are_left_to_the_cookie() {
        let (send, receive) = (ProbeId::Chansend, ProbeId::Chanrecv);
        let table = SiteTable::new([(0x1010, send), (0x2010, receive), (0x3010, send)]);
        assert_eq!(SiteTable::probe(table.as_bytes()[SiteTable::index(0x10)]), None);
    }
}
