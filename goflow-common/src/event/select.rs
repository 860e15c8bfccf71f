//! `selectgo`: a `select` with two cases or more (one case and `default` compile to a plain channel operation).

use super::Header;
use crate::MAX_SELECT_CASES;

/// `selectgo` is called. The first `sends` cases send, the rest receive.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Select {
    /// Common part.
    pub header: Header,
    /// Return address in the function with the `select` statement.
    pub site_pc: u64,
    /// Number of send cases.
    pub sends: u32,
    /// Number of receive cases.
    pub receives: u32,
    /// `hchan` of the first cases, sends first; 0 for a nil channel. `sends + receives` entries are valid, at most
    /// [`MAX_SELECT_CASES`].
    pub chans: [u64; MAX_SELECT_CASES],
}
