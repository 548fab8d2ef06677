//! What the tests share: the cases in `testdata/`, a second decoder to compare with, and mutations.
#![allow(dead_code, reason = "every test binary uses its own part of this")]

pub(crate) mod cases;
pub(crate) mod mutate;
pub(crate) mod reference;
