//! The library from end to end, as its users write it.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "all of this is test code, and it runs what it has just compiled"
)]

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use farcall::executor::{Argument, Connection, Definition, Executor, Options, Service, Value};
use farcall::inkwell::{AddressSpace, context::Context};
use farcall::loader::Error as LoadError;
use farcall::{Compiler, Image, Linker, Loader, Module, OptLevel, TrustedImage};

const SCORE: &str = "
@weight = global i64 10
declare i64 @bonus(i64, ptr)
define i64 @score(i64 %x, ptr %name) {
  %weight = load i64, ptr @weight
  %scaled = mul i64 %x, %weight
  %bonus = call i64 @bonus(i64 %x, ptr %name)
  %sum = add i64 %scaled, %bonus
  ret i64 %sum
}
";

type Score = unsafe extern "C" fn(i64, *const u8) -> i64;

/// IR text to the bytes of an image.
fn image(name: &str, ir: &str) -> Vec<u8> {
    let object = Compiler::new().unwrap().compile_ir(name, ir.as_bytes());
    link(&[object.unwrap()])
}

fn link(objects: &[farcall::Object]) -> Vec<u8> {
    let mut linker = Linker::new();
    for object in objects {
        linker.add(object.name.as_str(), &object.bytes);
    }
    linker.link().unwrap()
}

fn trusted<'data>(name: &str, bytes: &'data [u8]) -> TrustedImage<'data> {
    let image = Image::parse(bytes).unwrap();
    image.verify_digest().unwrap();
    // SAFETY: this test has made it, of the IR above.
    unsafe { TrustedImage::assume_trusted(image) }.named(name)
}

fn load(loader: &Loader, name: &str, bytes: &[u8], scope: &[&Module]) -> Module {
    loader.load(&trusted(name, bytes), scope).unwrap()
}

/// A service of its own, at the other end of a socket pair.
fn executor() -> Executor {
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        let service = Service::new(Options::default());
        service.serve(Connection::unix(theirs)).unwrap();
    });
    Executor::over(ours.try_clone().unwrap(), ours).unwrap()
}

#[test]
fn text_becomes_a_function_here() {
    static ASKED: AtomicI64 = AtomicI64::new(0);
    extern "C" fn bonus(x: i64, name: *const u8) -> i64 {
        ASKED.fetch_add(x, Ordering::Relaxed);
        // SAFETY: the test passes a name that is not empty.
        i64::from(unsafe { *name })
    }

    let bytes = image("score.ll", SCORE);
    let mut loader = Loader::new();
    loader.define_function("bonus", bonus as extern "C" fn(i64, *const u8) -> i64);
    let module = load(&loader, "score", &bytes, &[]);

    let score = module.lookup::<Score>("score").unwrap();
    // SAFETY: it is the function above.
    assert_eq!(unsafe { score(4, c"A".as_ptr().cast()) }, 4 * 10 + 65);
    assert_eq!(ASKED.load(Ordering::Relaxed), 4);

    let weight = module.address("weight").unwrap().cast::<i64>();
    // SAFETY: a variable of this type, which nobody else uses.
    unsafe { *weight = 0 };
    // SAFETY: as above.
    assert_eq!(unsafe { score(4, c"A".as_ptr().cast()) }, 65);
    module.unload().unwrap();
}

#[test]
fn the_same_bytes_run_there() {
    let bytes = image("score.ll", SCORE);
    let bonus = image(
        "bonus.ll",
        "define i64 @bonus(i64 %x, ptr %name) {
           %first = load i8, ptr %name
           %bonus = zext i8 %first to i64
           ret i64 %bonus
         }",
    );
    let (score_image, bonus_image) = (Image::parse(&bytes).unwrap(), Image::parse(&bonus).unwrap());

    let executor = executor();
    let missing = executor.load(&score_image).unwrap_err().to_string();
    assert!(missing.contains("bonus"), "{missing}");

    executor.load(&bonus_image).unwrap();
    let module = executor.load(&score_image).unwrap();
    assert!(!module.was_loaded);
    let call = |x, name: &[u8]| {
        let mut arguments = [Argument::Int(x), Argument::In(name)];
        executor.call(&module, "score", None, &mut arguments)
    };
    let score = |value| Value::Int { bits: 64, value };
    assert_eq!(call(4, b"A\0").unwrap(), score(105));
    assert_eq!(call(5, b"a\0").unwrap(), score(147));

    let again = executor.load(&score_image).unwrap();
    assert!(again.was_loaded && !again.was_sent);
    let float = [Argument::Double(1.0), Argument::In(b"A")];
    let wrong = executor.call(&module, "score", None, &mut { float });
    let wrong = wrong.unwrap_err().to_string();
    assert!(wrong.contains("i64 (i64, ptr)"), "{wrong}");
}

