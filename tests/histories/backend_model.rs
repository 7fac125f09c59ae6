//! Random batches, reads and listings through two handles of a storage, held against a model that is too
//! simple to be wrong. Now and then a handle is closed, or dropped without being closed, or the future of a
//! commit is dropped: then the model follows all that may have come of it.

use crate::model_support::{Run, Step, steps};
use pflow_testkit::Kind;
use proptest::prelude::*;

fn run(kind: Kind, steps: Vec<(usize, Step)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(kind).await;
        for (handle, step) in &steps {
            run.take(*handle, step).await;
        }
        run.end().await;
    });
}

/// So many, unless `PROPTEST_CASES` says otherwise.
fn cases(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var("PROPTEST_CASES").is_ok() { default.cases } else { cases };
    ProptestConfig { cases, ..default }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn memory_does_what_the_model_does(steps in steps()) {
        run(Kind::Memory, steps);
    }

    #[test]
    fn memory_that_works_like_a_bucket_does_what_the_model_does(steps in steps()) {
        run(Kind::Staged, steps);
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn a_disk_does_what_the_model_does(steps in steps()) {
        run(Kind::Disk, steps);
    }
}

proptest! {
    #![proptest_config(cases(15))]

    #[test]
    fn a_bucket_does_what_the_model_does(steps in steps()) {
        run(Kind::Bucket, steps);
    }
}
