//! What the kernel calls.

use crate::{
    kernel::{Any, Since6_6},
    maps::{GOFLOW_SITES, config},
    probes::{channel, goroutine, park, select, sync},
    target::Registers,
};
use aya_ebpf::{EbpfContext as _, helpers::bpf_get_attach_cookie, macros::uprobe, programs::ProbeContext};
use goflow_common::{config::SiteTable, probe::ProbeId};

/// One program per probe, for kernels that attach one perf event per site.
macro_rules! per_probe_programs {
    ($($name:ident => $family:ident::$handler:ident),* $(,)?) => {$(
        #[uprobe]
        fn $name(ctx: ProbeContext) -> u32 {
            $family::$handler::<Any>(&Registers::of(&ctx));
            0
        }
    )*};
}

per_probe_programs! {
    newproc1 => goroutine::newproc1,
    goexit0 => goroutine::goexit0,
    gopark => park::gopark,
    ready => park::ready,
    makechan => channel::makechan,
    chansend => channel::chansend,
    chanrecv => channel::chanrecv,
    closechan => channel::closechan,
    selectgo => select::selectgo,
    semacquire1 => sync::semacquire1,
    mutex_lock_slow => sync::mutex_lock_slow,
    rwmutex_lock => sync::rwmutex_lock,
    waitgroup_wait => sync::waitgroup_wait,
    notify_list_wait => sync::notify_list_wait,
    netpollready => park::netpollready,
    waitgroup_add => sync::waitgroup_add,
}

macro_rules! all_probes {
    ($($probe:ident => $family:ident::$handler:ident),* $(,)?) => {
        /// Every probe of a session, for one multi-uprobe link.
        #[uprobe]
        fn all_probes(ctx: ProbeContext) -> u32 {
            let regs = Registers::of(&ctx);
            let Some(probe) = probe_at(regs.ip()).or_else(|| probe_of_cookie(&ctx)) else { return 0 };
            match probe {
                $(ProbeId::$probe => {
                    // A constant to the verifier, for which the handlers that no session has cost milliseconds.
                    if config!(probes) & (1 << ProbeId::$probe as u64) != 0 {
                        $family::$handler::<Since6_6>(&regs);
                    }
                })*
            }
            0
        }
    };
}

all_probes! {
    Newproc1 => goroutine::newproc1,
    Goexit0 => goroutine::goexit0,
    Gopark => park::gopark,
    Ready => park::ready,
    Makechan => channel::makechan,
    Chansend => channel::chansend,
    Chanrecv => channel::chanrecv,
    Closechan => channel::closechan,
    Selectgo => select::selectgo,
    Semacquire1 => sync::semacquire1,
    MutexLockSlow => sync::mutex_lock_slow,
    RwMutexLock => sync::rwmutex_lock,
    WaitGroupWait => sync::waitgroup_wait,
    NotifyListWait => sync::notify_list_wait,
    NetpollReady => park::netpollready,
    WaitGroupAdd => sync::waitgroup_add,
}

/// The probe whose site this is, where the table knows.
#[inline(always)]
fn probe_at(ip: u64) -> Option<ProbeId> {
    // SAFETY: the index is inside the table, which is initialised and which nobody writes after the object is loaded.
    let entry = unsafe { (&raw const GOFLOW_SITES).cast::<u8>().add(SiteTable::index(ip)).read_volatile() };
    SiteTable::probe(entry)
}

/// The cookie of a site is its `ProbeId`.
#[inline(always)]
fn probe_of_cookie(ctx: &ProbeContext) -> Option<ProbeId> {
    // SAFETY: the context is the one the program was called with.
    let cookie = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) };
    ProbeId::from_raw(cookie as u32)
}
