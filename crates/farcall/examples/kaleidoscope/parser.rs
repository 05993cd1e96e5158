//! From words to items: recursive descent, with a table of how tightly operators bind.

use std::collections::{HashMap, HashSet};

use crate::lexer::{Token, words};
use crate::syntax::{Expression, Function, Item, Place, Prototype, operator_name};

/// Why a text is no program.
#[derive(Debug)]
pub(crate) enum ParseError {
    /// It ends in the middle of something; what was expected there.
    Unfinished(Place, String),
    At(Place, String),
}

/// Which operators there are.
#[derive(Debug, Clone)]
pub(crate) struct Operators {
    /// How tightly binary ones bind.
    precedence: HashMap<char, u32>,
    /// The functions of those that users have defined, which may be the language's own.
    defined: HashSet<String>,
}

impl Default for Operators {
    fn default() -> Self {
        let known = [
            ('<', 10),
            ('>', 10),
            ('+', 20),
            ('-', 20),
            ('*', 40),
            ('/', 40),
        ];
        Self {
            precedence: known.into(),
            defined: HashSet::new(),
        }
    }
}

type Parsed<T> = Result<T, ParseError>;

/// How tightly `=` binds.
const ASSIGNMENT: u32 = 2;
const WORDS: &[&str] = &[
    "def", "extern", "if", "then", "else", "for", "in", "var", "unary", "binary",
];

struct Parser<'a> {
    words: Vec<(Place, Token)>,
    next: usize,
    operators: &'a mut Operators,
}

/// The items of a text, each with its begin. Operators that it defines are known from then on.
pub(crate) fn parse(text: &str, operators: &mut Operators) -> Parsed<Vec<(Place, Item)>> {
    let words = words(text).map_err(|(place, what)| ParseError::At(place, what))?;
    let before = operators.clone();
    let mut parser = Parser {
        words,
        next: 0,
        operators,
    };
    let items = parser.items();
    if items.is_err() {
        *operators = before;
    }
    items
}

