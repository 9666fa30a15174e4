//! Lexemes → tree. Grammar and checks are those of Go's text/template/parse.

mod pipelines;

use std::collections::HashMap;

use super::{
    Error, MAX_DEPTH,
    lex::{self, Kind as Lex, Lexeme, lex},
    literal,
    tree::{Branch, Kind, Node, Span},
};

/// The bodies of `source` by their names.
pub(super) fn parse(source: &str) -> Result<HashMap<String, Vec<Node>>, Error> {
    let lexemes = lex(source)?;
    let mut parser = Parser {
        source,
        lexemes,
        next: 0,
        variables: vec!["$".to_owned()],
        bodies: HashMap::new(),
        loops: 0,
        depth: 0,
    };
    let mut root = Vec::new();
    while parser.peek().kind != Lex::End {
        if parser.at_keyword("define") {
            parser.definition()?;
            continue;
        }
        match parser.node()? {
            Parsed::Node(node) => root.push(node),
            Parsed::End => return Err(parser.error_before("unexpected {{end}}")),
            Parsed::Else => return Err(parser.error_before("unexpected {{else}}")),
        }
    }
    parser.add(String::new(), root)?;
    Ok(parser.bodies)
}

struct Parser<'s> {
    source: &'s str,
    lexemes: Vec<Lexeme>,
    next: usize,
    /// The names that are declared here, innermost last.
    variables: Vec<String>,
    bodies: HashMap<String, Vec<Node>>,
    /// How many `range` are around.
    loops: usize,
    depth: usize,
}

enum Parsed {
    Node(Node),
    End,
    /// `{{else`, its words not read yet.
    Else,
}

const KEYWORDS: [&str; 10] = ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

impl<'s> Parser<'s> {
    fn peek(&self) -> Lexeme {
        self.lexemes[self.next.min(self.lexemes.len() - 1)]
    }

    fn take(&mut self) -> Lexeme {
        let lexeme = self.peek();
        self.next += 1;
        lexeme
    }

