//! From items to LLVM IR: each function is a module of its own.
//!
//! Recursion without end is an error of the line that began it, not the end of the process: each function compares where
//! its frame is with where that of the line is. When it is too far, it calls [`TOO_DEEP`], which throws.

use std::collections::{BTreeSet, HashMap};

use farcall::inkwell::attributes::{Attribute, AttributeLoc};
use farcall::inkwell::basic_block::BasicBlock;
use farcall::inkwell::builder::{Builder, BuilderError};
use farcall::inkwell::context::Context;
use farcall::inkwell::module::Module;
use farcall::inkwell::values::{FloatValue, FunctionValue, IntValue, PointerValue};
use farcall::inkwell::{AddressSpace, FloatPredicate, IntPredicate};

use crate::parser::counted;
use crate::syntax::{Expression, Function, Place, Prototype, shown};

/// How many parameters each function has that is known.
pub(crate) type Known = HashMap<String, usize>;

/// What engines have to define, by names that nobody can write in the language: the address of the line's frame,
pub(crate) const LINE_FRAME: &str = "line frame";
/// a function that throws,
pub(crate) const TOO_DEEP: &str = "too deep";
/// and one that writes out what is buffered.
pub(crate) const FLUSH: &str = "flush output";

/// How much stack a line may use, in bytes. Executors give 8 MiB to a call.
const MAX_STACK: u64 = 4 << 20;

/// A function as IR.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub(crate) name: String,
    /// Tells it from others of its name.
    pub(crate) version: usize,
    pub(crate) n_parameters: usize,
    pub(crate) text: String,
    pub(crate) bitcode: Vec<u8>,
    /// The functions that it calls.
    pub(crate) calls: BTreeSet<String>,
}

/// Why there is no code.
#[derive(Debug)]
pub(crate) struct CodegenError {
    pub(crate) place: Option<Place>,
    pub(crate) message: String,
}

impl From<BuilderError> for CodegenError {
    fn from(error: BuilderError) -> Self {
        Self {
            place: None,
            message: error.to_string(),
        }
    }
}

type Result<T, E = CodegenError> = std::result::Result<T, E>;

/// What a function is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Definition,
    /// An expression that is computed at once.
    Line,
}

/// The IR of a function.
pub(crate) fn generate(
    function: &Function,
    role: Role,
    version: usize,
    known: &Known,
) -> Result<Code> {
    let context = Context::create();
    let mut generator = Generator {
        context: &context,
        module: context.create_module(&function.prototype.name),
        builder: context.create_builder(),
        known,
        variables: HashMap::new(),
        function: None,
        calls: BTreeSet::new(),
    };
    generator.function(function, role)?;
    if let Err(message) = generator.module.verify() {
        let (place, message) = (None, message.to_string());
        return Err(CodegenError { place, message });
    }
    Ok(Code {
        name: function.prototype.name.clone(),
        version,
        n_parameters: function.prototype.parameters.len(),
        text: generator.module.print_to_string().to_string(),
        bitcode: generator
            .module
            .write_bitcode_to_memory()
            .as_slice()
            .to_vec(),
        calls: generator.calls,
    })
}

struct Generator<'c, 'k> {
    context: &'c Context,
    module: Module<'c>,
    builder: Builder<'c>,
    known: &'k Known,
    /// The memory of each.
    variables: HashMap<String, PointerValue<'c>>,
    function: Option<FunctionValue<'c>>,
    calls: BTreeSet<String>,
}

