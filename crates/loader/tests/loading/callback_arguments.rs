//! What a callback is given and what comes back: all that C passes, wherever it passes it.

use std::sync::{Arc, Mutex};

use farcall_loader::callback::Argument;
use farcall_loader::invoke::Value;
use farcall_loader::{Definition, Loader};
use farcall_testkit::require_tools;

use crate::common::{call, load};

/// A type in C, in LLVM's syntax with what extends it, and its values: in C, as an argument and as a result.
struct Kind {
    c: &'static str,
    value_type: &'static str,
    extension: &'static str,
    value: fn(u64) -> (String, Argument, Value),
}

const KINDS: [Kind; 12] = [
    Kind {
        c: "_Bool",
        value_type: "i1",
        extension: "zeroext",
        value: |n| unsigned(1, n % 2),
    },
    Kind {
        c: "signed char",
        value_type: "i8",
        extension: "signext",
        value: |n| signed(8, -120 + of(n)),
    },
    Kind {
        c: "unsigned char",
        value_type: "i8",
        extension: "zeroext",
        value: |n| unsigned(8, 200 + n),
    },
    Kind {
        c: "short",
        value_type: "i16",
        extension: "signext",
        value: |n| signed(16, -30_000 + of(n)),
    },
    Kind {
        c: "unsigned short",
        value_type: "i16",
        extension: "zeroext",
        value: |n| unsigned(16, 60_000 + n),
    },
    Kind {
        c: "int",
        value_type: "i32",
        extension: "",
        value: |n| signed(32, -2_000_000_000 + of(n)),
    },
    Kind {
        c: "unsigned",
        value_type: "i32",
        extension: "zeroext",
        value: |n| unsigned(32, 4_000_000_000 + n),
    },
    Kind {
        c: "long",
        value_type: "i64",
        extension: "",
        value: |n| signed(64, -9_000_000_000_000_000_000 + of(n)),
    },
    Kind {
        c: "unsigned long",
        value_type: "i64",
        extension: "zeroext",
        value: |n| unsigned(64, 18_000_000_000_000_000_000 + n),
    },
    Kind {
        c: "float",
        value_type: "float",
        extension: "",
        value: |n| {
            let value = 0.5 + f32::from(small(n));
            let text = format!("{value:.2}f");
            (text, Argument::Float(value), Value::Float(value))
        },
    },
    Kind {
        c: "double",
        value_type: "double",
        extension: "",
        value: |n| {
            let value = -1e100 * f64::from(small(n));
            let text = format!("{value:e}");
            (text, Argument::Double(value), Value::Double(value))
        },
    },
    Kind {
        c: "void *",
        value_type: "ptr",
        extension: "",
        value: |n| {
            let address = 0x7fff_0000_1000 + n;
            let text = format!("(void *){address}");
            (text, Argument::Pointer(address), Value::Pointer(address))
        },
    },
];

fn of(n: u64) -> i64 {
    n.cast_signed()
}

fn small(n: u64) -> u8 {
    u8::try_from(n).unwrap()
}

fn unsigned(bits: u32, value: u64) -> (String, Argument, Value) {
    let text = format!("{value}u");
    (text, Argument::Int(value), Value::Int { bits, value })
}

fn signed(bits: u32, value: i64) -> (String, Argument, Value) {
    let extended = value.cast_unsigned();
    let value_of = Value::Int {
        bits,
        value: extended & (u64::MAX >> (64 - bits)),
    };
    (
        format!("({value}{})", "L"),
        Argument::Int(extended),
        value_of,
    )
}

/// A callback and its call in C.
struct Case {
    signature: String,
    source: String,
    arguments: Vec<Argument>,
    result: Value,
}

impl Case {
    /// `None` as a result is nothing.
    fn new(index: usize, parameters: &[&Kind], result: Option<&Kind>) -> Self {
        let of_all = |text: fn(&Kind) -> String| {
            let texts: Vec<_> = parameters.iter().map(|kind| text(kind)).collect();
            texts.join(", ")
        };
        let types = of_all(|kind| format!("{} {}", kind.value_type, kind.extension));
        let c_types = match parameters {
            [] => "void".to_owned(),
            _ => of_all(|kind| kind.c.to_owned()),
        };
        let numbered = parameters.iter().zip(1..);
        let values = numbered.map(|(kind, n)| (kind.value)(n));
        let (texts, arguments): (Vec<_>, Vec<_>) =
            values.map(|(text, argument, _)| (text, argument)).unzip();
        let expression = format!("callback{index}({})", texts.join(", "));
        let (result_type, c_result, check, result) = match result {
            None => (
                "void".to_owned(),
                "void",
                format!("{expression}; return 1;"),
                Value::Void,
            ),
            Some(kind) => {
                let (text, _, value) = (kind.value)(21);
                let result_type = format!("{} {}", kind.extension, kind.value_type);
                // As wide as a register, so that what is above a narrow result is looked at.
                let wide = match value {
                    Value::Int { .. } => "(long)",
                    _ => "",
                };
                (
                    result_type,
                    kind.c,
                    format!("return {wide}{expression} == {wide}{text};"),
                    value,
                )
            }
        };
        let signature = format!("{result_type} ({types})");
        let source = format!(
            "TYPE(callback{index}, \"{signature}\") {c_result} callback{index}({c_types});
            int call{index}(void) {{ {check} }}\n"
        );
        Self {
            signature,
            source,
            arguments,
            result,
        }
    }
}

