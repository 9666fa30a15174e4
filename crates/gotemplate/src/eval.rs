//! Executes a tree. What a value does where is that of Go's text/template.

use rmachine_text::near::nearest;

use super::{
    Error, MAX_DEPTH, MAX_STEPS, MAX_TEXT, Output, Template, Unknown, did_you_mean,
    functions::{Body, Function},
    tree::{Branch, Command, Kind, Node, Operand, Pipe, Span, Term},
    value::Value,
    verbs,
};

/// Executes `template` on `data`.
pub(super) fn execute(template: &Template, data: &Value) -> Result<Output> {
    let mut state = State {
        template,
        name: "",
        variables: vec![("$", data.clone())],
        out: String::new(),
        depth: 0,
        steps: 0,
        missing: None,
        unknown: Vec::new(),
    };
    if let Some(body) = template.bodies.get("") {
        state.walk(data, body)?;
    }
    Ok(Output { text: state.out, unknown: state.unknown })
}

#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct State<'t> {
    template: &'t Template,
    /// Name of the body that is executed.
    name: &'t str,
    /// Innermost last.
    variables: Vec<(&'t str, Value)>,
    out: String,
    depth: usize,
    steps: usize,
    /// The field that was last looked for in vain.
    missing: Option<Unknown>,
    unknown: Vec<Unknown>,
}

type Result<T> = std::result::Result<T, Error>;

