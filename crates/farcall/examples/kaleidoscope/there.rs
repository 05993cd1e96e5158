//! Running in an executor. A line is shipped with all the functions that it needs, as one image, so that it has their
//! newest versions; the executor needs to know nothing of the language.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{anyhow, bail};
use farcall::executor::{Address, Error, Value};
use farcall::protocol::ErrorKind;
use farcall::{Compiler, Executor, Image, Linker, Object, OptLevel};

use crate::codegen::Code;
use crate::engine::{Engine, PRELUDE, Times, too_deep};

/// Throws an exception of no language, which the executor stops.
const THROW: &str = r#"
@exception = private global { i64, ptr, i64, i64 } zeroinitializer, align 16
declare i32 @_Unwind_RaiseException(ptr)
define void @"too deep"() uwtable {
  call void @"flush output"()
  %code = call i32 @_Unwind_RaiseException(ptr @exception)
  ret void
}
"#;

/// Connects. What a line prints there is printed here.
fn reach(address: &Address) -> Result<Executor, Error> {
    let executor = Executor::connect(address)?;
    executor.print_output();
    Ok(executor)
}

pub(crate) struct There {
    address: Address,
    /// None when it has gone.
    executor: Option<Executor>,
    compiler: Compiler,
    prelude: Object,
    /// By name, with their versions.
    objects: HashMap<String, (usize, Object)>,
}

impl There {
    pub(crate) fn connect(address: Address, level: OptLevel) -> anyhow::Result<Self> {
        let executor = reach(&address).map_err(|error| anyhow!("{error}"))?;
        let target = format!("{}-unknown-linux-gnu", executor.hello().machine);
        let compiler = Compiler::builder().opt_level(level).target(target);
        let compiler = compiler.build()?;
        let prelude = compiler.compile_ir("prelude", format!("{PRELUDE}{THROW}").as_bytes())?;
        Ok(Self {
            address,
            executor: Some(executor),
            compiler,
            prelude,
            objects: HashMap::new(),
        })
    }

    fn compile(&mut self, needs: &[&Code]) -> anyhow::Result<()> {
        for code in needs {
            let known = self.objects.get(&code.name);
            if known.is_none_or(|(version, _)| *version != code.version) {
                let object = self.compiler.compile_ir(&code.name, &code.bitcode)?;
                let object = (code.version, object);
                self.objects.insert(code.name.clone(), object);
            }
        }
        Ok(())
    }

    fn link(&self, line: &Code, own: &Object, needs: &[&Code]) -> anyhow::Result<Vec<u8>> {
        let needed = needs.iter().filter_map(|code| self.objects.get(&code.name));
        let needed = needed.map(|(_, object)| object);
        let mut linker = Linker::new();
        for object in [own, &self.prelude].into_iter().chain(needed) {
            linker.add(&object.name, &object.bytes);
        }
        Ok(linker.export(&line.name).link()?)
    }

    /// Loads the image, calls its function and unloads it.
    fn ship(&mut self, line: &Code, image: &Image<'_>) -> Result<(Value, Times), Error> {
        let start = Instant::now();
        let executor = match &mut self.executor {
            Some(executor) => executor,
            None => self.executor.insert(reach(&self.address)?),
        };
        let module = executor.load(image)?;
        let loaded = Instant::now();
        let value = executor.call(&module, &line.name, None, &mut []);
        let called = Instant::now();
        if let Ok(_) | Err(Error::Failed(_)) = value {
            executor.unload(&module)?;
        }
        let times = vec![("ship, load", loaded - start), ("call", called - loaded)];
        Ok((value?, times))
    }
}

impl Engine for There {
    fn run(&mut self, line: &Code, needs: &[&Code]) -> anyhow::Result<(f64, Times)> {
        let start = Instant::now();
        self.compile(needs)?;
        let own = self.compiler.compile_ir(&line.name, &line.bitcode)?;
        let compiled = Instant::now();
        let bytes = self.link(line, &own, needs)?;
        let image = Image::parse(&bytes)?;
        let linked = Instant::now();
        let (value, shipped) = match self.ship(line, &image) {
            Ok(shipped) => shipped,
            Err(Error::Failed(failure)) if failure.kind == ErrorKind::Threw => {
                return Err(too_deep());
            }
            Err(error @ Error::Failed(_)) => return Err(error.into()),
            Err(error) => {
                self.executor = None;
                bail!("{error}; the next line connects anew, and definitions are kept here");
            }
        };
        let Value::Double(value) = value else {
            bail!("{} gave {value:?}, which is no double", line.name);
        };
        let mut times = vec![("compile", compiled - start), ("link", linked - compiled)];
        times.extend(shipped);
        Ok((value, times))
    }
}
