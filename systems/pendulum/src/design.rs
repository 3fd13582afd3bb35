//! The control design: the linear model at the upright position, sampled once an
//! epoch, and the gains that follow from it. All of it is computed by the compiler.
//!
//! State: position (m), velocity (m/s), angle from upright (rad), angular velocity
//! (rad/s). State feedback by the discrete linear-quadratic regulator, observer by the
//! steady-state Kalman filter: Åström and Wittenmark, "Computer-Controlled Systems",
//! third edition, chapter 11.
use crate::matrix::Matrix;

/// Time between samples, in seconds: the epoch of the system description.
pub const PERIOD: f64 = 0.1;
/// Mass of the cart, kg.
pub const CART_MASS: f64 = 1.0;
/// Mass of the pendulum, kg, at the end of a rod without mass.
pub const PENDULUM_MASS: f64 = 0.1;
/// Length of the rod, m.
pub const LENGTH: f64 = 1.5;
/// Friction of the cart, N per m/s.
pub const FRICTION: f64 = 0.1;
/// Acceleration of free fall, m/s².
pub const GRAVITY: f64 = 9.81;

/// The strongest force that the motor gives in either direction, N.
pub const FORCE_LIMIT: f64 = 20.0;

/// States of the model.
pub const STATES: usize = 4;

/// The sampled model: next state = `transition` · state + `input` · force.
const SAMPLED: Matrix<5, 5> = {
    let m = CART_MASS;
    let total = CART_MASS + PENDULUM_MASS;
    Matrix([
        [0.0, 1.0, 0.0, 0.0, 0.0],
        [
            0.0,
            -FRICTION / m,
            -PENDULUM_MASS * GRAVITY / m,
            0.0,
            1.0 / m,
        ],
        [0.0, 0.0, 0.0, 1.0, 0.0],
        [
            0.0,
            FRICTION / (m * LENGTH),
            total * GRAVITY / (m * LENGTH),
            0.0,
            -1.0 / (m * LENGTH),
        ],
        [0.0; 5],
    ])
    .scaled(PERIOD)
    .exponential()
};

impl Matrix<5, 5> {
    const fn scaled(&self, factor: f64) -> Self {
        Self::ZERO.plus(factor, self)
    }
}

const TRANSITION: Matrix<STATES, STATES> = {
    let mut transition = Matrix::ZERO;
    let mut row = 0;
    while row < STATES {
        let mut column = 0;
        while column < STATES {
            transition.0[row][column] = SAMPLED.0[row][column];
            column += 1;
        }
        row += 1;
    }
    transition
};

const INPUT: Matrix<STATES, 1> = {
    let mut input = Matrix::ZERO;
    let mut row = 0;
    while row < STATES {
        input.0[row][0] = SAMPLED.0[row][STATES];
        row += 1;
    }
    input
};