#[test]
fn a_module_in_memory_is_compiled() {
    let context = Context::create();
    let module = context.create_module("memory");
    let builder = context.create_builder();
    let (i64, ptr) = (
        context.i64_type(),
        context.ptr_type(AddressSpace::default()),
    );
    let function = module.add_function("sum", i64.fn_type(&[ptr.into(), i64.into()], false), None);
    builder.position_at_end(context.append_basic_block(function, "entry"));
    let array = function.get_nth_param(0).unwrap().into_pointer_value();
    let index = function.get_nth_param(1).unwrap().into_int_value();
    // SAFETY: no memory is touched here: an instruction is made.
    let place = unsafe { builder.build_gep(i64, array, &[index], "place") }.unwrap();
    let value = builder
        .build_load(i64, place, "value")
        .unwrap()
        .into_int_value();
    let sum = builder.build_int_add(value, index, "sum").unwrap();
    builder.build_return(Some(&sum)).unwrap();

    let compiler = Compiler::builder().opt_level(OptLevel::O3).build().unwrap();
    let bytes = link(&[compiler.compile_module("memory", &module).unwrap()]);
    drop(builder);

    let loaded = load(&Loader::new(), "memory", &bytes, &[]);
    let sum = loaded.lookup::<unsafe extern "C" fn(*const i64, i64) -> i64>("sum");
    let values = [7, 8, 9];
    // SAFETY: the array has an element of this index.
    assert_eq!(unsafe { sum.unwrap()(values.as_ptr(), 2) }, 11);
}

#[test]
fn a_wrong_type_is_an_error_before_any_call() {
    extern "C" fn of_another_type(_: i32) -> i64 {
        0
    }
    let bytes = image("score.ll", SCORE);
    let mut loader = Loader::new();
    loader.define_function("bonus", of_another_type as extern "C" fn(i32) -> i64);
    let error = loader.load(&trusted("score", &bytes), &[]).unwrap_err();
    assert!(matches!(error, LoadError::Mismatched { .. }), "{error}");
    let message = error.to_string();
    for part in ["bonus", "i64 (i64, ptr)", "i64 (i32)", "score.ll: score"] {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }

    let square = "define i32 @square(i32 %x) { %y = mul i32 %x, %x ret i32 %y }";
    let module = load(&Loader::new(), "square", &image("square.ll", square), &[]);
    type OfAnotherType = unsafe extern "C" fn(f64) -> f64;
    let error = module.lookup::<OfAnotherType>("square").unwrap_err();
    assert_eq!(
        error.to_string(),
        "square: square is i32 (i32), not double (double)"
    );
    let error = module
        .lookup::<OfAnotherType>("sqare")
        .unwrap_err()
        .to_string();
    assert!(error.contains("similar: square"), "{error}");
    module
        .lookup::<unsafe extern "C" fn(i32) -> i32>("square")
        .unwrap();
}

