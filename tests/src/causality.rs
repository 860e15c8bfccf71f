//! What must hold of the events of any Go program, whatever it does.
//!
//! In: a [`Session`] in which nothing was lost; out: every violation, in words. A goroutine is created once and does
//! nothing before that; it does nothing after its exit; and who is made runnable has parked since the last time. A
//! goroutine that is older than the session is known from its first event on. The hard thing is what is *not* a
//! violation: the network poller, timers and the scavenger wake goroutines without `ready`, so two parks may follow each
//! other.

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

/// Every violation of causality in the order of time; at most the first hundred.
#[must_use]
pub fn violations(session: &Session) -> Vec<String> {
    let mut events: Vec<&Event> = session.events.iter().collect();
    events.sort_by_key(|event| event.t_ns);
    let mut checker = Checker::default();
    for event in events {
        checker.event(event);
    }
    checker.violations
}

#[derive(Default)]
struct Checker {
    /// A goroutine that is not here is older than the session, in an unknown state.
    states: HashMap<Goroutine, State>,
    violations: Vec<String>,
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
            Kind::Ready { target: Some(target) } => self.woken((event.pid, *target), event),
            Kind::GoroutineCreate { .. }
            | Kind::Ready { .. }
            | Kind::GoroutineExit
            | Kind::Park { .. }
            | Kind::ChanMake { .. }
            | Kind::ChanSend(_)
            | Kind::ChanRecv(_)
            | Kind::ChanClose(_)
            | Kind::Select { .. }
            | Kind::SyncWait { .. } => {}
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
        match self.states.insert(target, State::Awake) {
            None | Some(State::Parked) => {}
            Some(state) => self.violation(&format!("is woken while {state:?}"), target, event),
        }
    }

    fn violation(&mut self, what: &str, (pid, goid): Goroutine, event: &Event) {
        if self.violations.len() < 100 {
            self.violations.push(format!("goroutine {goid} of {pid} {what}: {event:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(kinds: Vec<(u64, Kind)>) -> Vec<String> {
        let mut checker = Checker::default();
        for (t_ns, (goid, kind)) in (1..).zip(kinds) {
            checker.event(&Event { t_ns, pid: 1, tid: 1, goid: Some(goid), kind });
        }
        checker.violations
    }

    fn create(child: u64) -> Kind {
        Kind::GoroutineCreate { child: Some(child), created_at: None, start: None }
    }

    fn park() -> Kind {
        Kind::Park { wait_reason: None, stack: vec![] }
    }

    fn ready(target: u64) -> Kind {
        Kind::Ready { target: Some(target) }
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
        assert_eq!(checked(life), Vec::<String>::new());
    }

    #[test]
    fn each_disorder_is_found() {
        assert!(checked(vec![(1, create(7)), (1, create(7))])[0].contains("before it was created"));
        assert!(checked(vec![(7, park()), (1, create(7))])[0].contains("before it was created"));
        assert!(checked(vec![(7, Kind::GoroutineExit), (7, park())])[0].contains("after its exit"));
        assert!(checked(vec![(7, park()), (1, ready(7)), (1, ready(7))])[0].contains("woken while Awake"));
        assert!(checked(vec![(1, create(7)), (1, ready(7))])[0].contains("woken while Awake"));
        assert!(checked(vec![(7, Kind::GoroutineExit), (1, ready(7))])[0].contains("woken while Exited"));
    }
}
