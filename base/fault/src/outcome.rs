//! What a run that met a fault came to: exclusive classes, the worst first.

/// The class of a run. A run that fits several is of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutcomeClass {
    /// A sandbox reached what is not its own.
    IsolationBreach,
    /// The actuator took an output that no sound replica computes, or all replicas were given an
    /// input that was not measured.
    WrongOutput,
    /// Code of the trusted base, or of the tasks, panicked.
    Crash,
    /// The set releases nothing any more and does not say so.
    Hang,
    /// The set has stopped and says so.
    SafeStop,
    /// A thread that the fault did not hit missed a deadline.
    RecoveredLate,
    /// The set goes on without what the fault hit.
    Downgraded,
    /// The fault was found, and all replicas agree again.
    Recovered,
    /// A sound replica was accused, for an epoch; all agree.
    FalseAccusation,
    /// A replica is damaged, and nobody has found it within a scrub period.
    Latent,
    /// The fault did something, and nothing came of it.
    Masked,
    /// The fault did nothing.
    NotActivated,
}

impl OutcomeClass {
    /// All classes, the worst first.
    pub const ALL: [Self; 12] = [
        Self::IsolationBreach,
        Self::WrongOutput,
        Self::Crash,
        Self::Hang,
        Self::SafeStop,
        Self::RecoveredLate,
        Self::Downgraded,
        Self::Recovered,
        Self::FalseAccusation,
        Self::Latent,
        Self::Masked,
        Self::NotActivated,
    ];

    /// Returns the class's name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IsolationBreach => "isolation-breach",
            Self::WrongOutput => "wrong-output",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::SafeStop => "safe-stop",
            Self::RecoveredLate => "recovered-late",
            Self::Downgraded => "downgraded",
            Self::Recovered => "recovered",
            Self::FalseAccusation => "false-accusation",
            Self::Latent => "latent",
            Self::Masked => "masked",
            Self::NotActivated => "not-activated",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_in_the_list_once_in_its_order() {
        assert!(OutcomeClass::ALL.is_sorted());
        for (place, class) in OutcomeClass::ALL.iter().enumerate() {
            assert_eq!(*class as usize, place, "{}", class.name());
        }
    }
}
