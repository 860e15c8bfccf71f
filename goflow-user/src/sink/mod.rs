//! Stage 7: what reaches a person or a program: the terminal, JSON lines.

pub mod record;
