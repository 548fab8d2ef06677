//! Histories with something wrong in them.
