//! What runs the language's functions, and what they need of it.

use std::time::Duration;

use anyhow::anyhow;

use crate::codegen::Code;

/// What the language has to begin with, with its number of parameters.
pub(crate) const KNOWN: &[(&str, usize)] = &[("printd", 1), ("putchard", 1)];

/// Names that mean the C library's functions, with types that are not the language's.
pub(crate) const RESERVED: &[&str] = &["printf", "putchar", "fflush"];

/// The functions in `KNOWN`, and those that generated code calls.
pub(crate) const PRELUDE: &str = r#"
@format = private constant [4 x i8] c"%g\0A\00"
@"line frame" = global i64 0
declare i32 @printf(ptr, ...)
declare i32 @putchar(i32)
declare i32 @fflush(ptr)
define double @printd(double %x) {
  %n = call i32 (ptr, ...) @printf(ptr @format, double %x)
  ret double 0.0
}
define double @putchard(double %x) {
  %c = fptosi double %x to i32
  %n = call i32 @putchar(i32 %c)
  ret double 0.0
}
define void @"flush output"() {
  %n = call i32 @fflush(ptr null)
  ret void
}
"#;

/// How long the steps of a line took.
pub(crate) type Times = Vec<(&'static str, Duration)>;

/// Where functions run. It keeps what it has compiled, and nothing that could not be made again.
pub(crate) trait Engine {
    /// Computes a function without parameters, once. `needs` are those that it calls, they call and so on, in their
    /// newest versions.
    fn run(&mut self, line: &Code, needs: &[&Code]) -> anyhow::Result<(f64, Times)>;
}

pub(crate) fn too_deep() -> anyhow::Error {
    anyhow!("it calls too deep: is there an end to its recursion?")
}
