//! What is loaded.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

use crate::Entry;

/// Something to load, with a function that tells whether it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One function, no import.
    Tiny,
    /// SQLite at `-O2`.
    Sqlite,
    /// A C++ function that throws, and catches what it threw.
    Throws,
}

/// What [`Subject::Tiny`] and [`Subject::Throws`] return.
const ANSWER: i32 = 42;

impl Subject {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tiny, Self::Sqlite, Self::Throws];

    /// Its name among the files and arguments of the bench.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Sqlite => "sqlite",
            Self::Throws => "throws",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.name() == name)
    }

    /// The function that is called: `int (void)`.
    #[must_use]
    pub fn entry(self) -> &'static CStr {
        match self {
            Self::Tiny => c"answer",
            Self::Sqlite => c"sqlite3_libversion_number",
            Self::Throws => c"caught",
        }
    }

    /// The system's libraries that it needs, beside the C library.
    #[must_use]
    pub fn libraries(self) -> &'static [&'static CStr] {
        match self {
            Self::Tiny => &[],
            Self::Sqlite => &[c"libm.so.6"],
            Self::Throws => &[c"libgcc_s.so.1", c"libstdc++.so.6"],
        }
    }

    /// Its source, where it is not a real program: the file's name and text.
    #[must_use]
    pub fn source(self) -> Option<(&'static str, &'static str)> {
        match self {
            // The type is there as our compiler of IR leaves it, so that looking up compares it.
            Self::Tiny => Some((
                "tiny.c",
                r#"__asm__(".pushsection .farcall.types,\"e\",@progbits\n"
                    ".asciz \"answer\"\n.asciz \"i32 ()\"\n.popsection");
                int answer(void) { return 42; }"#,
            )),
            Self::Sqlite => None,
            Self::Throws => Some((
                "throws.cpp",
                r#"static __attribute__((noinline)) void fail(int value) { throw value; }
                extern "C" int caught(void) {
                    try { fail(42); } catch (int value) { return value; }
                    return 0;
                }"#,
            )),
        }
    }

    /// Calls what an entry is.
    ///
    /// # Safety
    ///
    /// It is this subject's entry, and its module is loaded.
    ///
    /// # Panics
    ///
    /// When it does not return what it must.
    pub unsafe fn call(self, entry: Entry) {
        // SAFETY: the caller vouches for what it is; the entries have no other contract.
        self.check_result(unsafe { entry() });
    }

    /// Looks at what an entry returned.
    ///
    /// # Panics
    ///
    /// When it is not what it must be.
    pub fn check_result(self, result: i32) {
        match self {
            Self::Tiny | Self::Throws => assert_eq!(result, ANSWER),
            Self::Sqlite => assert!(result > 3_000_000, "version {result}"),
        }
    }

    /// Lets the whole of it work.
    ///
    /// # Safety
    ///
    /// What `find` gives are functions of this subject, whose module is loaded.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub unsafe fn check(self, find: impl Fn(&CStr) -> Entry) {
        // SAFETY: the caller vouches for it.
        unsafe { self.call(find(self.entry())) };
        if self == Self::Sqlite {
            // SAFETY: the caller vouches for it.
            unsafe { use_database(find) };
        }
    }
}

/// Opens a database in memory, fills a table and closes it.
///
/// # Safety
///
/// What `find` gives are SQLite's functions.
unsafe fn use_database(find: impl Fn(&CStr) -> Entry) {
    type Open = unsafe extern "C" fn(*const c_char, *mut *mut c_void) -> c_int;
    type Execute = unsafe extern "C" fn(
        *mut c_void,
        *const c_char,
        *const c_void,
        *const c_void,
        *mut *mut c_char,
    ) -> c_int;
    type Close = unsafe extern "C" fn(*mut c_void) -> c_int;
    const SQL: &CStr =
        c"create table t(x); insert into t values (1), (2), (3); select sum(x) from t;";

    // SAFETY: SQLite documents this type.
    let open: Open = unsafe { std::mem::transmute(find(c"sqlite3_open")) };
    // SAFETY: as above.
    let execute: Execute = unsafe { std::mem::transmute(find(c"sqlite3_exec")) };
    // SAFETY: as above.
    let close: Close = unsafe { std::mem::transmute(find(c"sqlite3_close")) };
    let mut database = null_mut();
    // SAFETY: the name ends in a zero byte, and there is room for the handle.
    assert_eq!(unsafe { open(c":memory:".as_ptr(), &raw mut database) }, 0);
    // SAFETY: the database is open; no callback is given, and no message asked for.
    let status = unsafe { execute(database, SQL.as_ptr(), null(), null(), null_mut()) };
    assert_eq!(status, 0);
    // SAFETY: the database is open, and nobody uses it any more.
    assert_eq!(unsafe { close(database) }, 0);
    // SAFETY: no database is open. What SQLite allocated is not the loader's to free.
    unsafe { find(c"sqlite3_shutdown")() };
}
