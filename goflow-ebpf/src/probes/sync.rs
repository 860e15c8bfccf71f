//! The slow paths of `sync`, and how a WaitGroup is counted.

use crate::{
    filter::{admits, records_anything},
    goid::goid_of,
    kernel::Kernel,
    maps::{config, count_eventless, count_filtered},
    record::begin,
    target::{Registers, callers_return_address, read, return_address},
};
use goflow_common::{
    event::{
        Header,
        sync::{SyncWait, WaitGroupAdd},
    },
    probe::ProbeId,
};

/// `func semacquire1(addr *uint32, lifo bool, profile semaProfileFlags, skipframes int)`, from 1.20 also
/// `reason waitReason`; reached through a thin `sync_runtime_Semacquire…`, so the caller that matters is one further.
#[inline(always)]
pub(crate) fn semacquire1<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Semacquire1;
    let Some(header) = begin(regs, probe) else { return };
    let reason = (config!(semacquire1_has_reason) != 0).then(|| (regs.arg4() & 0xff) as u32);
    wait::<K>(header, regs, probe, callers_return_address, reason);
}

/// `func (m *Mutex) lockSlow()` (1.18–1.27): the mutex was not free.
#[inline(always)]
pub(crate) fn mutex_lock_slow<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::MutexLockSlow;
    let Some(header) = begin(regs, probe) else { return };
    wait::<K>(header, regs, probe, return_address, None);
}

/// `func (rw *RWMutex) Lock()` (1.18–1.27), which has no slow path of its own. It will wait when another writer holds
/// `rw.w` or readers are in; should one come in after this look, the semaphore's probe tells.
#[inline(always)]
pub(crate) fn rwmutex_lock<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::RwMutexLock;
    let Some(header) = begin(regs, probe) else { return };
    // `{w Mutex{state int32; sema uint32}; writerSem, readerSem uint32; readerCount, readerWait int32}` (sync/rwmutex.go)
    if let Some([mutex, _semaphores, readers]) = read::<[u64; 3]>(regs.arg0())
        && mutex as u32 == 0
        && readers as u32 == 0
    {
        return count_eventless(probe);
    }
    wait::<K>(header, regs, probe, return_address, None);
}

/// `func (wg *WaitGroup) Wait()` (1.18–1.27), which has no slow path of its own. It will wait when the counter, the upper
/// half of the first word (sync/waitgroup.go), is not 0.
#[inline(always)]
pub(crate) fn waitgroup_wait<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::WaitGroupWait;
    let Some(header) = begin(regs, probe) else { return };
    if read::<u64>(regs.arg0()).is_some_and(|state| state >> 32 == 0) {
        return count_eventless(probe);
    }
    wait::<K>(header, regs, probe, return_address, None);
}

/// `func (wg *WaitGroup) Add(delta int)` (1.18–1.27), which `Done` calls. The state tells who waits while a goroutine is
/// counted; whoever is done changes nothing about that, and a read costs the target as much as the record.
#[inline(always)]
pub(crate) fn waitgroup_add<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::WaitGroupAdd;
    let Some(mut header) = begin(regs, probe) else { return };
    // It is about no channel.
    if !records_anything() || config!(filter_channels) != 0 {
        return count_filtered(probe);
    }
    header.goid = goid_of(regs.g(), header.pid);
    if !admits(&header, regs.g(), header.goid) {
        return count_filtered(probe);
    }
    let (addr, delta) = (regs.arg0(), regs.arg1() as i64);
    // The first word in every version (sync/waitgroup.go).
    let state = if delta > 0 { read::<u64>(addr) } else { None };
    let record = WaitGroupAdd {
        header,
        addr,
        delta,
        state: state.unwrap_or(0),
        site_pc: return_address(regs),
        has_state: u64::from(state.is_some()),
    };
    K::emit(record, probe);
}

/// `func notifyListWait(l *notifyList, t uint32)` (1.18–1.27), called by `sync.(*Cond).Wait`.
#[inline(always)]
pub(crate) fn notify_list_wait<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::NotifyListWait;
    let Some(header) = begin(regs, probe) else { return };
    wait::<K>(header, regs, probe, callers_return_address, None);
}

#[inline(always)]
fn wait<K: Kernel>(
    mut header: Header,
    regs: &Registers<'_>,
    probe: ProbeId,
    site_pc: impl FnOnce(&Registers<'_>) -> u64,
    reason: Option<u32>,
) {
    // It announces a park, and where waits are recorded as a whole nobody knows yet whether that is one of them.
    if !records_anything() || config!(whole_waits) != 0 {
        return count_filtered(probe);
    }
    header.goid = goid_of(regs.g(), header.pid);
    if !admits(&header, regs.g(), header.goid) {
        return count_filtered(probe);
    }
    let record = SyncWait {
        header,
        addr: regs.arg0(),
        site_pc: site_pc(regs),
        wait_reason: reason.unwrap_or(0),
        has_reason: u32::from(reason.is_some()),
    };
    K::emit(record, probe);
}
