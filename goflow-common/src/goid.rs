//! The switch and the age of the kernel side's memory of goids, in one word that both sides write.

/// Odd while goids may be remembered. A program adds [`Epoch::STEP`] whenever a `g` gets a new goroutine, and what was
/// remembered under another value is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Off.
    pub const OFF: Self = Self(0);
    /// What a new goroutine adds; it leaves the switch as it is.
    pub const STEP: u64 = 2;

    /// On from the time `now_ns`. A process makes less than a goroutine a nanosecond, so no value comes twice however often
    /// the memory is turned off and on.
    #[must_use]
    pub const fn on(now_ns: u64) -> Self {
        Self(now_ns * Self::STEP + 1)
    }

    /// Whether goids may be remembered.
    #[inline(always)]
    #[must_use]
    pub const fn is_on(self) -> bool {
        self.0 % Self::STEP == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_goroutines_leave_the_switch_as_it_is() {
        let on = Epoch::on(17);
        assert!(on.is_on() && Epoch(on.0 + Epoch::STEP).is_on());
        assert!(!Epoch::OFF.is_on() && !Epoch(Epoch::OFF.0 + Epoch::STEP).is_on());
        assert_ne!(Epoch::on(18), on);
    }
}
