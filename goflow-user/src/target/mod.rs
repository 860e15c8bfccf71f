//! Stage 2: a live process: identity, mappings, the executable it runs.