#[test]
fn arguments_and_results_of_all_kinds_pass_in_registers_and_on_the_stack() {
    require_tools!("clang-22");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        &KINDS[usize::try_from(state % KINDS.len() as u64).unwrap()]
    };
    let mut signatures = Vec::new();
    for count in 0..=20 {
        for _ in 0..8 {
            signatures.push((0..count).map(|_| random()).collect::<Vec<_>>());
        }
    }
    // More of one kind than there are registers.
    signatures.extend(KINDS.iter().map(|kind| vec![kind; 20]));
    // More than a call that the host makes may have.
    signatures.push((0..60).map(|_| random()).collect());
    let results = KINDS.iter().map(Some).chain([None]).cycle();
    let cases = signatures.iter().zip(results).enumerate();
    let cases = cases.map(|(index, (parameters, result))| Case::new(index, parameters, result));
    let cases: Vec<_> = cases.collect();

    let mut loader = Loader::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    for (index, case) in cases.iter().enumerate() {
        let (seen, result) = (Arc::clone(&seen), case.result);
        let callback = Definition::callback(case.signature.parse().unwrap(), move |arguments| {
            seen.lock().unwrap().push(arguments.to_vec());
            result
        });
        loader.define(&format!("callback{index}"), callback.unwrap());
    }
    let source: String = cases.iter().map(|case| &*case.source).collect();
    let module = load(&loader, "caller.c", &source, &[]).unwrap();
    for (index, case) in cases.iter().enumerate() {
        let came_back = call(&module, &format!("call{index}"));
        assert_eq!(came_back, 1, "the result of {}", case.signature);
        let arguments = seen.lock().unwrap().pop().unwrap();
        assert_eq!(arguments, case.arguments, "{}", case.signature);
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[test]
fn what_is_above_a_narrow_argument_is_not_looked_at() {
    require_tools!("clang-22");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let signature =
        "void (i8, i8 zeroext, i1, i16 signext, i32, i32 zeroext, i8, i8 zeroext, i32, i1)";
    let notes = Arc::clone(&seen);
    let callback = Definition::callback(signature.parse().unwrap(), move |arguments| {
        notes.lock().unwrap().extend_from_slice(arguments);
        Value::Void
    });
    let mut loader = Loader::new();
    loader.define("narrow", callback.unwrap());
    // The image says nothing of the type, and fills whole registers and slots.
    let source = "void narrow(long, long, long, long, long, long, long, long, long, long);
        int pass(void) {
            long all = 0x5555555555555581; unsigned long ones = -2UL;
            narrow(all, all, ones, 0x55555555ffff8000, ones, ones, all, all, 0x5555555580000000, all); return 1; }";
    let module = load(&loader, "caller.c", source, &[]).unwrap();
    assert_eq!(call(&module, "pass"), 1);
    let expected = [
        -127_i64,
        0x81,
        0,
        -0x8000,
        -2,
        0xffff_fffe,
        -127,
        0x81,
        -0x8000_0000,
        1,
    ];
    let expected = expected.map(|value| Argument::Int(value.cast_unsigned()));
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn narrow_results_are_extended_as_the_signature_says() {
    require_tools!("clang-22");
    let mut loader = Loader::new();
    // A closure may give bits that are above the result's width.
    for (name, result) in [
        ("low", "i8"),
        ("with_sign", "signext i8"),
        ("without", "zeroext i8"),
        ("truth", "zeroext i1"),
    ] {
        let signature = format!("{result} ()").parse().unwrap();
        let callback = Definition::callback(signature, |_| Value::Int {
            bits: 64,
            value: 0xabcd_ef81,
        });
        loader.define(name, callback.unwrap());
    }
    // The image takes the whole register, which is what the caller's compiler may count on.
    let source = "long low(void), with_sign(void), without(void), truth(void);
        int all(void) { return low() == -127 && with_sign() == -127 && without() == 129 && truth() == 1; }";
    let module = load(&loader, "caller.c", source, &[]).unwrap();
    assert_eq!(call(&module, "all"), 1);
}

#[test]
fn the_stack_is_aligned_in_a_callback() {
    #[repr(align(16))]
    struct Aligned(u8);
    require_tools!("clang-22");
    let mut loader = Loader::new();
    for (name, signature) in [
        ("none", "i32 ()"),
        ("odd", "i32 (i64, i64, i64, i64, i64, i64, i64, i64, i64)"),
    ] {
        let callback = Definition::callback(signature.parse().unwrap(), |_| {
            let local = Aligned(0);
            let address = std::hint::black_box(&raw const local).addr();
            let value = address as u64 % 16 + u64::from(local.0);
            Value::Int { bits: 32, value }
        });
        loader.define(name, callback.unwrap());
    }
    let source = "int none(void), odd(long, long, long, long, long, long, long, long, long);
        int offsets(void) { return none() + odd(1, 2, 3, 4, 5, 6, 7, 8, 9); }";
    let module = load(&loader, "caller.c", source, &[]).unwrap();
    assert_eq!(call(&module, "offsets"), 0);
}