impl<'c> Generator<'c, '_> {
    fn function(&mut self, function: &Function, role: Role) -> Result<()> {
        let Prototype {
            name, parameters, ..
        } = &function.prototype;
        let value = self.declare(name, parameters.len());
        // What is thrown passes through it.
        let unwindable = Attribute::get_named_enum_kind_id("uwtable");
        let unwindable = self.context.create_enum_attribute(unwindable, 2);
        value.add_attribute(AttributeLoc::Function, unwindable);
        self.function = Some(value);
        let entry = self.context.append_basic_block(value, "entry");
        self.builder.position_at_end(entry);
        match role {
            Role::Line => self.begin_line()?,
            Role::Definition => self.check_depth(value)?,
        }
        for (name, parameter) in parameters.iter().zip(value.get_param_iter()) {
            let slot = self.slot(name)?;
            self.builder.build_store(slot, parameter)?;
            self.variables.insert(name.clone(), slot);
        }
        let result = self.expression(&function.body)?;
        if role == Role::Line {
            self.call_engine(FLUSH)?;
        }
        self.builder.build_return(Some(&result))?;
        Ok(())
    }

    fn begin_line(&self) -> Result<()> {
        let (frame, line_frame) = (self.frame()?, self.line_frame());
        self.builder.build_store(line_frame, frame)?;
        Ok(())
    }

    fn check_depth(&self, function: FunctionValue<'c>) -> Result<()> {
        let address = self.context.i64_type();
        let (frame, line_frame) = (self.frame()?, self.line_frame());
        let begin = self.builder.build_load(address, line_frame, "begin")?;
        let depth = begin.into_int_value();
        let depth = self.builder.build_int_sub(depth, frame, "depth")?;
        let max = address.const_int(MAX_STACK, false);
        let is_deep = self
            .builder
            .build_int_compare(IntPredicate::SGT, depth, max, "is_deep")?;
        let [deep, fine] = self.blocks(function, ["deep", "fine"]);
        (self.builder).build_conditional_branch(is_deep, deep, fine)?;
        self.builder.position_at_end(deep);
        self.call_engine(TOO_DEEP)?;
        self.builder.build_unreachable()?;
        self.builder.position_at_end(fine);
        Ok(())
    }

    /// The address of the function's frame. Stacks grow down.
    fn frame(&self) -> Result<IntValue<'c>> {
        let pointer = self.context.ptr_type(AddressSpace::default());
        let own = self.context.i32_type();
        let intrinsic = pointer.fn_type(&[own.into()], false);
        let intrinsic = (self.module).add_function("llvm.frameaddress.p0", intrinsic, None);
        let frame = (self.builder).build_call(intrinsic, &[own.const_zero().into()], "frame")?;
        let frame = frame.try_as_basic_value().expect_basic("a pointer");
        let (frame, address) = (frame.into_pointer_value(), self.context.i64_type());
        Ok(self.builder.build_ptr_to_int(frame, address, "frame")?)
    }

    fn line_frame(&self) -> PointerValue<'c> {
        let address = self.context.i64_type();
        let global = self.module.add_global(address, None, LINE_FRAME);
        global.as_pointer_value()
    }

    fn call_engine(&self, name: &str) -> Result<()> {
        let function = self.context.void_type().fn_type(&[], false);
        let function = self.module.add_function(name, function, None);
        self.builder.build_call(function, &[], "")?;
        Ok(())
    }

    fn blocks<const N: usize>(
        &self,
        function: FunctionValue<'c>,
        names: [&str; N],
    ) -> [BasicBlock<'c>; N] {
        names.map(|name| self.context.append_basic_block(function, name))
    }

    fn declare(&self, name: &str, n_parameters: usize) -> FunctionValue<'c> {
        self.module.get_function(name).unwrap_or_else(|| {
            let double = self.context.f64_type();
            let parameters = vec![double.into(); n_parameters];
            self.module
                .add_function(name, double.fn_type(&parameters, false), None)
        })
    }

    /// Memory for a variable, at the function's entry: passes make a register of it.
    fn slot(&self, name: &str) -> Result<PointerValue<'c>> {
        let function = self.function.expect("it is being generated");
        let entry = function.get_first_basic_block().expect("it has one");
        let builder = self.context.create_builder();
        match entry.get_first_instruction() {
            Some(first) => builder.position_before(&first),
            None => builder.position_at_end(entry),
        }
        Ok(builder.build_alloca(self.context.f64_type(), name)?)
    }

    fn expression(&mut self, expression: &Expression) -> Result<FloatValue<'c>> {
        let double = self.context.f64_type();
        match expression {
            Expression::Number(number) => Ok(double.const_float(*number)),
            Expression::Variable(place, name) => {
                let slot = self.variable(*place, name)?;
                Ok(self
                    .builder
                    .build_load(double, slot, name)?
                    .into_float_value())
            }
            Expression::Assign(place, name, value) => {
                let value = self.expression(value)?;
                let slot = self.variable(*place, name)?;
                self.builder.build_store(slot, value)?;
                Ok(value)
            }
            Expression::Call(place, name, arguments) => self.call(*place, name, arguments),
            Expression::Binary(operator, left, right) => {
                let left = self.expression(left)?;
                let right = self.expression(right)?;
                self.binary(*operator, left, right)
            }
            Expression::If(condition, then, otherwise) => self.choice(condition, then, otherwise),
            Expression::For {
                variable,
                start,
                condition,
                step,
                body,
            } => {
                let start = self.expression(start)?;
                let slot = self.slot(variable)?;
                self.builder.build_store(slot, start)?;
                let hidden = self.variables.insert(variable.clone(), slot);
                self.repeat(slot, condition, step.as_deref(), body)?;
                self.restore(variable, hidden);
                Ok(double.const_zero())
            }
            Expression::Var(variables, body) => {
                let mut hidden = Vec::new();
                for (name, value) in variables {
                    // It does not see itself.
                    let value = self.expression(value)?;
                    let slot = self.slot(name)?;
                    self.builder.build_store(slot, value)?;
                    hidden.push((name, self.variables.insert(name.clone(), slot)));
                }
                let result = self.expression(body)?;
                for (name, hidden) in hidden.into_iter().rev() {
                    self.restore(name, hidden);
                }
                Ok(result)
            }
        }
    }

    fn variable(&self, place: Place, name: &str) -> Result<PointerValue<'c>> {
        let slot = self.variables.get(name).copied();
        slot.ok_or_else(|| CodegenError {
            place: Some(place),
            message: format!("{name}: no such variable"),
        })
    }

    fn restore(&mut self, name: &str, hidden: Option<PointerValue<'c>>) {
        match hidden {
            Some(slot) => self.variables.insert(name.to_owned(), slot),
            None => self.variables.remove(name),
        };
    }

    fn call(
        &mut self,
        place: Place,
        name: &str,
        arguments: &[Expression],
    ) -> Result<FloatValue<'c>> {
        let error = |message| CodegenError {
            place: Some(place),
            message,
        };
        let own = self
            .function
            .filter(|own| own.get_name().to_bytes() == name.as_bytes())
            .map(|own| own.count_params() as usize);
        let Some(expected) = own.or_else(|| self.known.get(name).copied()) else {
            let shown = shown(name);
            let what =
                format!("{shown}: no such function; one that comes later is declared by extern");
            return Err(error(what));
        };
        if expected != arguments.len() {
            let (shown, expected) = (shown(name), counted(expected, "argument"));
            return Err(error(format!(
                "{shown} takes {expected}, here are {}",
                arguments.len()
            )));
        }
        self.calls.insert(name.to_owned());
        let callee = self.declare(name, arguments.len());
        let arguments = arguments.iter().map(|it| Ok(self.expression(it)?.into()));
        let arguments = arguments.collect::<Result<Vec<_>>>()?;
        let call = self.builder.build_call(callee, &arguments, "call")?;
        let value = call.try_as_basic_value().expect_basic("a double");
        Ok(value.into_float_value())
    }

    fn binary(
        &self,
        operator: char,
        left: FloatValue<'c>,
        right: FloatValue<'c>,
    ) -> Result<FloatValue<'c>> {
        let compare = |predicate| {
            let bit = self
                .builder
                .build_float_compare(predicate, left, right, "compare")?;
            self.builder
                .build_unsigned_int_to_float(bit, self.context.f64_type(), "bool")
        };
        Ok(match operator {
            '+' => self.builder.build_float_add(left, right, "sum")?,
            '-' => self.builder.build_float_sub(left, right, "difference")?,
            '*' => self.builder.build_float_mul(left, right, "product")?,
            '/' => self.builder.build_float_div(left, right, "quotient")?,
            '<' => compare(FloatPredicate::ULT)?,
            _ => compare(FloatPredicate::UGT)?,
        })
    }

    fn choice(
        &mut self,
        condition: &Expression,
        then: &Expression,
        otherwise: &Expression,
    ) -> Result<FloatValue<'c>> {
        let function = self.function.expect("it is being generated");
        let [then_block, else_block, after] = self.blocks(function, ["then", "else", "after"]);
        let result = self.slot("if")?;
        self.branch(condition, then_block, else_block)?;
        for (block, value) in [(then_block, then), (else_block, otherwise)] {
            self.builder.position_at_end(block);
            let value = self.expression(value)?;
            self.builder.build_store(result, value)?;
            self.builder.build_unconditional_branch(after)?;
        }
        self.builder.position_at_end(after);
        let value = self
            .builder
            .build_load(self.context.f64_type(), result, "if")?;
        Ok(value.into_float_value())
    }

    /// The condition is asked before each round.
    fn repeat(
        &mut self,
        slot: PointerValue<'c>,
        condition: &Expression,
        step: Option<&Expression>,
        body: &Expression,
    ) -> Result<()> {
        let function = self.function.expect("it is being generated");
        let [test, round, after] = self.blocks(function, ["test", "round", "after"]);
        self.builder.build_unconditional_branch(test)?;
        self.builder.position_at_end(test);
        self.branch(condition, round, after)?;
        self.builder.position_at_end(round);
        self.expression(body)?;
        let double = self.context.f64_type();
        let step = match step {
            Some(step) => self.expression(step)?,
            None => double.const_float(1.0),
        };
        let value = self
            .builder
            .build_load(double, slot, "i")?
            .into_float_value();
        let next = self.builder.build_float_add(value, step, "next")?;
        self.builder.build_store(slot, next)?;
        self.builder.build_unconditional_branch(test)?;
        self.builder.position_at_end(after);
        Ok(())
    }

    /// What is not zero is true.
    fn branch(
        &mut self,
        condition: &Expression,
        yes: BasicBlock<'c>,
        no: BasicBlock<'c>,
    ) -> Result<()> {
        let value = self.expression(condition)?;
        let zero = self.context.f64_type().const_zero();
        let is_true = self
            .builder
            .build_float_compare(FloatPredicate::ONE, value, zero, "true")?;
        self.builder.build_conditional_branch(is_true, yes, no)?;
        Ok(())
    }
}
