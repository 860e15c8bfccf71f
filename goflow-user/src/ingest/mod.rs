//! Stage 4: bytes of the ring buffer become ordered, decoded events and loss windows.
//!
//! [`ring`] takes records out of the kernel's buffer, [`decode`] makes an [`event::Event`] of each (and refuses what
//! is not one), [`order`] puts them into the order of time. What the kernel had to drop arrives as an
//! [`event::Lost`] window between the events before and after it.

pub mod decode;
pub mod event;
pub mod order;
pub mod ring;
