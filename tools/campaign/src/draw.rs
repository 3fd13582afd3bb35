//! How random systems get their numbers.

/// Splits `whole` into `count` parts, each split as likely as any other: UUniFast, of Bini and
/// Buttazzo, "Measuring the Performance of Schedulability Tests" (2005).
pub(crate) fn shares(random: &mut fastrand::Rng, count: usize, whole: f64) -> Vec<f64> {
    let mut left = whole;
    let mut shares = Vec::new();
    for others in (1..count).rev() {
        let rest = left * random.f64().powf(1.0 / others as f64);
        shares.push(left - rest);
        left = rest;
    }
    if count > 0 {
        shares.push(left);
    }
    shares
}

/// Draws a number whose logarithm is as likely anywhere from that of `least` to that of `most`.
pub(crate) fn between(random: &mut fastrand::Rng, (least, most): (u64, u64)) -> u64 {
    let (low, high) = ((least as f64).ln(), (most as f64).ln());
    let drawn = (low + (high - low) * random.f64()).exp() as u64;
    drawn.clamp(least, most)
}
