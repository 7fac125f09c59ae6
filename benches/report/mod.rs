//! What is told in the end.

mod table;

use crate::run::Results;

pub(crate) fn tell(results: &Results) {
    print!("{}", table::of(results));
}
