//! Loading images made of C and C++, in this process.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to panic; calling what was loaded is what is tested"
)]

#[path = "../common/mod.rs"]
mod common;

mod binding;
mod binding_definitions;
mod binding_filter;
mod binding_host;
mod binding_together;
mod callback;
mod callback_arguments;
#[cfg(target_arch = "x86_64")]
mod cpu;
mod exceptions;
mod form;
mod indirect;
mod lazy;
mod lazy_arguments;
mod lifetime;
mod redirect;
mod thread_local_models;
mod threads;
mod types;
mod verified;
