//! Proof that the checker can fail.
