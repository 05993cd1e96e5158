//! Where the language's functions run: in this process, or in an executor.

#![allow(unsafe_code, reason = "what was compiled is called")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use farcall::executor::{Address, Value};
use farcall::{Compiler, Executor, Image, Linker, Object, OptLevel, Session, Unit, When};

use crate::codegen::Code;

/// What the language's own functions are: the C library's output, wherever it runs.
const PRELUDE: &[u8] = br#"
@format = private constant [4 x i8] c"%g\0A\00"
declare i32 @printf(ptr, ...)
declare i32 @putchar(i32)
define double @printd(double %x) {
  %n = call i32 (ptr, ...) @printf(ptr @format, double %x)
  ret double 0.0
}
define double @putchard(double %x) {
  %c = fptosi double %x to i32
  %n = call i32 @putchar(i32 %c)
  ret double 0.0
}
"#;

/// The names and numbers of parameters of what is there to begin with.
pub(crate) const KNOWN: &[(&str, usize)] = &[("printd", 1), ("putchard", 1)];

/// How long the steps of a line took.
pub(crate) type Times = Vec<(&'static str, Duration)>;

pub(crate) trait Engine {
    /// Takes a function, new or instead of the one of that name. Callers that are there call the new one.
    fn define(&mut self, code: &Code) -> anyhow::Result<Times>;

    /// Computes a function without parameters, once.
    fn run(&mut self, code: &Code) -> anyhow::Result<(f64, Times)>;
}

/// This process: a session in which functions are compiled when something that is computed needs them.
pub(crate) struct Here {
    session: Session,
    functions: HashMap<String, Unit>,
}

impl Here {
    pub(crate) fn new(level: OptLevel) -> anyhow::Result<Self> {
        let mut loader = farcall::Loader::new();
        loader.library("libm.so.6");
        let options = Compiler::builder().opt_level(level);
        let builder = Session::builder().compiler(options).loader(loader);
        // SAFETY: a function is what the user writes in a language that has numbers only, and what they declare of the host.
        let session = unsafe { builder.build() };
        session.add("prelude", PRELUDE, When::OnLookup)?;
        Ok(Self {
            session,
            functions: HashMap::new(),
        })
    }
}

impl Engine for Here {
    fn define(&mut self, code: &Code) -> anyhow::Result<Times> {
        let start = Instant::now();
        match self.functions.get(&code.name) {
            // Nothing runs, so that the old code can go.
            Some(unit) => drop(unit.replace(&code.name, &code.bitcode)?),
            None => {
                let when = farcall::session::Options::new(When::OnLookup).replaceable();
                let unit = self.session.add(&code.name, &code.bitcode, when)?;
                self.functions.insert(code.name.clone(), unit);
            }
        }
        Ok(vec![("add", start.elapsed())])
    }

    fn run(&mut self, code: &Code) -> anyhow::Result<(f64, Times)> {
        let start = Instant::now();
        let unit = self.session.add(&code.name, &code.bitcode, When::Eager)?;
        let function = self
            .session
            .lookup::<unsafe extern "C" fn() -> f64>(&code.name)?;
        let added = Instant::now();
        // SAFETY: it is a function of this type, which was generated for this call.
        let value = unsafe { function() };
        let called = Instant::now();
        drop(function);
        unit.remove()?;
        let times = vec![
            ("compile, link, load", added - start),
            ("call", called - added),
        ];
        Ok((value, times))
    }
}

/// An executor. What is computed is shipped with all the functions that it needs, as one image, so that it has their
/// newest versions; the executor needs to know nothing of the language.
pub(crate) struct There {
    executor: Executor,
    compiler: Compiler,
    functions: BTreeMap<String, (Object, BTreeSet<String>)>,
}

impl There {
    pub(crate) fn connect(address: &Address, level: OptLevel) -> anyhow::Result<Self> {
        let executor = Executor::connect(address).with_context(|| address.to_string())?;
        let compiler = Compiler::builder().opt_level(level);
        let target = format!("{}-unknown-linux-gnu", executor.hello().machine);
        let compiler = compiler.target(target).build()?;
        let prelude = compiler.compile_ir("prelude", PRELUDE)?;
        let known = KNOWN
            .iter()
            .map(|(name, _)| ((*name).to_owned(), (prelude.clone(), BTreeSet::new())));
        Ok(Self {
            functions: known.collect(),
            executor,
            compiler,
        })
    }

    /// The objects of a function and of those that it needs, each once.
    fn objects(&self, code: &Code, own: Object) -> Vec<Object> {
        let mut objects = vec![own];
        let mut pending: Vec<&String> = code.calls.iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = pending.pop() {
            // What is not there is the executor's, or missing, which it says.
            if let Some((object, calls)) = self.functions.get(name).filter(|_| seen.insert(name)) {
                if !objects.contains(object) {
                    objects.push(object.clone());
                }
                pending.extend(calls);
            }
        }
        objects
    }
}

impl Engine for There {
    fn define(&mut self, code: &Code) -> anyhow::Result<Times> {
        let start = Instant::now();
        let object = self.compiler.compile_ir(&code.name, &code.bitcode)?;
        let function = (object, code.calls.clone());
        self.functions.insert(code.name.clone(), function);
        Ok(vec![("compile", start.elapsed())])
    }

    fn run(&mut self, code: &Code) -> anyhow::Result<(f64, Times)> {
        let start = Instant::now();
        let own = self.compiler.compile_ir(&code.name, &code.bitcode)?;
        let objects = self.objects(code, own);
        let compiled = Instant::now();
        let mut linker = Linker::new();
        for object in &objects {
            linker.add(&object.name, &object.bytes);
        }
        let bytes = linker.export(&code.name).link()?;
        let image = Image::parse(&bytes)?;
        let linked = Instant::now();
        let module = self.executor.load(&image)?;
        let loaded = Instant::now();
        let value = self.executor.call(&module, &code.name, None, &mut [])?;
        let called = Instant::now();
        self.executor.unload(&module)?;
        let Value::Double(value) = value else {
            bail!("{} gave {value:?}, which is no double", code.name);
        };
        let times = vec![
            ("compile", compiled - start),
            ("link", linked - compiled),
            ("ship, load", loaded - linked),
            ("call", called - loaded),
        ];
        Ok((value, times))
    }
}
