//! Faults that are drawn from a seed.

use super::Fault;

/// What may happen to a call, and how likely it is. Each fault is drawn by itself: several may hit one call.
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use = "does nothing until it is given to Faults::random"]
pub struct Weather {
    chances: Vec<(f64, Fault)>,
}

impl Weather {
    /// Nothing goes wrong.
    pub fn calm() -> Self {
        Self::default()
    }

    /// Beside the rest `fault` happens with this probability, 0 (never) to 1 (always).
    ///
    /// # Panics
    ///
    /// When the probability is neither of these nor between them, or the fault is not possible or strikes no call.
    pub fn chance(mut self, probability: f64, fault: Fault) -> Self {
        assert!((0.0..=1.0).contains(&probability), "a probability is between 0 and 1, not {probability}");
        fault.check().unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(!fault.is_of_credentials(), "{fault:?} strikes no call, so none can draw it");
        self.chances.push((probability, fault));
        self
    }

    pub(crate) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.chances.iter().map(|(_, fault)| fault)
    }

    pub(crate) fn drawn_from(self, seed: u64) -> Drawn {
        Drawn { rng: fastrand::Rng::with_seed(seed), weather: self }
    }
}

/// A weather and what draws it.
#[derive(Debug)]
pub(crate) struct Drawn {
    rng: fastrand::Rng,
    weather: Weather,
}

impl Drawn {
    pub(crate) fn weather(&self) -> &Weather {
        &self.weather
    }

    /// What happens to the next call.
    ///
    /// Each call takes one number, so what befalls the n-th call does not depend on what befell the calls before it.
    pub(crate) fn next(&mut self) -> (Vec<Fault>, fastrand::Rng) {
        let mut rng = self.rng.fork();
        let faults = self.weather.chances.iter().filter(|(probability, _)| rng.f64() < *probability);
        (faults.map(|(_, fault)| fault.clone()).collect(), rng)
    }
}
