//! `send-on-closed-risk`, `double-close-risk`: what is done to a channel that must not be done once it is closed.
//!
//! Only events tell, so without probes for channels nothing is found. What has happened stays found.

use super::rule::{DOUBLE_CLOSE_RISK, Rule, SEND_ON_CLOSED_RISK};
use super::{Confidence, Detector, Evidence, Finding, Involved, Needs, Survey};
use crate::binary::addr::RuntimeAddr;
use crate::model::{Misuse, MisuseKind, Object, Process};
use crate::target::id::{Goid, MonotonicNs};
use std::collections::BTreeSet;

pub(super) struct SendOnClosed;
pub(super) struct DoubleClose;

impl Detector for SendOnClosed {
    fn rule(&self) -> &'static Rule {
        &SEND_ON_CLOSED_RISK
    }

    fn needs(&self) -> Needs {
        Needs::Events
    }

    fn has_its_goroutines_alone(&self) -> bool {
        false
    }

    fn check(&mut self, survey: &Survey<'_>, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        findings(survey.process, self.rule(), |kind| {
            matches!(kind, MisuseKind::SendAfterClose | MisuseKind::CloseUnderSender)
        })
    }
}

impl Detector for DoubleClose {
    fn rule(&self) -> &'static Rule {
        &DOUBLE_CLOSE_RISK
    }

    fn needs(&self) -> Needs {
        Needs::Events
    }

    fn has_its_goroutines_alone(&self) -> bool {
        false
    }

    fn check(&mut self, survey: &Survey<'_>, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        findings(survey.process, self.rule(), |kind| kind == MisuseKind::DoubleClose)
    }
}

fn findings(process: &Process, rule: &'static Rule, is_of: impl Fn(MisuseKind) -> bool) -> Vec<Finding> {
    let of_rule = process.misuses().iter().filter(|misuse| is_of(misuse.kind));
    of_rule.map(|misuse| finding(rule, misuse)).collect()
}

fn finding(rule: &'static Rule, misuse: &Misuse) -> Finding {
    let closed = misuse.closed;
    // Where it was created is not always known, and would make another fingerprint of the same fault.
    let involved = |goid: Option<Goid>, stack: Vec<RuntimeAddr>| {
        goid.map(|goid| Involved { goid, stack, is_passing: false, created_at: None })
    };
    let site = closed.site.into_iter().collect();
    let goroutines = [involved(misuse.by, misuse.stack.clone()), involved(closed.by, site)];
    let channel = Object::Channel(misuse.channel);
    let after_ns = misuse.at.0.saturating_sub(closed.at.0);
    let mut evidence = vec![
        Evidence::Closed(channel, closed.by, closed.site),
        Evidence::Misused(misuse.kind, misuse.by, misuse.stack.clone(), after_ns),
    ];
    if misuse.times > 1 {
        evidence.push(Evidence::Times(misuse.times));
    }
    let places = misuse.stack.iter().chain(&closed.site).map(|pc| pc.0);
    Finding {
        rule,
        confidence: Confidence::Proven,
        since: misuse.first,
        opened: MonotonicNs::default(),
        goroutines: goroutines.into_iter().flatten().collect(),
        more: 0,
        functions: Vec::new(),
        objects: vec![channel],
        evidence,
        identity: std::iter::once(misuse.kind as u64).chain(places).collect(),
    }
}
