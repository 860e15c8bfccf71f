//! One handler per probed function, one file per event family. A handler's comment states the Go signature it
//! assumes and the versions in which that holds; the user-space catalogue repeats it for the user.

pub(crate) mod channel;
pub(crate) mod goroutine;
pub(crate) mod park;
pub(crate) mod select;
pub(crate) mod sync;
