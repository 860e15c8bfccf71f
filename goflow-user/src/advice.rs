//! What to do next, carried by an error from where that is known to where it is printed.
//!
//! In: any error and a sentence; out: an [`anyhow::Error`] with the same message, from which [`advice_of`] takes the
//! sentence again. No stage of its own: every stage may use it, and it imports none.

use std::error::Error;
use std::fmt;

/// An error together with what helps against it.
#[derive(Debug)]
struct Advised {
    error: anyhow::Error,
    advice: String,
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl Error for Advised {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

/// Adds advice to a result's error.
pub trait Advise<T> {
    /// On error, remembers `advice`: one sentence or command, without a full stop, that the user can act on.
    ///
    /// # Errors
    /// The same error, with the advice.
    fn advise<S: Into<String>>(self, advice: impl FnOnce() -> S) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Advise<T> for Result<T, E> {
    fn advise<S: Into<String>>(self, advice: impl FnOnce() -> S) -> anyhow::Result<T> {
        self.map_err(|error| Advised { error: error.into(), advice: advice().into() }.into())
    }
}

/// The advice of the outermost error that has any.
#[must_use]
pub fn advice_of(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(|link| link.downcast_ref::<Advised>()).map(|advised| advised.advice.as_str())
}

/// What failed and why, outermost first, each sentence once.
#[must_use]
pub fn messages(error: &anyhow::Error) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    for link in error.chain().filter(|link| !link.is::<Advised>()) {
        let message = link.to_string();
        // Many errors repeat the message of their source in their own.
        if !messages.last().is_some_and(|outer| outer.ends_with(&message)) {
            messages.push(message);
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    fn failed() -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    #[test]
    fn advice_travels_through_contexts_and_is_not_a_message() {
        let error =
            failed().context("opening /x").advise(|| "check the path").context("tracing /x").unwrap_err();
        assert_eq!(advice_of(&error), Some("check the path"));
        assert_eq!(messages(&error), ["tracing /x", "opening /x", "entity not found"]);
        let io = error.chain().find_map(|link| link.downcast_ref::<io::Error>());
        assert_eq!(io.map(io::Error::kind), Some(io::ErrorKind::NotFound));
    }

    #[test]
    fn the_outermost_advice_wins_because_it_knows_more() {
        let error = failed().advise(|| "inner").advise(|| "outer").unwrap_err();
        assert_eq!(advice_of(&error), Some("outer"));
    }

    #[test]
    fn a_message_that_ends_with_its_source_is_not_repeated() {
        let source = failed().unwrap_err();
        let text = format!("the output failed: {source}");
        let error = Err::<(), _>(source).context(text).unwrap_err();
        assert_eq!(messages(&error), ["the output failed: entity not found"]);
        assert_eq!(advice_of(&error), None);
    }
}
