//! Stage 3: which probes, where, at what cost; loading and attaching them.