impl Parser<'_> {
    fn items(&mut self) -> Parsed<Vec<(Place, Item)>> {
        let mut items = Vec::new();
        loop {
            while self.accept(';') {}
            if *self.peek() == Token::End {
                return Ok(items);
            }
            items.push((self.place(), self.item()?));
            // The next one is behind a semicolon or on another line.
            let (last, _) = self.words[self.next - 1];
            if !matches!(self.peek(), Token::End | Token::Sign(';'))
                && self.place().line == last.line
            {
                return self.expected("an operator, ; or the end of the line");
            }
        }
    }

    fn item(&mut self) -> Parsed<Item> {
        if self.accept_word("def") {
            let prototype = self.prototype()?;
            let body = self.expression()?;
            return Ok(Item::Definition(Function { prototype, body }));
        }
        if self.accept_word("extern") {
            return Ok(Item::Extern(self.prototype()?));
        }
        Ok(Item::Expression(self.expression()?))
    }

    fn prototype(&mut self) -> Parsed<Prototype> {
        let kind = ["unary", "binary"]
            .into_iter()
            .find(|kind| self.accept_word(kind));
        let place = self.place();
        let (name, operator) = match kind {
            None => (self.name("a function's name")?, None),
            Some(kind) => {
                let operator = match *self.peek() {
                    Token::Sign(sign) if !"(),;=".contains(sign) => sign,
                    _ => return self.expected("an operator"),
                };
                self.next += 1;
                (operator_name(kind, operator), Some(operator))
            }
        };
        let mut precedence = 30;
        if kind == Some("binary")
            && let Token::Number(number) = *self.peek()
        {
            if !(1.0..=100.0).contains(&number) || number.fract() != 0.0 {
                let what = "its precedence is a whole number from 1 to 100".to_owned();
                return Err(ParseError::At(self.place(), what));
            }
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "1 to 100"
            )]
            let number = number as u32;
            precedence = number;
            self.next += 1;
        }
        self.expect('(')?;
        let mut parameters = Vec::new();
        while !self.accept(')') {
            if !parameters.is_empty() {
                // The comma may be left out.
                self.accept(',');
            }
            let place = self.place();
            let parameter = self.name("a parameter or )")?;
            if parameters.contains(&parameter) {
                let what = format!("a second parameter is named {parameter}");
                return Err(ParseError::At(place, what));
            }
            parameters.push(parameter);
        }
        let wanted = match kind {
            None => parameters.len(),
            Some("unary") => 1,
            Some(_) => 2,
        };
        if parameters.len() != wanted {
            let wanted = counted(wanted, "parameter");
            let what = format!(
                "this operator needs {wanted}, here are {}",
                parameters.len()
            );
            return Err(ParseError::At(place, what));
        }
        if let Some(operator) = operator {
            // At once, because its body may use it.
            self.operators.defined.insert(name.clone());
            if kind == Some("binary") {
                self.operators.precedence.insert(operator, precedence);
            }
        }
        Ok(Prototype {
            place,
            name,
            parameters,
        })
    }

    fn expression(&mut self) -> Parsed<Expression> {
        let left = self.unary()?;
        self.operations(0, left)
    }

    /// What follows `left` and binds more tightly than `least`.
    fn operations(&mut self, least: u32, mut left: Expression) -> Parsed<Expression> {
        loop {
            let place = self.place();
            let Token::Sign(operator) = *self.peek() else {
                return Ok(left);
            };
            if operator == '=' && least < ASSIGNMENT {
                let Expression::Variable(place, name) = left else {
                    let what = "only a variable can be given a value".to_owned();
                    return Err(ParseError::At(place, what));
                };
                self.next += 1;
                let value = self.unary()?;
                // To the right: the value may be an assignment too.
                let value = self.operations(ASSIGNMENT - 1, value)?;
                left = Expression::Assign(place, name, Box::new(value));
                continue;
            }
            let Some(&precedence) = self.operators.precedence.get(&operator) else {
                return Ok(left);
            };
            if precedence <= least {
                return Ok(left);
            }
            self.next += 1;
            let right = self.unary()?;
            let right = self.operations(precedence, right)?;
            let name = operator_name("binary", operator);
            left = match self.operators.defined.contains(&name) {
                true => Expression::Call(place, name, vec![left, right]),
                false => Expression::Binary(operator, Box::new(left), Box::new(right)),
            };
        }
    }

    fn unary(&mut self) -> Parsed<Expression> {
        let place = self.place();
        let Token::Sign(operator) = *self.peek() else {
            return self.primary();
        };
        let name = operator_name("unary", operator);
        if self.operators.defined.contains(&name) {
            self.next += 1;
            let value = self.unary()?;
            return Ok(Expression::Call(place, name, vec![value]));
        }
        if operator == '-' {
            self.next += 1;
            let zero = Box::new(Expression::Number(-0.0));
            let value = Box::new(self.unary()?);
            return Ok(Expression::Binary('-', zero, value));
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed<Expression> {
        if self.accept_word("if") {
            let condition = self.expression()?;
            self.expect_word("then")?;
            let then = self.expression()?;
            self.expect_word("else")?;
            let otherwise = self.expression()?;
            let [condition, then, otherwise] = [condition, then, otherwise].map(Box::new);
            return Ok(Expression::If(condition, then, otherwise));
        }
        if self.accept_word("for") {
            let variable = self.name("a variable")?;
            self.expect('=')?;
            let start = Box::new(self.expression()?);
            self.expect(',')?;
            let condition = Box::new(self.expression()?);
            let step = match self.accept(',') {
                true => Some(Box::new(self.expression()?)),
                false => None,
            };
            self.expect_word("in")?;
            let body = Box::new(self.expression()?);
            return Ok(Expression::For {
                variable,
                start,
                condition,
                step,
                body,
            });
        }
        if self.accept_word("var") {
            let mut variables = Vec::new();
            loop {
                let name = self.name("a variable")?;
                let value = match self.accept('=') {
                    true => self.expression()?,
                    false => Expression::Number(0.0),
                };
                variables.push((name, value));
                if !self.accept(',') {
                    break;
                }
            }
            self.expect_word("in")?;
            return Ok(Expression::Var(variables, Box::new(self.expression()?)));
        }
        let place = self.place();
        match self.peek().clone() {
            Token::Number(number) => {
                self.next += 1;
                Ok(Expression::Number(number))
            }
            Token::Sign('(') => {
                self.next += 1;
                let inner = self.expression()?;
                self.expect(')')?;
                Ok(inner)
            }
            Token::Name(_) => {
                let name = self.name("an expression")?;
                if !self.accept('(') {
                    return Ok(Expression::Variable(place, name));
                }
                let mut arguments = Vec::new();
                while !self.accept(')') {
                    if !arguments.is_empty() && !self.accept(',') {
                        return self.expected(", or )");
                    }
                    arguments.push(self.expression()?);
                }
                Ok(Expression::Call(place, name, arguments))
            }
            _ => self.expected("an expression"),
        }
    }

    fn peek(&self) -> &Token {
        &self.words[self.next.min(self.words.len() - 1)].1
    }

    fn place(&self) -> Place {
        self.words[self.next.min(self.words.len() - 1)].0
    }

    fn accept(&mut self, sign: char) -> bool {
        let is_there = *self.peek() == Token::Sign(sign);
        self.next += usize::from(is_there);
        is_there
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let is_there = matches!(self.peek(), Token::Name(name) if name == word);
        self.next += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, sign: char) -> Parsed<()> {
        match self.accept(sign) {
            true => Ok(()),
            false => self.expected(&sign.to_string()),
        }
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        match self.accept_word(word) {
            true => Ok(()),
            false => self.expected(word),
        }
    }

    fn name(&mut self, what: &str) -> Parsed<String> {
        match self.peek().clone() {
            Token::Name(name) if !WORDS.contains(&&*name) => {
                self.next += 1;
                Ok(name)
            }
            _ => self.expected(what),
        }
    }

    fn expected<T>(&self, what: &str) -> Parsed<T> {
        let found = match self.peek() {
            Token::End => {
                let message = format!("expected {what}, found the end");
                return Err(ParseError::Unfinished(self.place(), message));
            }
            Token::Name(name) => name.clone(),
            Token::Number(number) => number.to_string(),
            Token::Sign(sign) => sign.to_string(),
        };
        let message = format!("expected {what}, found {found}");
        Err(ParseError::At(self.place(), message))
    }
}

/// `1 parameter`, `2 parameters`.
pub(crate) fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
