//! The `totals` line: what was counted in the kernel. The structs are the schema.

use super::state::{Hex, Position};
use crate::binary::addr::RuntimeAddr;
use crate::ingest::event::Pid;
use crate::probe::totals::Of;
use crate::sink::record::{Names, Totals};
use goflow_common::aggregate::{self, ChannelTotals, SiteTotals};
use serde::Serialize;
use std::io;

#[derive(Serialize)]
struct TotalsLine<'a> {
    r#type: &'static str,
    t_ns: u64,
    pid: u32,
    last: bool,
    channels: Vec<ChannelObject<'a>>,
    creation_sites: Vec<SiteObject<'a>>,
    left_out: u64,
    uncounted: u64,
}

#[derive(Serialize)]
struct ChannelObject<'a> {
    /// `None` for all that are gone, of those made at one place.
    chan: Option<Hex>,
    made_at: Option<Position<'a>>,
    sends: u64,
    receives: u64,
    closes: u64,
    send_waits: WaitsObject,
    receive_waits: WaitsObject,
}

#[derive(Serialize)]
struct SiteObject<'a> {
    created_at: Option<Position<'a>>,
    created: u64,
    exited: u64,
    waits: WaitsObject,
}

#[derive(Serialize)]
struct WaitsObject {
    count: u64,
    total_ns: u64,
    histogram: Vec<Bucket>,
}

/// Waits shorter than `below_ns` that are in no bucket before; the last has no end.
#[derive(Serialize)]
struct Bucket {
    below_ns: Option<u64>,
    count: u64,
}

/// Writes the line, without its line feed.
pub(super) fn line(out: &mut Vec<u8>, totals: &Totals, names: &dyn Names) -> io::Result<()> {
    let Totals { pid, t, is_last, totals, left_out, uncounted } = totals;
    let line = TotalsLine {
        r#type: "totals",
        t_ns: t.0,
        pid: pid.0,
        last: *is_last,
        channels: totals.channels.iter().map(|(of, counted)| channel(*pid, *of, counted, names)).collect(),
        creation_sites: totals.sites.iter().map(|(at, counted)| site(*pid, *at, counted, names)).collect(),
        left_out: *left_out,
        uncounted: *uncounted,
    };
    Ok(serde_json::to_writer(out, &line)?)
}

fn channel<'a>(pid: Pid, of: Of, counted: &ChannelTotals, names: &'a dyn Names) -> ChannelObject<'a> {
    let ChannelTotals { made_at, sends, receives, closes, senders, receivers } = counted;
    let chan = match of {
        Of::Channel(chan) => Some(RuntimeAddr(chan.0).into()),
        Of::Gone => None,
    };
    let made_at = (*made_at != 0).then(|| Position::of(pid, RuntimeAddr(*made_at), names));
    ChannelObject {
        chan,
        made_at,
        sends: *sends,
        receives: *receives,
        closes: *closes,
        send_waits: waits(senders),
        receive_waits: waits(receivers),
    }
}

fn site<'a>(pid: Pid, at: Option<RuntimeAddr>, counted: &SiteTotals, names: &'a dyn Names) -> SiteObject<'a> {
    SiteObject {
        created_at: at.map(|at| Position::of(pid, at, names)),
        created: counted.created,
        exited: counted.exited,
        waits: waits(&counted.waits),
    }
}

fn waits(waits: &aggregate::Waits) -> WaitsObject {
    let last = waits.buckets.len() - 1;
    let bucket = |(index, &count): (usize, &u64)| {
        let below_ns = (index < last).then(|| aggregate::Waits::bucket_end_ns(index));
        (count > 0).then_some(Bucket { below_ns, count })
    };
    WaitsObject {
        count: waits.count,
        total_ns: waits.total_ns,
        histogram: waits.buckets.iter().enumerate().filter_map(bucket).collect(),
    }
}
