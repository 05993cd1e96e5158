//! What a program of the language is made of.

/// Where something is in the text, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// What is read at once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    /// `def name(parameters) body`
    Definition(Function),
    /// `extern name(parameters)`
    Extern(Prototype),
    /// An expression, to be computed now.
    Expression(Expression),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Function {
    pub(crate) prototype: Prototype,
    pub(crate) body: Expression,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prototype {
    pub(crate) place: Place,
    pub(crate) name: String,
    pub(crate) parameters: Vec<String>,
}

/// All values are doubles.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    Number(f64),
    Variable(Place, String),
    Assign(Place, String, Box<Expression>),
    Call(Place, String, Vec<Expression>),
    /// One that the language has: `+ - * / < >`.
    Binary(char, Box<Expression>, Box<Expression>),
    If(Box<Expression>, Box<Expression>, Box<Expression>),
    For {
        variable: String,
        start: Box<Expression>,
        condition: Box<Expression>,
        step: Option<Box<Expression>>,
        body: Box<Expression>,
    },
    Var(Vec<(String, Expression)>, Box<Expression>),
}

/// The function that a user's operator is.
pub(crate) fn operator_name(kind: &str, operator: char) -> String {
    format!("{kind}{operator}")
}

/// A function's name as the user wrote it, operators too.
pub(crate) fn shown(name: &str) -> String {
    match name.strip_prefix("unary").or(name.strip_prefix("binary")) {
        Some(operator) if !operator.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
            format!("operator {operator}")
        }
        _ => name.to_owned(),
    }
}
