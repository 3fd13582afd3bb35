//! The plant: the pendulum's motion, its sensors and what disturbs it, all given by a seed.
//!
//! Deterministic: the n-th step depends on the seed and the forces before it, and neither
//! on time nor on where it is computed: functions that IEEE 754 leaves open are `libm`'s.
use crate::design::{CART_MASS, FORCE_LIMIT, FRICTION, GRAVITY, LENGTH, PENDULUM_MASS, PERIOD};
use crate::{command, sample};
use tern_abi::system_call::MESSAGE_WORDS;

/// Beyond this lean (rad, 30°) the pendulum counts as fallen.
pub const FALLEN_ANGLE: f64 = core::f64::consts::FRAC_PI_6;
/// Beyond this position (m) the cart has left its track.
pub const TRACK: f64 = 3.0;

/// Steps of integration in a period.
const SUBSTEPS: u32 = 50;
/// Standard deviation of a measured position, m.
const POSITION_NOISE: f64 = 0.000_5;
/// Standard deviation of a measured angle, rad.
const ANGLE_NOISE: f64 = 0.000_5;
/// Standard deviation of a gust's force on the cart, N, new in every period.
const GUST: f64 = 0.5;
/// The strongest constant force on the cart, N: a track that is not level.
const SLOPE: f64 = 0.3;

/// An inverted pendulum on a cart.
#[derive(Clone, Debug)]
pub struct Pendulum {
    state: State,
    random: fastrand::Rng,
    slope: f64,
    force: f64,
    fallen: bool,
    worst_angle: f64,
}

/// Position (m), velocity (m/s), angle from upright (rad), angular velocity (rad/s).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct State {
    position: f64,
    velocity: f64,
    angle: f64,
    spin: f64,
}

impl Pendulum {
    /// A pendulum that leans a little, by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let angle = 0.1 * (random.f64() - 0.5);
        let slope = SLOPE * (2.0 * random.f64() - 1.0);
        let state = State {
            angle,
            ..State::default()
        };
        Self {
            state,
            random,
            slope,
            force: 0.0,
            fallen: false,
            worst_angle: angle.abs(),
        }
    }

    /// What a command leads to: the pendulum moves on by one period, and is measured.
    /// Without an agreed output, `None`, the motor keeps the force that it has.
    pub fn answer(&mut self, output: Option<&[u64; MESSAGE_WORDS]>) -> (f64, f64) {
        if let Some(output) = output {
            self.force = f64::from_bits(output[command::FORCE]);
        }
        self.step(self.force);
        self.measure()
    }

    /// Moves on by one period under `force` (N); one that is not a number is none.
    pub fn step(&mut self, force: f64) {
        let force = if force.is_nan() {
            0.0
        } else {
            force.clamp(-FORCE_LIMIT, FORCE_LIMIT)
        };
        let force = force + self.slope + GUST * self.normal();
        for _ in 0..SUBSTEPS {
            self.state = self.state.moved(force, PERIOD / f64::from(SUBSTEPS));
            let State {
                angle, position, ..
            } = self.state;
            self.worst_angle = self.worst_angle.max(angle.abs());
            // A fallen pendulum lies where it fell; it does not swing through.
            if self.fallen || angle.abs() > FALLEN_ANGLE || position.abs() > TRACK {
                self.fallen = true;
                self.state.velocity = 0.0;
                self.state.spin = 0.0;
                break;
            }
        }
    }

    /// Measures position (m) and angle (rad), with noise.
    pub fn measure(&mut self) -> (f64, f64) {
        let position = self.state.position + POSITION_NOISE * self.normal();
        let angle = self.state.angle + ANGLE_NOISE * self.normal();
        (position, angle)
    }

    /// The true position, m.
    #[must_use]
    pub fn position(&self) -> f64 {
        self.state.position
    }

    /// The true angle, rad.
    #[must_use]
    pub fn angle(&self) -> f64 {
        self.state.angle
    }

    /// The largest angle so far, rad.
    #[must_use]
    pub fn worst_angle(&self) -> f64 {
        self.worst_angle
    }

    /// Whether it has fallen or left the track at some time.
    #[must_use]
    pub fn fallen(&self) -> bool {
        self.fallen
    }

    /// A sample of the standard normal distribution, by the method of Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.random.f64()));
        radius * libm::cos(core::f64::consts::TAU * self.random.f64())
    }
}

impl State {
    /// One step of the classic Runge-Kutta method of fourth order.
    fn moved(self, force: f64, time: f64) -> Self {
        let first = self.rates(force);
        let second = self.plus(time / 2.0, first).rates(force);
        let third = self.plus(time / 2.0, second).rates(force);
        let fourth = self.plus(time, third).rates(force);
        self.plus(time / 6.0, first)
            .plus(time / 3.0, second)
            .plus(time / 3.0, third)
            .plus(time / 6.0, fourth)
    }

    /// The motion of a cart with a pendulum that has its whole mass at its end.
    fn rates(self, force: f64) -> Self {
        let (sine, cosine) = (libm::sin(self.angle), libm::cos(self.angle));
        let along = force - FRICTION * self.velocity
            + PENDULUM_MASS * sine * (LENGTH * self.spin * self.spin - GRAVITY * cosine);
        let acceleration = along / (CART_MASS + PENDULUM_MASS * sine * sine);
        Self {
            position: self.velocity,
            velocity: acceleration,
            angle: self.spin,
            spin: (GRAVITY * sine - acceleration * cosine) / LENGTH,
        }
    }

    fn plus(self, factor: f64, rates: Self) -> Self {
        Self {
            position: self.position + factor * rates.position,
            velocity: self.velocity + factor * rates.velocity,
            angle: self.angle + factor * rates.angle,
            spin: self.spin + factor * rates.spin,
        }
    }
}

/// A measurement as the words of a sample.
#[must_use]
pub fn words((position, angle): (f64, f64)) -> [u64; MESSAGE_WORDS] {
    let mut words = [0; MESSAGE_WORDS];
    words[sample::POSITION] = position.to_bits();
    words[sample::ANGLE] = angle.to_bits();
    words
}
