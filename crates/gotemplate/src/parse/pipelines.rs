//! Pipelines: declarations, commands, operands.

use super::{
    super::{
        Error, did_you_mean, functions,
        lex::{self, Kind as Lex, Lexeme},
        literal,
        tree::{Command, Operand, Pipe, Span, Term},
        value::Value,
    },
    KEYWORDS, Parser,
};

impl Parser<'_> {
    /// A pipeline up to and with `end`.
    pub(super) fn pipe(&mut self, context: &str, end: Lex) -> Result<Pipe, Error> {
        self.descend()?;
        let start = self.peek().start;
        let (variables, assigns) = self.declarations(context)?;
        let mut commands: Vec<Command> = Vec::new();
        loop {
            let lexeme = self.peek();
            if lexeme.kind == end {
                break;
            }
            commands.push(self.command(end, context)?);
        }
        let close = self.take();
        if commands.is_empty() {
            return Err(self.error(close.start, &format!("missing value for {context}")));
        }
        for (index, command) in commands.iter().enumerate().skip(1) {
            let first = &command.operands[0];
            if first.fields.is_empty() && matches!(first.term, Term::Constant(_) | Term::Nil | Term::Dot) {
                let message = format!("non executable command in pipeline stage {}", index + 1);
                return Err(self.error(command.span.start, &message));
            }
        }
        self.depth -= 1;
        Ok(Pipe { span: Span { start, end: close.start }, variables, assigns, commands })
    }

    /// `$x :=`, `$x =` and, in a range, `$i, $e :=` at the beginning of a pipeline.
    fn declarations(&mut self, context: &str) -> Result<(Vec<String>, bool), Error> {
        let mut names = Vec::new();
        while self.peek().kind == Lex::Variable {
            let variable = self.peek();
            let operator = self.lexemes[(self.next + 1).min(self.lexemes.len() - 1)];
            let assigns = match operator.kind {
                Lex::Comma => None,
                Lex::Declare => Some(false),
                Lex::Assign => Some(true),
                _ if names.is_empty() => break,
                _ => return Err(self.error(operator.start, &format!("{context} can only initialize variables"))),
            };
            self.next += 2;
            names.push(self.text(variable).to_owned());
            // Also those that are assigned to: whether there is one is seen at execution.
            self.variables.push(self.text(variable).to_owned());
            if let Some(assigns) = assigns {
                return Ok((names, assigns));
            }
            if context != "range" || names.len() > 1 {
                return Err(self.error(operator.start, &format!("too many declarations in {context}")));
            }
            if self.peek().kind != Lex::Variable {
                return Err(self.error(operator.start, "range can only initialize variables"));
            }
        }
        Ok((names, false))
    }

    /// Operands up to a `|`, which is taken, or the end of the pipeline, which is not.
    fn command(&mut self, end: Lex, context: &str) -> Result<Command, Error> {
        let start = self.peek().start;
        let mut operands: Vec<Operand> = Vec::new();
        let mut stop = start;
        loop {
            let lexeme = self.peek();
            if lexeme.kind == end && !operands.is_empty() {
                break;
            }
            if lexeme.kind == Lex::Pipe && !operands.is_empty() {
                self.next += 1;
                break;
            }
            if !operands.is_empty() && !lexeme.spaced {
                return Err(self.unexpected(lexeme, "operand"));
            }
            operands.push(self.operand(context)?);
            stop = self.lexemes[self.next - 1].end;
        }
        Ok(Command { span: Span { start, end: stop }, operands })
    }

    fn operand(&mut self, context: &str) -> Result<Operand, Error> {
        let lexeme = self.take();
        let mut fields = Vec::new();
        let failed = |e: String| lex::error(self.source, lexeme.start, &e);
        let term = match lexeme.kind {
            Lex::Dot => Term::Dot,
            Lex::Field => {
                fields.push(self.text(lexeme)[1..].to_owned());
                Term::Dot
            }
            Lex::Variable => {
                let name = self.text(lexeme);
                if !self.variables.iter().any(|known| known == name) {
                    return Err(self.error(lexeme.start, &format!("undefined variable {name:?}")));
                }
                Term::Variable(name.to_owned())
            }
            Lex::Number => Term::Constant(literal::number(self.text(lexeme)).map_err(failed)?),
            Lex::Char => Term::Constant(literal::character(self.text(lexeme)).map_err(failed)?),
            Lex::Quoted => Term::Constant(Value::text(literal::string(self.text(lexeme)).map_err(failed)?)),
            Lex::Raw => Term::Constant(Value::text(self.raw(lexeme))),
            Lex::Word => self.word(lexeme, context)?,
            Lex::Left => Term::Pipe(Box::new(self.pipe("parenthesized pipeline", Lex::Right)?)),
            _ => return Err(self.unexpected(lexeme, context)),
        };
        let constant = fields.is_empty() && matches!(term, Term::Dot | Term::Nil | Term::Constant(_));
        while self.peek().kind == Lex::Field && !self.peek().spaced {
            if constant {
                let message = format!("unexpected . after term {:?}", self.text(lexeme));
                return Err(self.error(lexeme.start, &message));
            }
            let field = self.take();
            fields.push(self.text(field)[1..].to_owned());
        }
        let span = Span { start: lexeme.start, end: self.lexemes[self.next - 1].end };
        Ok(Operand { span, term, fields })
    }

    fn word(&self, lexeme: Lexeme, context: &str) -> Result<Term, Error> {
        let word = self.text(lexeme);
        Ok(match word {
            "true" => Term::Constant(Value::Bool(true)),
            "false" => Term::Constant(Value::Bool(false)),
            "nil" => Term::Nil,
            _ if KEYWORDS.contains(&word) => return Err(self.unexpected(lexeme, context)),
            _ => match functions::find(word) {
                Some(function) => Term::Function(function),
                None => {
                    let near = functions::near(word);
                    return Err(self
                        .error(lexeme.start, &format!("function {word:?} not defined"))
                        .with_hint(did_you_mean(&near)));
                }
            },
        })
    }
}
