//! What was counted in the kernel, for a person: the busiest channels, and where goroutines that wait most were created.

use super::book::Book;
use super::layout::{Line, counted, grouped, span};
use super::{BOLD, DIM, PLAIN};
use crate::binary::addr::RuntimeAddr;
use crate::ingest::event::{ChanAddr, Pid};
use crate::probe::totals::Of;
use crate::sink::record::{Names, Totals};
use goflow_common::aggregate::{ChannelTotals, SiteTotals, Waits};

/// Channels and places shown.
const ROWS: usize = 10;

/// Where the text begins beside a number.
const BESIDE_NUMBER: usize = 16;

/// The two tables.
pub(super) fn lines(totals: &Totals, many: bool, book: &mut Book, names: &dyn Names) -> Vec<Line> {
    let pid = totals.pid;
    let of = if many { format!(" of process {}", pid.0) } else { String::new() };
    let mut lines = vec![Line::default()];
    let channels = &totals.totals.channels;
    if !channels.is_empty() {
        lines.push(title(&format!("channels{of}"), "operations, counted in the kernel"));
        lines.extend(channels.iter().take(ROWS).map(|(which, of)| channel(pid, *which, of, book, names)));
        lines.extend(rest(channels.len(), "channel"));
    }
    let sites = &totals.totals.sites;
    if !sites.is_empty() {
        lines.push(title(&format!("goroutines{of}"), "time they waited, by where they were created"));
        lines.extend(sites.iter().take(ROWS).map(|(at, of)| site(pid, *at, of, book, names)));
        lines.extend(rest(sites.len(), "place"));
    }
    if totals.uncounted > 0 {
        let text =
            format!("  {} found no room in the maps of the kernel", counted(totals.uncounted, "operation"));
        lines.push(Line::default().text(DIM, text));
    }
    lines
}

fn title(what: &str, of: &str) -> Line {
    Line::default().text(BOLD, what).text(DIM, format!("  {of}")).wrapping(2)
}

fn rest(count: usize, noun: &'static str) -> Option<Line> {
    let rest = count.checked_sub(ROWS).filter(|rest| *rest > 0)?;
    Some(
        Line::default()
            .text(DIM, format!("  and {} more; --format json has them", counted(rest as u64, noun))),
    )
}

fn channel(pid: Pid, which: Of, totals: &ChannelTotals, book: &mut Book, names: &dyn Names) -> Line {
    let ChannelTotals { made_at, sends, receives, closes, senders, receivers } = totals;
    let name = match which {
        Of::Channel(ChanAddr(0)) => "nil channel".to_owned(),
        Of::Channel(chan) => book.channel_name(pid, chan),
        Of::Gone => "channels that are gone".to_owned(),
    };
    let made = (*made_at != 0).then(|| {
        let site = book.site(pid, RuntimeAddr(*made_at), names);
        format!(", made at {}", book.full(site))
    });
    let mut parts = vec![format!("{} sent", grouped(*sends)), format!("{} received", grouped(*receives))];
    if *closes > 0 {
        parts.push(format!("{} closed", grouped(*closes)));
    }
    parts.extend(waits("senders", senders));
    parts.extend(waits("receivers", receivers));
    Line::default()
        .number(PLAIN, &grouped(sends + receives + closes), BESIDE_NUMBER - 2)
        .text(BOLD, name)
        .text(PLAIN, format!(": {}", parts.join(", ")))
        .text(DIM, made.unwrap_or_default())
        .wrapping(BESIDE_NUMBER)
}

fn waits(who: &str, waits: &Waits) -> Option<String> {
    (waits.count > 0).then(|| {
        let (total, usual) = (span(waits.total_ns), span(typical(waits)));
        format!("{who} waited {total} in {} (half of them less than {usual})", counted(waits.count, "wait"))
    })
}

/// The end of the bucket that has the median.
fn typical(waits: &Waits) -> u64 {
    let mut before = 0;
    let is_middle = |count: &u64| {
        before += count;
        before * 2 >= waits.count
    };
    waits.buckets.iter().position(is_middle).map_or(0, Waits::bucket_end_ns)
}

fn site(pid: Pid, at: Option<RuntimeAddr>, totals: &SiteTotals, book: &mut Book, names: &dyn Names) -> Line {
    let place = match at.map(|pc| book.go_statement(pid, pc, names)) {
        Some(Some(site)) => book.full(site).to_owned(),
        Some(None) => "started by the runtime".to_owned(),
        None => "created at an unknown place".to_owned(),
    };
    let mut parts = Vec::new();
    if totals.waits.count > 0 {
        let usual = span(typical(&totals.waits));
        parts.push(format!("{} (half of them less than {usual})", counted(totals.waits.count, "wait")));
    }
    if totals.created > 0 {
        parts.push(format!("{} created", grouped(totals.created)));
    }
    if totals.exited > 0 {
        parts.push(format!("{} ended", grouped(totals.exited)));
    }
    Line::default()
        .number(PLAIN, &span(totals.waits.total_ns), BESIDE_NUMBER - 2)
        .text(BOLD, place)
        .text(PLAIN, format!(": {}", parts.join(", ")))
        .wrapping(BESIDE_NUMBER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_waits_are_shorter_than_what_is_told() {
        let mut waits = Waits { count: 4, ..Waits::default() };
        (waits.buckets[0], waits.buckets[3], waits.buckets[9]) = (1, 1, 2);
        assert_eq!(typical(&waits), Waits::bucket_end_ns(3));
    }
}
