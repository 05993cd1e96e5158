//! From words to items: recursive descent, with a table of how tightly operators bind.

use std::collections::HashMap;

use crate::lexer::{Token, words};
use crate::syntax::{Expression, Function, Item, Place, Prototype, operator_name};

/// Why a text is no program.
#[derive(Debug)]
pub(crate) enum ParseError {
    /// It ends in the middle of something.
    Unfinished,
    At(Place, String),
}

/// How tightly binary operators bind, also those that users have defined.
#[derive(Debug, Clone)]
pub(crate) struct Operators(HashMap<char, u32>);

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
        Self(known.into())
    }
}

type Parsed<T> = Result<T, ParseError>;

/// How tightly `=` binds.
const ASSIGNMENT: u32 = 2;
const BUILT_IN: &str = "<>+-*/";
const WORDS: &[&str] = &[
    "def", "extern", "if", "then", "else", "for", "in", "var", "unary", "binary",
];

struct Parser<'a> {
    words: Vec<(Place, Token)>,
    next: usize,
    operators: &'a mut Operators,
}

/// The items of a text. Operators that it defines are known from then on.
pub(crate) fn parse(text: &str, operators: &mut Operators) -> Parsed<Vec<Item>> {
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
    fn items(&mut self) -> Parsed<Vec<Item>> {
        let mut items = Vec::new();
        loop {
            while self.accept(';') {}
            if *self.peek() == Token::End {
                return Ok(items);
            }
            items.push(self.item()?);
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
                if kind == "binary" && BUILT_IN.contains(operator) {
                    return Err(ParseError::At(
                        place,
                        format!("{operator} is the language's own"),
                    ));
                }
                self.next += 1;
                (operator_name(kind, operator), Some(operator))
            }
        };
        let mut precedence = 30;
        if kind == Some("binary")
            && let Token::Number(number) = *self.peek()
        {
            if !(1.0..=100.0).contains(&number) || number.fract() != 0.0 {
                let what = "how tightly it binds is a number from 1 to 100".to_owned();
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
            parameters.push(self.name("a parameter or )")?);
        }
        let wanted = match kind {
            None => parameters.len(),
            Some("unary") => 1,
            Some(_) => 2,
        };
        if parameters.len() != wanted {
            let what = format!(
                "an operator of {wanted} has {} parameters",
                parameters.len()
            );
            return Err(ParseError::At(place, what));
        }
        if let (Some("binary"), Some(operator)) = (kind, operator) {
            self.operators.0.insert(operator, precedence);
        }
        Ok(Prototype { name, parameters })
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
            if operator == '='
                && least < ASSIGNMENT
                && let Expression::Variable(place, name) = &left
            {
                self.next += 1;
                let (place, name) = (*place, name.clone());
                let value = self.unary()?;
                // To the right: the value may be an assignment too.
                let value = self.operations(ASSIGNMENT - 1, value)?;
                left = Expression::Assign(place, name, Box::new(value));
                continue;
            }
            let Some(&precedence) = self.operators.0.get(&operator) else {
                return Ok(left);
            };
            if precedence <= least {
                return Ok(left);
            }
            self.next += 1;
            let right = self.unary()?;
            let right = self.operations(precedence, right)?;
            left = match BUILT_IN.contains(operator) {
                true => Expression::Binary(operator, Box::new(left), Box::new(right)),
                false => {
                    Expression::Call(place, operator_name("binary", operator), vec![left, right])
                }
            };
        }
    }

    fn unary(&mut self) -> Parsed<Expression> {
        let place = self.place();
        match self.peek().clone() {
            Token::Sign('-') => {
                self.next += 1;
                let value = self.unary()?;
                let zero = Box::new(Expression::Number(-0.0));
                Ok(Expression::Binary('-', zero, Box::new(value)))
            }
            Token::Sign(sign) if !"(),;=<>+*/".contains(sign) => {
                self.next += 1;
                let value = self.unary()?;
                Ok(Expression::Call(
                    place,
                    operator_name("unary", sign),
                    vec![value],
                ))
            }
            _ => self.primary(),
        }
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
                    if !arguments.is_empty() {
                        self.expect(',')?;
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
            Token::End => return Err(ParseError::Unfinished),
            Token::Name(name) => name.clone(),
            Token::Number(number) => number.to_string(),
            Token::Sign(sign) => sign.to_string(),
        };
        let message = format!("expected {what}, found {found}");
        Err(ParseError::At(self.place(), message))
    }
}
