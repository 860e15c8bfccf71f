//! Stage 4: bytes of the ring buffer become ordered, decoded events and loss windows.

pub mod event;
