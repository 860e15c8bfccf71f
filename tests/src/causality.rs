//! What must hold of the events of any Go program, whatever it does.
//!
//! In: a [`Session`] in which nothing was lost; out: a [`Verdict`]. A goroutine is created once and does nothing before
//! that; it does nothing after its exit; and who is made runnable has parked since the last time. A goroutine that is
//! older than the session is known from its first event on. The hard thing is what is *not* a violation: the network
//! poller wakes goroutines without `ready`, so two parks may follow each other; and the collector stops a running
//! goroutine to scan its stack and makes it runnable again (`resumeG` in src/runtime/preempt.go), which no park precedes.

use std::collections::HashMap;

use crate::stream::{Event, Kind, Session};

/// A goroutine of a process.
type Goroutine = (u32, u64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Runnable or running.
    Awake,
    Parked,
    Exited,
}

/// What the events say of causality.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Every violation, in words and in the order of time; at most the first hundred.
    pub violations: Vec<String>,
    /// How often a goroutine was made runnable.
    pub wakes: u64,
    /// Of those, how often one that was not parked: the collector's doing, and therefore rare.
    pub wakes_of_the_awake: u64,
}

/// Looks at the events in the order of time.
#[must_use]
pub fn check(session: &Session) -> Verdict {
    let mut events: Vec<&Event> = session.events.iter().collect();
    events.sort_by_key(|event| event.t_ns);
    let mut checker = Checker::default();
    for event in events {
        checker.event(event);
    }
    checker.verdict
}

#[derive(Default)]
struct Checker {
    /// A goroutine that is not here is older than the session, in an unknown state.
    states: HashMap<Goroutine, State>,
    verdict: Verdict,
}

impl Checker {
    fn event(&mut self, event: &Event) {
        // The runtime itself acts as goroutine 0: it has no life.
        let actor = event.goid.filter(|goid| *goid != 0).map(|goid| (event.pid, goid));
        if let Some(actor) = actor {
            self.acts(actor, event);
        }
        match &event.kind {
            Kind::GoroutineCreate { child: Some(child), .. } => self.born((event.pid, *child), event),
            Kind::Ready { target: Some(target), .. } => self.woken((event.pid, *target), event),
            Kind::GoroutineCreate { .. }
            | Kind::Ready { .. }
            | Kind::GoroutineExit
            | Kind::Park { .. }
            | Kind::ChanMake { .. }
            | Kind::ChanSend(_)
            | Kind::ChanRecv(_)
            | Kind::ChanClose(_)
            | Kind::Select { .. }
            | Kind::SyncWait { .. }
            | Kind::WaitgroupAdd { .. } => {}
        }
    }

    fn acts(&mut self, actor: Goroutine, event: &Event) {
        if self.states.get(&actor) == Some(&State::Exited) {
            self.violation("acts after its exit", actor, event);
        }
        let state = match event.kind {
            Kind::Park { .. } => State::Parked,
            Kind::GoroutineExit => State::Exited,
            _ => State::Awake,
        };
        self.states.insert(actor, state);
    }

    fn born(&mut self, child: Goroutine, event: &Event) {
        if self.states.insert(child, State::Awake).is_some() {
            self.violation("was there before it was created", child, event);
        }
    }

    fn woken(&mut self, target: Goroutine, event: &Event) {
        self.verdict.wakes += 1;
        match self.states.insert(target, State::Awake) {
            None | Some(State::Parked) => {}
            Some(State::Awake) => self.verdict.wakes_of_the_awake += 1,
            Some(State::Exited) => self.violation("is woken after its exit", target, event),
        }
    }

    fn violation(&mut self, what: &str, (pid, goid): Goroutine, event: &Event) {
        if self.verdict.violations.len() < 100 {
            self.verdict.violations.push(format!("goroutine {goid} of {pid} {what}: {event:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(kinds: Vec<(u64, Kind)>) -> Verdict {
        let mut checker = Checker::default();
        for (t_ns, (goid, kind)) in (1..).zip(kinds) {
            checker.event(&Event {
                t_ns,
                pid: 1,
                tid: Some(1),
                source: None,
                since_ns: None,
                goid: Some(goid),
                kind,
            });
        }
        checker.verdict
    }

    fn create(child: u64) -> Kind {
        Kind::GoroutineCreate { child: Some(child), created_at: None, start: None }
    }

    fn park() -> Kind {
        Kind::Park { wait_reason: None, stack: vec![], blocked_on: vec![] }
    }

    fn ready(target: u64) -> Kind {
        Kind::Ready { target: Some(target), parked_ns: None, wait_reason: None, stack: Vec::new() }
    }

    #[test]
    fn a_life_in_order_is_accepted() {
        let life = vec![
            (1, create(7)),
            (7, park()),
            (1, ready(7)),
            (7, park()),
            (7, park()),
            (0, ready(7)),
            (7, Kind::GoroutineExit),
            (1, ready(3)),
        ];
        assert_eq!(checked(life), Verdict { violations: vec![], wakes: 3, wakes_of_the_awake: 0 });
    }

    #[test]
    fn each_disorder_is_found() {
        let violation = |kinds| checked(kinds).violations.join("");
        assert!(violation(vec![(1, create(7)), (1, create(7))]).contains("before it was created"));
        assert!(violation(vec![(7, park()), (1, create(7))]).contains("before it was created"));
        assert!(violation(vec![(7, Kind::GoroutineExit), (7, park())]).contains("acts after its exit"));
        assert!(violation(vec![(7, Kind::GoroutineExit), (1, ready(7))]).contains("woken after its exit"));
    }

    #[test]
    fn a_wake_without_a_park_is_counted() {
        assert_eq!(checked(vec![(7, park()), (1, ready(7)), (1, ready(7))]).wakes_of_the_awake, 1);
        assert_eq!(checked(vec![(1, create(7)), (1, ready(7))]).wakes_of_the_awake, 1);
    }
}
