//! TLS: who is let in, what is carried, and what becomes of a connection that is cut.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

#[path = "../common/mod.rs"]
mod common;

mod certificates;
mod credentials;
mod halfway;
mod processes;
mod refusals;
mod reloading;
mod streams;
