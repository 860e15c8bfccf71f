//! goflow's eBPF programs: one handler per probed Go function, under two kinds of entry points.
//!
//! [`entry`] holds what the kernel calls: one program for the multi-uprobe link, which tells the probes apart by
//! place or cookie, and one program per probe for kernels that have only perf-event uprobes (and, before 5.15, no cookies).
//! Both lead to the same handlers in [`probes`]. A handler never blocks, never writes to the target and wakes nobody:
//! it writes a record into a ring buffer, or counts the loss.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod aggregate;
mod entry;
mod filter;
mod goid;
mod kernel;
mod maps;
mod probes;
mod record;
mod stack;
mod target;
mod waits;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel reads the licence of a program from this section.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
