//! Nothing but benches: `cargo bench -p pflow-benches`.