    fn text(&self, lexeme: Lexeme) -> &'s str {
        &self.source[lexeme.start..lexeme.end]
    }

    fn error(&self, at: usize, message: &str) -> Error {
        lex::error(self.source, at, message)
    }

    fn error_before(&self, message: &str) -> Error {
        self.error(self.lexemes[self.next.saturating_sub(1)].start, message)
    }

    fn unexpected(&self, lexeme: Lexeme, context: &str) -> Error {
        let what = match lexeme.kind {
            Lex::End => return self.error(lexeme.start, "unexpected EOF"),
            Lex::Word | Lex::Dot if KEYWORDS.contains(&self.text(lexeme)) || lexeme.kind == Lex::Dot => {
                format!("<{}>", self.text(lexeme))
            }
            _ => format!("{:?}", self.text(lexeme)),
        };
        self.error(lexeme.start, &format!("unexpected {what} in {context}"))
    }

    /// One level deeper; what is too deep is an error.
    fn descend(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(self.peek().start, &format!("nested more than {MAX_DEPTH} deep")));
        }
        Ok(())
    }

    /// Whether an action begins here with `keyword`.
    fn at_keyword(&self, keyword: &str) -> bool {
        self.peek().kind == Lex::Open
            && self.lexemes.get(self.next + 1).is_some_and(|l| l.kind == Lex::Word && self.text(*l) == keyword)
    }

    fn node(&mut self) -> Result<Parsed, Error> {
        let lexeme = self.take();
        if lexeme.kind != Lex::Open {
            return Ok(Parsed::Node(Node::Text(self.text(lexeme).to_owned())));
        }
        let word = self.peek();
        let keyword = if word.kind == Lex::Word { self.text(word) } else { "" };
        if !KEYWORDS.contains(&keyword) {
            return Ok(Parsed::Node(Node::Action(self.pipe("command", Lex::Close)?)));
        }
        self.next += 1;
        Ok(Parsed::Node(match keyword {
            "end" => {
                self.close("end")?;
                return Ok(Parsed::End);
            }
            "else" => return Ok(Parsed::Else),
            "if" => self.branch(Kind::If)?,
            "with" => self.branch(Kind::With)?,
            "range" => self.branch(Kind::Range)?,
            "break" | "continue" => {
                self.close(&format!("{{{{{keyword}}}}}"))?;
                if self.loops == 0 {
                    return Err(self.error(word.start, &format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                }
                if keyword == "break" { Node::Break } else { Node::Continue }
            }
            "template" => {
                let (span, name) = self.name("template clause")?;
                let pipe = if self.peek().kind == Lex::Close {
                    self.next += 1;
                    None
                } else {
                    Some(self.pipe("template clause", Lex::Close)?)
                };
                Node::Call { span, name, pipe }
            }
            "block" => {
                let (span, name) = self.name("block clause")?;
                let pipe = Some(self.pipe("block clause", Lex::Close)?);
                self.body_of(name.clone())?;
                Node::Call { span, name, pipe }
            }
            _ => return Err(self.unexpected(word, "command")),
        }))
    }

    fn close(&mut self, context: &str) -> Result<(), Error> {
        let lexeme = self.take();
        if lexeme.kind == Lex::Close { Ok(()) } else { Err(self.unexpected(lexeme, context)) }
    }

    fn name(&mut self, context: &str) -> Result<(Span, String), Error> {
        let lexeme = self.take();
        let span = Span { start: lexeme.start, end: lexeme.end };
        match lexeme.kind {
            Lex::Quoted => {
                let name = literal::string(self.text(lexeme)).map_err(|e| self.error(lexeme.start, &e))?;
                Ok((span, name))
            }
            Lex::Raw => Ok((span, self.raw(lexeme))),
            _ => Err(self.unexpected(lexeme, context)),
        }
    }

    fn raw(&self, lexeme: Lexeme) -> String {
        self.source[lexeme.start + 1..lexeme.end - 1].to_owned()
    }

    fn definition(&mut self) -> Result<(), Error> {
        self.next += 2;
        let (_, name) = self.name("define clause")?;
        self.close("define clause")?;
        self.body_of(name)
    }

    /// Parses the body of the template `name`, up to its end.
    fn body_of(&mut self, name: String) -> Result<(), Error> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, is_else) = self.list()?;
        if is_else {
            return Err(self.error_before("unexpected {{else}} in define clause"));
        }
        self.variables = outer;
        self.loops = loops;
        self.add(name, body)
    }

    /// An empty body never takes the place of another one.
    fn add(&mut self, name: String, body: Vec<Node>) -> Result<(), Error> {
        let is_empty = |body: &[Node]| body.iter().all(|n| matches!(n, Node::Text(text) if text.trim().is_empty()));
        match self.bodies.get(&name) {
            Some(old) if !is_empty(old) && is_empty(&body) => {}
            Some(old) if !is_empty(old) => {
                return Err(self.error_before(&format!("multiple definition of template {name:?}")));
            }
            _ => {
                self.bodies.insert(name, body);
            }
        }
        Ok(())
    }

    /// Nodes up to `{{end}}` or `{{else`; answers whether it was the latter.
    fn list(&mut self) -> Result<(Vec<Node>, bool), Error> {
        self.descend()?;
        let mut nodes = Vec::new();
        loop {
            if self.peek().kind == Lex::End {
                return Err(self.unexpected(self.peek(), "input"));
            }
            let parsed = self.node()?;
            if let Parsed::Node(node) = parsed {
                nodes.push(node);
                continue;
            }
            self.depth -= 1;
            return Ok((nodes, matches!(parsed, Parsed::Else)));
        }
    }

    fn branch(&mut self, kind: Kind) -> Result<Node, Error> {
        let scope = self.variables.len();
        let context = match kind {
            Kind::If => "if",
            Kind::With => "with",
            Kind::Range => "range",
        };
        let pipe = self.pipe(context, Lex::Close)?;
        self.loops += usize::from(kind == Kind::Range);
        let (body, has_else) = self.list()?;
        self.loops -= usize::from(kind == Kind::Range);
        let mut otherwise = Vec::new();
        if has_else {
            let word = self.peek();
            if kind != Kind::Range && word.kind == Lex::Word && self.text(word) == context {
                // `{{else if}}` is an if in the else, and one end serves both.
                self.next += 1;
                self.descend()?;
                otherwise.push(self.branch(kind)?);
                self.depth -= 1;
            } else {
                self.close("else")?;
                let (nodes, again) = self.list()?;
                if again {
                    return Err(self.error_before("expected end; found {{else}}"));
                }
                otherwise = nodes;
            }
        }
        self.variables.truncate(scope);
        Ok(Node::Branch(Branch { kind, pipe, body, otherwise }))
    }
}