/// Position and angle are measured.
const MEASURED: Matrix<2, STATES> = Matrix([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);

/// Steps of the Riccati iterations: both have settled to the last digits long before.
const ITERATIONS: usize = 400;

/// Feedback gains: minimizes 4·position² + 20·angle² + 0.2·force² and small terms in
/// the velocities, summed over all samples.
const FEEDBACK: Matrix<1, STATES> = {
    let weight = Matrix::diagonal([4.0, 0.5, 20.0, 1.0]);
    let force_weight = 0.2;
    let mut cost = weight;
    let mut gains = Matrix::<1, STATES>::ZERO;
    let mut step = 0;
    while step < ITERATIONS {
        let projected = INPUT.transposed().times(&cost);
        let denominator = force_weight + projected.times(&INPUT).0[0][0];
        gains = Matrix::ZERO.plus(1.0 / denominator, &projected.times(&TRANSITION));
        let closed = TRANSITION.plus(-1.0, &INPUT.times(&gains));
        cost = weight.plus(1.0, &TRANSITION.transposed().times(&cost.times(&closed)));
        step += 1;
    }
    gains
};

/// Observer gains for measurements with a standard deviation of 1 mm and 1 mrad, and
/// unknown forces of 0.2 N.
const OBSERVER: Matrix<STATES, 2> = {
    let measurement_noise = Matrix::diagonal([1e-6, 1e-6]);
    let unknown = Matrix::ZERO
        .plus(0.04, &INPUT.times(&INPUT.transposed()))
        .plus(1.0, &Matrix::diagonal([1e-9, 1e-8, 1e-9, 1e-8]));
    let mut covariance = Matrix::<STATES, STATES>::diagonal([1e-2; STATES]);
    let mut gains = Matrix::<STATES, 2>::ZERO;
    let mut step = 0;
    while step < ITERATIONS {
        let seen = covariance.times(&MEASURED.transposed());
        let innovation = MEASURED.times(&seen).plus(1.0, &measurement_noise);
        gains = seen.times(&innovation.inverse());
        let corrected = covariance.plus(-1.0, &gains.times(&MEASURED).times(&covariance));
        covariance = TRANSITION
            .times(&corrected)
            .times(&TRANSITION.transposed())
            .plus(1.0, &unknown);
        step += 1;
    }
    gains
};

/// An estimate of the state.
pub type Estimate = [f64; STATES];

/// The state one sample later, under `force`.
#[must_use]
pub fn predicted(state: &Estimate, force: f64) -> Estimate {
    let mut next = [0.0; STATES];
    for (row, value) in next.iter_mut().enumerate() {
        *value = INPUT.0[row][0] * force;
        for (column, state) in state.iter().enumerate() {
            *value += TRANSITION.0[row][column] * state;
        }
    }
    next
}

/// The estimate after a measurement differed from it by `innovation`.
#[must_use]
pub fn corrected(state: &Estimate, innovation: [f64; 2]) -> Estimate {
    let mut next = *state;
    for (row, value) in next.iter_mut().enumerate() {
        *value += OBSERVER.0[row][0] * innovation[0] + OBSERVER.0[row][1] * innovation[1];
    }
    next
}

/// The force that the feedback asks for.
#[must_use]
pub fn feedback(state: &Estimate) -> f64 {
    let [gains] = FEEDBACK.0;
    let products = gains.iter().zip(state).map(|(gain, state)| -gain * state);
    products.fold(0.0, |sum, product| sum + product)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sampled_model_obeys_the_energy_free_fall_of_a_small_lean() {
        // Without force and friction the lean grows as cosh(√((M+m)g/(Ml))·t).
        let rate = ((CART_MASS + PENDULUM_MASS) * GRAVITY / (CART_MASS * LENGTH)).sqrt();
        let grown = predicted(&[0.0, 0.0, 0.01, 0.0], 0.0)[2];
        assert!((grown - 0.01 * (rate * PERIOD).cosh()).abs() < 1e-6);
    }

    #[test]
    fn feedback_on_the_true_state_brings_every_start_to_rest() {
        for start in [
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 0.2, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ] {
            let mut state = start;
            for _ in 0..400 {
                state = predicted(&state, feedback(&state));
            }
            assert!(
                state.iter().all(|value| value.abs() < 1e-3),
                "{start:?} ended at {state:?}"
            );
        }
    }

    #[test]
    fn the_observer_finds_the_state_it_was_not_told() {
        let mut state = [0.3, -0.2, 0.05, 0.1];
        let mut estimate = [0.0; STATES];
        for _ in 0..200 {
            let innovation = [state[0] - estimate[0], state[2] - estimate[2]];
            estimate = corrected(&estimate, innovation);
            let force = feedback(&state);
            state = predicted(&state, force);
            estimate = predicted(&estimate, force);
        }
        let error = state
            .iter()
            .zip(&estimate)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        assert!(error < 1e-6, "{error}");
    }

    extern crate std;
}
