//! The slow paths of `sync`.

use crate::{
    goid::goid_of,
    maps::config,
    record::{begin, emit},
    target::{Registers, callers_return_address, return_address},
};
use goflow_common::{event::sync::SyncWait, probe::ProbeId};

/// `func semacquire1(addr *uint32, lifo bool, profile semaProfileFlags, skipframes int)`, from 1.20 also
/// `reason waitReason`; reached through a thin `sync_runtime_Semacquire…`, so the caller that matters is one further.
#[inline(always)]
pub(crate) fn semacquire1(regs: &Registers<'_>) {
    let probe = ProbeId::Semacquire1;
    let reason = (config!(semacquire1_has_reason) != 0).then(|| (regs.arg4() & 0xff) as u32);
    wait(regs, probe, callers_return_address(regs), reason);
}

/// `func (m *Mutex) lockSlow()` (1.18–1.27): the mutex was not free.
#[inline(always)]
pub(crate) fn mutex_lock_slow(regs: &Registers<'_>) {
    wait(regs, ProbeId::MutexLockSlow, return_address(regs), None);
}

/// `func (rw *RWMutex) Lock()` (1.18–1.27).
#[inline(always)]
pub(crate) fn rwmutex_lock(regs: &Registers<'_>) {
    wait(regs, ProbeId::RwMutexLock, return_address(regs), None);
}

/// `func (wg *WaitGroup) Wait()` (1.18–1.27).
#[inline(always)]
pub(crate) fn waitgroup_wait(regs: &Registers<'_>) {
    wait(regs, ProbeId::WaitGroupWait, return_address(regs), None);
}

/// `func notifyListWait(l *notifyList, t uint32)` (1.18–1.27), called by `sync.(*Cond).Wait`.
#[inline(always)]
pub(crate) fn notify_list_wait(regs: &Registers<'_>) {
    wait(regs, ProbeId::NotifyListWait, callers_return_address(regs), None);
}

#[inline(always)]
fn wait(regs: &Registers<'_>, probe: ProbeId, site_pc: u64, reason: Option<u32>) {
    let Some(mut header) = begin(regs, probe) else { return };
    header.goid = goid_of(regs.g(), header.pid);
    let record = SyncWait {
        header,
        addr: regs.arg0(),
        site_pc,
        wait_reason: reason.unwrap_or(0),
        has_reason: u32::from(reason.is_some()),
    };
    emit(&record, probe);
}
