//! The sources themselves.

mod layering;
