//! Channels: `makechan`, `chansend`, `chanrecv`, `closechan`.

use super::Header;

/// `makechan` returns a channel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct ChanMake {
    /// Common part.
    pub header: Header,
    /// Address of the `hchan`.
    pub chan: u64,
    /// Return address in the function that made the channel.
    pub site_pc: u64,
    /// `hchan.dataqsiz`.
    pub cap: u64,
    /// `hchan.elemtype`, the runtime address of the element's type descriptor.
    pub elem_type: u64,
    /// `hchan.elemsize`, in bytes.
    pub elem_size: u32,
    /// Zero.
    pub reserved: u32,
}

/// A send, a receive or a close, at the moment it is called.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct ChanOp {
    /// Common part.
    pub header: Header,
    /// Address of the `hchan`; 0 for a nil channel.
    pub chan: u64,
    /// Return address in the function that operates on the channel; 0 when it could not be read.
    pub site_pc: u64,
}
