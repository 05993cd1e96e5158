//! Empty: this package only pins the crates whose C sources the tests compile.
