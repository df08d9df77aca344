//! Histories of what agents and operators did and were told, and a checker of
//! what must hold in each of them, whatever the faults.

mod check;
mod check_test;
mod nemesis;
mod planted;
mod record;
mod run;
