//! Admission by utilization.
use super::{span, sporadic};
use tern_sched::ServerKind;
use tern_sched::analysis::{ServerModel, admissible, liu_layland_bound};

#[test]
fn admission_by_utilization() {
    assert_eq!(liu_layland_bound(1), 1 << 32);
    assert_eq!((liu_layland_bound(2) * 1_000_000) >> 32, 828_427);
    assert_eq!((liu_layland_bound(3) * 1_000_000) >> 32, 779_763);
    assert_eq!((liu_layland_bound(1000) * 1_000_000) >> 32, 693_147);
    assert!((1..40).all(|n| liu_layland_bound(n + 1) <= liu_layland_bound(n)));

    assert!(admissible(&[]));
    assert!(admissible(&[sporadic(1, 1)]));
    assert!(admissible(&[sporadic(41, 100), sporadic(41, 100)]));
    assert!(!admissible(&[sporadic(42, 100), sporadic(41, 100)]));
    // (2 − 0.1)·0.1 = 0.19 for the I/O server.
    let io = ServerModel::io(span(10), span(100));
    assert!(admissible(&[sporadic(80, 100), io]));
    assert!(!admissible(&[sporadic(82, 100), io]));
    assert!(admissible(&[ServerModel::io(span(100), span(100))]));
    for refused in [
        ServerModel {
            jitter: span(1),
            ..sporadic(1, 100)
        },
        ServerModel {
            blocking: span(1),
            ..sporadic(1, 100)
        },
        sporadic(1, 100).with_deadline(span(99)),
        sporadic(101, 100),
    ] {
        assert!(!admissible(&[refused]));
    }
    assert_eq!(io.kind, ServerKind::Io);
}