impl<'t> State<'t> {
    fn source(&self, span: Span) -> &'t str {
        &self.template.source[span.start..span.end]
    }

    fn error(&self, span: Span, message: &str) -> Error {
        let before = &self.template.source[..span.start];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        let text = self.source(span);
        let mut shown: String = text.chars().take(20).collect();
        if shown.len() < text.len() {
            shown.push_str("...");
        }
        Error::new(format!("template: :{line}:{column}: executing {:?} at <{shown}>: {message}", self.name))
    }

    fn step(&mut self, span: Span) -> Result<()> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(self.error(span, &format!("the template takes more than {MAX_STEPS} steps")));
        }
        if self.out.len() > MAX_TEXT {
            return Err(self.error(span, &format!("the output has more than {MAX_TEXT} bytes")));
        }
        Ok(())
    }

    fn descend(&mut self, span: Span) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(span, &format!("exceeded maximum template depth ({MAX_DEPTH})")));
        }
        self.step(span)
    }

    fn walk(&mut self, dot: &Value, nodes: &'t [Node]) -> Result<Flow> {
        for node in nodes {
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Action(pipe) => {
                    self.missing = None;
                    let value = self.pipe(dot, pipe)?;
                    if pipe.variables.is_empty() {
                        self.print(&value);
                    }
                }
                Node::Branch(branch) => {
                    let flow = self.branch(dot, branch)?;
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
                Node::Call { span, name, pipe } => self.call_template(dot, *span, name, pipe.as_ref())?,
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::On)
    }

    fn print(&mut self, value: &Value) {
        if !value.is_nil() {
            return verbs::display(value, &mut self.out);
        }
        self.out.push_str("<no value>");
        if let Some(missing) = self.missing.take().filter(|missing| !self.unknown.contains(missing)) {
            self.unknown.push(missing);
        }
    }

    fn call_template(&mut self, dot: &Value, span: Span, name: &'t str, pipe: Option<&'t Pipe>) -> Result<()> {
        let Some((name, body)) = self.template.bodies.get_key_value(name) else {
            return Err(self.error(span, &format!("template {name:?} not defined")));
        };
        self.descend(span)?;
        let dot = match pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Missing,
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let caller = std::mem::replace(&mut self.name, name);
        self.walk(&dot, body)?;
        (self.variables, self.name) = (variables, caller);
        self.depth -= 1;
        Ok(())
    }

    fn branch(&mut self, dot: &Value, branch: &'t Branch) -> Result<Flow> {
        self.descend(branch.pipe.span)?;
        let scope = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let flow = match branch.kind {
            Kind::If if value.truth() => self.walk(dot, &branch.body)?,
            Kind::With if value.truth() => self.walk(&value, &branch.body)?,
            Kind::If | Kind::With => self.walk(dot, &branch.otherwise)?,
            Kind::Range => self.range(dot, value, branch, scope)?,
        };
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(flow)
    }

    fn range(&mut self, dot: &Value, value: Value, branch: &'t Branch, scope: usize) -> Result<Flow> {
        let pipe = &branch.pipe;
        let items: Box<dyn Iterator<Item = (Value, Value)>> = match value {
            Value::Missing | Value::Null => Box::new(std::iter::empty()),
            Value::List(list) => Box::new(
                (0..list.len()).map(move |i| (Value::Int(i64::try_from(i).unwrap_or(i64::MAX)), list[i].clone())),
            ),
            Value::Map(map) => {
                let pairs: Vec<_> = map.iter().map(|(key, value)| (Value::text(key), value.clone())).collect();
                Box::new(pairs.into_iter())
            }
            Value::Int(count) if pipe.variables.len() < 2 => {
                Box::new((0..count).map(|i| (Value::Int(i), Value::Int(i))))
            }
            Value::Int(count) => {
                return Err(self.error(pipe.span, &format!("can't use {count} to iterate over more than one variable")));
            }
            other => {
                let mut shown = String::new();
                verbs::display(&other, &mut shown);
                return Err(self.error(pipe.span, &format!("range can't iterate over {shown}")));
            }
        };
        let mut empty = true;
        for (key, item) in items {
            empty = false;
            self.step(pipe.span)?;
            let mut values = [key, item.clone()].into_iter().skip(2 - pipe.variables.len().min(2));
            for (index, name) in pipe.variables.iter().enumerate() {
                let value = values.next().unwrap_or(Value::Missing);
                if pipe.assigns {
                    self.assign(pipe.span, name, value)?;
                } else {
                    self.variables[scope + index].1 = value;
                }
            }
            let inner = self.variables.len();
            let flow = self.walk(&item, &branch.body)?;
            self.variables.truncate(inner);
            if flow == Flow::Break {
                break;
            }
        }
        if !empty {
            return Ok(Flow::On);
        }
        // Go takes a break in the else for one of this range, and a continue for one of the range around it.
        let flow = self.walk(dot, &branch.otherwise)?;
        Ok(if flow == Flow::Break { Flow::On } else { flow })
    }

    fn pipe(&mut self, dot: &Value, pipe: &'t Pipe) -> Result<Value> {
        self.descend(pipe.span)?;
        let mut value = None;
        for command in &pipe.commands {
            let answer = self.command(dot, command, value.take())?;
            // What holds nil is nothing from here on.
            value = Some(if answer.is_nil() { Value::Missing } else { answer });
        }
        let value = value.unwrap_or(Value::Missing);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(pipe.span, name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        self.depth -= 1;
        Ok(value)
    }

    fn assign(&mut self, span: Span, name: &str, value: Value) -> Result<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, slot)) => {
                *slot = value;
                Ok(())
            }
            None => Err(self.error(span, &format!("undefined variable: {name}"))),
        }
    }

    /// Evaluates a command, to which `last` is the last argument.
    fn command(&mut self, dot: &Value, command: &'t Command, last: Option<Value>) -> Result<Value> {
        let Some((first, arguments)) = command.operands.split_first() else { return Ok(Value::Missing) };
        let plain = first.fields.is_empty();
        match first.term {
            Term::Function(function) if plain => return self.call(dot, command.span, function, arguments, last),
            Term::Nil if plain => return Err(self.error(first.span, "nil is not a command")),
            _ => {}
        }
        if arguments.is_empty() && last.is_none() {
            return self.operand(dot, first);
        }
        let Some((field, path)) = first.fields.split_last() else {
            self.operand(dot, first)?;
            let text = self.source(first.span);
            return Err(self.error(first.span, &format!("can't give argument to non-function {text}")));
        };
        // Go looks for the field first, and of nothing it is nothing.
        match self.path(dot, first, path)? {
            Value::Missing => Ok(Value::Missing),
            _ => Err(self.error(first.span, &format!("{field} is not a method but has arguments"))),
        }
    }

    fn operand(&mut self, dot: &Value, operand: &'t Operand) -> Result<Value> {
        self.path(dot, operand, &operand.fields)
    }

    /// The term of `operand`, and of it the fields of `path`.
    fn path(&mut self, dot: &Value, operand: &'t Operand, path: &'t [String]) -> Result<Value> {
        let mut value = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Nil => Value::Null,
            Term::Constant(value) => value.clone(),
            Term::Variable(name) => match self.variables.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => value.clone(),
                None => return Err(self.error(operand.span, &format!("undefined variable: {name}"))),
            },
            Term::Function(function) => self.call(dot, operand.span, function, &[], None)?,
            Term::Pipe(pipe) => self.pipe(dot, pipe)?,
        };
        for field in path {
            value = self.field(&value, field, operand.span)?;
        }
        Ok(value)
    }

    fn field(&mut self, value: &Value, field: &str, span: Span) -> Result<Value> {
        let text = self.source(span);
        let path = text.strip_suffix(field).unwrap_or(".");
        let look_alike = |names: &mut dyn Iterator<Item = &str>| -> Vec<String> {
            nearest(field, names).into_iter().map(|name| format!("{path}{name}")).collect()
        };
        match value {
            Value::Missing => Ok(Value::Missing),
            Value::Null => Err(self.error(span, &format!("nil pointer evaluating interface {{}}.{field}"))),
            Value::Map(map) => Ok(map.get(field).cloned().unwrap_or_else(|| {
                let near = look_alike(&mut map.keys().map(String::as_str));
                self.missing = Some(Unknown { field: text.to_owned(), near });
                Value::Missing
            })),
            Value::Record(record) => match record.fields.iter().find(|(name, _)| name == field) {
                Some((_, value)) => Ok(value.clone()),
                None => {
                    let near = look_alike(&mut record.fields.iter().map(|(name, _)| name.as_str()));
                    let hint = did_you_mean(&near).unwrap_or_else(|| {
                        let all: Vec<String> = record.fields.iter().map(|(name, _)| format!(".{name}")).collect();
                        format!("its fields are {}", all.join(", "))
                    });
                    let message = format!("can't evaluate field {field} in type {}", record.name);
                    Err(self.error(span, &message).with_hint(Some(hint)))
                }
            },
            other => Err(self.error(span, &format!("can't evaluate field {field} in type {}", other.kind()))),
        }
    }

    fn call(
        &mut self,
        dot: &Value,
        span: Span,
        function: &'static Function,
        arguments: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        let name = function.name;
        let count = arguments.len() + usize::from(last.is_some());
        if count < function.least || function.most.is_some_and(|most| count > most) {
            let at_least = if function.most.is_none() { "at least " } else { "" };
            let message = format!("wrong number of args for {name}: want {at_least}{} got {count}", function.least);
            return Err(self.error(span, &message));
        }
        let stops_at = match function.body {
            Body::And => Some(false),
            Body::Or => Some(true),
            Body::Plain(_) => None,
        };
        let mut values = Vec::with_capacity(count);
        for argument in arguments {
            let value = self.operand(dot, argument)?;
            if stops_at == Some(value.truth()) {
                return Ok(value);
            }
            values.push(value);
        }
        values.extend(last);
        let too_long = format!("a text has more than {MAX_TEXT} bytes");
        if values.iter().map(Value::weight).sum::<usize>() > MAX_TEXT {
            return Err(self.error(span, &too_long));
        }
        let Body::Plain(body) = function.body else { return Ok(values.pop().unwrap_or(Value::Missing)) };
        let value = body(&values).map_err(|e| self.error(span, &format!("error calling {name}: {e}")))?;
        if value.weight() > MAX_TEXT {
            return Err(self.error(span, &too_long));
        }
        Ok(value)
    }
}
