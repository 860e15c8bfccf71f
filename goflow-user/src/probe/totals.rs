//! What the programs count in maps, read.
//!
//! In: the maps of a session; out: totals by channel and by creation site, of each process. A map is read while the programs
//! add to it: each number is a true one of some moment of the read, and they need not be of the same.

use super::load::LoadError;
use crate::binary::addr::RuntimeAddr;
use crate::target::Pid;
use crate::target::id::ChanAddr;
use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray};
use goflow_common::aggregate::{ChannelTotals, Key, SiteTotals};
use goflow_common::probe::ProbeId;
use thiserror::Error;

type Words<T> = HashMap<MapData, [u64; KEY_WORDS], T>;

const KEY_WORDS: usize = size_of::<Key>() / 8;
const CHANNEL_WORDS: usize = size_of::<ChannelTotals>() / 8;
const SITE_WORDS: usize = size_of::<SiteTotals>() / 8;

/// The totals could not be read.
#[derive(Debug, Error)]
#[error("what was counted in the kernel could not be read")]
pub struct TotalsError(#[from] MapError);

/// The maps.
pub struct TotalsReader {
    channels: Words<[u64; CHANNEL_WORDS]>,
    sites: Words<[u64; SITE_WORDS]>,
    uncounted: PerCpuArray<MapData, [u64; ProbeId::COUNT]>,
}

/// Which channels a total is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// One.
    Channel(ChanAddr),
    /// All that are gone, of those made at one place.
    Gone,
}

/// One process.
#[derive(Clone, Debug, Default)]
pub struct ProcessTotals {
    /// Each channel, busiest first.
    pub channels: Vec<(Of, ChannelTotals)>,
    /// By return address of the `go` statement, `None` where it is not known; most waits first.
    pub sites: Vec<(Option<RuntimeAddr>, SiteTotals)>,
}

impl TotalsReader {
    pub(super) fn new(channels: Map, sites: Map, uncounted: Map) -> Result<Self, TotalsError> {
        Ok(Self {
            channels: HashMap::try_from(channels)?,
            sites: HashMap::try_from(sites)?,
            uncounted: PerCpuArray::try_from(uncounted)?,
        })
    }

    /// Operations and waits, of all processes, that found no room in a map.
    ///
    /// # Errors
    /// The map could not be read.
    pub fn uncounted(&self) -> Result<u64, LoadError> {
        Ok(super::load::sum(&self.uncounted)?.iter().sum())
    }

    /// What was counted of `pid` so far.
    ///
    /// # Errors
    /// A map could not be read.
    pub fn of(&self, pid: Pid) -> Result<ProcessTotals, LoadError> {
        let mut totals = ProcessTotals::default();
        let gone = u64::from(pid.0) | Key::GONE;
        for entry in self.channels.iter() {
            let (key, words) = entry.map_err(TotalsError)?;
            let Key { address, pid: of } = bytemuck::cast(key);
            let counted: ChannelTotals = bytemuck::cast(words);
            if of == gone {
                let made_at = address;
                totals.channels.push((Of::Gone, ChannelTotals { made_at, ..counted }));
            } else if of == u64::from(pid.0) {
                totals.channels.push((Of::Channel(ChanAddr(address)), counted));
            }
        }
        for entry in self.sites.iter() {
            let (key, words) = entry.map_err(TotalsError)?;
            let Key { address, pid: of } = bytemuck::cast(key);
            if of == u64::from(pid.0) {
                let site = (address != 0).then_some(RuntimeAddr(address));
                totals.sites.push((site, bytemuck::cast(words)));
            }
        }
        totals.sort();
        Ok(totals)
    }

    /// Forgets a process that has ended: its pid may come again.
    ///
    /// # Errors
    /// A map could not be read.
    pub fn forget(&mut self, pid: Pid) -> Result<(), LoadError> {
        let is_of =
            |key: &[u64; KEY_WORDS]| bytemuck::cast::<_, Key>(*key).pid & !Key::GONE == u64::from(pid.0);
        let channels: Vec<_> = keys(&self.channels)?.into_iter().filter(is_of).collect();
        let sites: Vec<_> = keys(&self.sites)?.into_iter().filter(is_of).collect();
        // An entry that is gone already is as good.
        channels.iter().for_each(|key| _ = self.channels.remove(key));
        sites.iter().for_each(|key| _ = self.sites.remove(key));
        Ok(())
    }
}

fn keys<T: aya::Pod>(map: &Words<T>) -> Result<Vec<[u64; KEY_WORDS]>, TotalsError> {
    Ok(map.keys().collect::<Result<_, _>>()?)
}

impl ProcessTotals {
    fn sort(&mut self) {
        self.channels
            .retain(|(_, totals)| operations(totals) + totals.senders.count + totals.receivers.count > 0);
        let busy = |totals: &ChannelTotals| {
            (operations(totals), totals.senders.total_ns + totals.receivers.total_ns)
        };
        self.channels.sort_by(|(one, of_one), (other, of_other)| {
            busy(of_other).cmp(&busy(of_one)).then_with(|| one.cmp(other))
        });
        let waits = |totals: &SiteTotals| (totals.waits.total_ns, totals.created);
        self.sites.sort_by(|(one, of_one), (other, of_other)| {
            waits(of_other).cmp(&waits(of_one)).then_with(|| one.cmp(other))
        });
    }
}

/// Sends, receives and closes together.
#[must_use]
pub fn operations(totals: &ChannelTotals) -> u64 {
    totals.sends + totals.receives + totals.closes
}
