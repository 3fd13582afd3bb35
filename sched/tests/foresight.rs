//! What a thread may know about its server's budget at a later instant.
use tern_sched::{Scheduler, ServerParameters, Silent};
use tern_units::{Duration, Instant};

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

#[test]
fn the_budget_at_an_instant_is_what_is_back_by_then_less_what_runs_now() {
    // A server of 10 ms in 40 ms that runs from 0 to 3 ms, and again from 6 ms on.
    let mut scheduler = Box::new(Scheduler::<2, 4>::new());
    let parameters =
        ServerParameters::sporadic(Duration::from_millis(10), Duration::from_millis(40), 0);
    let server = scheduler.add_server(parameters).unwrap();
    let thread = scheduler.add_thread(server).unwrap();
    let ms = Duration::from_millis;
    assert_eq!(scheduler.budget_by(server, at(0), at(0)), ms(10));

    scheduler.wake(thread, at(0));
    scheduler.dispatch(at(0), &mut Silent);
    assert_eq!(
        scheduler.budget_by(server, at(2), at(40)),
        ms(8),
        "as it runs"
    );
    scheduler.block(thread, &mut Silent);
    scheduler.dispatch(at(3), &mut Silent);
    assert_eq!(
        scheduler.budget_by(server, at(3), at(39)),
        ms(7),
        "before the 3 ms are back"
    );
    assert_eq!(
        scheduler.budget_by(server, at(3), at(40)),
        ms(10),
        "once they are"
    );

    scheduler.wake(thread, at(6));
    scheduler.dispatch(at(6), &mut Silent);
    assert_eq!(scheduler.budget_by(server, at(11), at(40)), ms(5));
    scheduler.dispatch(at(13), &mut Silent);
    assert_eq!(
        scheduler.budget_by(server, at(13), at(40)),
        ms(3),
        "what it ran since 6 ms"
    );
    assert_eq!(
        scheduler.budget_by(server, at(13), at(46)),
        ms(10),
        "is back at 46 ms"
    );
}