#[test]
fn modules_import_from_those_in_scope_in_their_order() {
    let answer = |value| format!("define i32 @answer() {{ ret i32 {value} }}");
    let one = image("one.ll", &answer(1));
    let two = image(
        "two.ll",
        &(answer(2) + "\ndefine i32 @only_two() { ret i32 22 }"),
    );
    let user = image(
        "user.ll",
        "declare i32 @answer()
         declare i32 @only_two()
         define i32 @use() {
           %a = call i32 @answer()
           %b = call i32 @only_two()
           %sum = add i32 %a, %b
           ret i32 %sum
         }",
    );
    let loader = Loader::new();
    let one = load(&loader, "one", &one, &[]);
    let two = load(&loader, "two", &two, &[]);
    for (scope, expected) in [([&one, &two], 1 + 22), ([&two, &one], 2 + 22)] {
        let user = load(&loader, "user", &user, &scope);
        let function = user.lookup::<unsafe extern "C" fn() -> i32>("use").unwrap();
        // SAFETY: it is the function above.
        assert_eq!(unsafe { function() }, expected);
    }
    let error = loader.load(&trusted("user", &user), &[&one]).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("only_two") && message.contains("module one"),
        "{message}"
    );

    // What is imported from stays, as long as it is.
    let importer = load(&loader, "user", &user, &[&two]);
    let refused = two.unload().unwrap_err();
    assert_eq!(refused.importers, ["user"]);
    drop(importer);
    refused.module.unload().unwrap();
}

#[test]
fn two_modules_of_one_image_import_from_each_other() {
    let compiler = Compiler::new().unwrap();
    let even = "declare i1 @odd(i32)
        define i1 @even(i32 %n) {
          %done = icmp eq i32 %n, 0
          br i1 %done, label %yes, label %more
        yes:
          ret i1 true
        more:
          %less = sub i32 %n, 1
          %answer = call i1 @odd(i32 %less)
          ret i1 %answer
        }";
    let odd = even
        .replace("odd", "other")
        .replace("even", "odd")
        .replace("other", "even")
        .replace("i1 true", "i1 false");
    let objects = [("even.ll", even), ("odd.ll", &odd)]
        .map(|(name, ir)| compiler.compile_ir(name, ir.as_bytes()).unwrap());
    let module = load(&Loader::new(), "parity", &link(&objects), &[]);
    let even = module
        .lookup::<unsafe extern "C" fn(i32) -> bool>("even")
        .unwrap();
    // SAFETY: it is the function above.
    let answers = [0, 1, 7, 100].map(|n| unsafe { even(n) });
    assert_eq!(answers, [true, false, false, true]);
}

#[test]
fn a_compiler_is_used_by_many_threads() {
    let compiler = Compiler::new().unwrap();
    let loader = Loader::new();
    let compile = |number: i32| {
        let ir = format!("define i32 @number() {{ ret i32 {number} }}");
        compiler
            .compile_ir(&format!("{number}.ll"), ir.as_bytes())
            .unwrap()
    };
    thread::scope(|scope| {
        for first in [0, 100, 200, 300] {
            let (compile, loader) = (&compile, &loader);
            scope.spawn(move || {
                for number in first..first + 10 {
                    let bytes = link(&[compile(number)]);
                    let module = load(loader, "number", &bytes, &[]);
                    let function = module.lookup::<unsafe extern "C" fn() -> i32>("number");
                    // SAFETY: it is the function above.
                    assert_eq!(unsafe { function.unwrap()() }, number);
                }
            });
        }
    });
    assert_eq!(
        link(&[compile(5)]),
        link(&[compile(5)]),
        "the same bytes each time"
    );
}

#[test]
fn an_executor_takes_definitions() {
    let bytes = image("score.ll", SCORE);
    let image = Image::parse(&bytes).unwrap();
    let twelve = self::image(
        "twelve.ll",
        "define i64 @twelve(i64 %x, ptr %p) { ret i64 12 }",
    );
    let executor = executor();
    let provider = executor.load(&Image::parse(&twelve).unwrap()).unwrap();
    let definition = Definition::Export {
        module: (&provider).into(),
        name: "twelve",
    };
    executor
        .define("bonus", Some("i64 (i64, ptr)"), definition)
        .unwrap();
    let module = executor.load(&image).unwrap();
    let mut arguments = [Argument::Int(1), Argument::Pointer(0)];
    let score = executor
        .call(&module, "score", None, &mut arguments)
        .unwrap();
    assert_eq!(
        score,
        Value::Int {
            bits: 64,
            value: 22
        }
    );
}
