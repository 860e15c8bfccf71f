//! `waitgroup-misuse`: goroutines that count themselves in a wait group when somebody waits for it already.
//!
//! Only events tell, so without probes for what is added nothing is found. What has happened stays found.

use super::rule::{Rule, WAITGROUP_MISUSE};
use super::{Confidence, Detector, Evidence, Finding, Involved, Needs, Survey};
use crate::binary::addr::RuntimeAddr;
use crate::model::{LateAdd, Object};
use crate::target::id::{Goid, MonotonicNs, SyncPrimitive};
use std::collections::BTreeSet;

pub(super) struct LateAdds;

impl Detector for LateAdds {
    fn rule(&self) -> &'static Rule {
        &WAITGROUP_MISUSE
    }

    fn needs(&self) -> Needs {
        Needs::Events
    }

    fn has_its_goroutines_alone(&self) -> bool {
        false
    }

    fn check(&mut self, survey: &Survey<'_>, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        survey.process.late_adds().iter().map(finding).collect()
    }
}

fn finding(late: &LateAdd) -> Finding {
    let group = Object::Sync(SyncPrimitive::WaitGroup, late.group);
    // Where it was created is not always known, and would make another fingerprint of the same fault.
    let involved = |goid: Goid, site: Option<RuntimeAddr>| Involved {
        goid,
        stack: site.into_iter().collect(),
        is_passing: false,
        created_at: None,
    };
    let mut evidence = vec![
        Evidence::GroupWait(group, late.wait.by, late.wait.site),
        Evidence::CountedLate {
            goid: late.by,
            at: late.site,
            after_ns: late.at.0.saturating_sub(late.wait.at.0),
            is_over: late.is_over,
        },
        Evidence::DoneByItself(late.by),
    ];
    if late.times > 1 {
        evidence.push(Evidence::Times(late.times));
    }
    let places = late.site.into_iter().chain(late.wait.site).map(|pc| pc.0);
    Finding {
        rule: &WAITGROUP_MISUSE,
        // While others are still counted, one of them may see to it that the late one comes in time.
        confidence: if late.is_over { Confidence::Likely } else { Confidence::Suspected },
        since: late.first,
        opened: MonotonicNs::default(),
        goroutines: vec![involved(late.by, late.site), involved(late.wait.by, late.wait.site)],
        more: 0,
        functions: Vec::new(),
        objects: vec![group],
        evidence,
        identity: std::iter::once(u64::from(late.is_over)).chain(places).collect(),
    }
}
