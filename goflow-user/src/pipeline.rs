//! The only wiring: sources, stages and sinks of a session, joined by a closed enum of messages.
