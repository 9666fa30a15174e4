//! Source → lexemes. The rules are those of Go's text/template/parse.

use super::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text between actions, trimmed.
    Text,
    Open,
    Close,
    Word,
    Field,
    Variable,
    Number,
    Char,
    Quoted,
    Raw,
    Dot,
    Pipe,
    Left,
    Right,
    Comma,
    Declare,
    Assign,
    Other,
    End,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Lexeme {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether white space stands before it.
    pub(super) spaced: bool,
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// An error at byte `at` of `source`.
pub(super) fn error(source: &str, at: usize, message: &str) -> Error {
    let line = source.as_bytes()[..at.min(source.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
    Error::new(format!("template: :{line}: {message}"))
}

/// All lexemes of `source`, with [`Kind::End`] at the end.
pub(super) fn lex(source: &str) -> Result<Vec<Lexeme>, Error> {
    let mut lexer = Lexer { source, at: 0, lexemes: Vec::new() };
    let mut trim = false;
    loop {
        let rest = lexer.rest();
        let open = rest.find("{{");
        let text = &rest[..open.unwrap_or(rest.len())];
        let marked = open.is_some_and(|open| rest[open + 2..].starts_with('-') && is_space(&rest[open + 3..]));
        let kept = if marked { text.trim_end_matches(SPACE) } else { text };
        let kept = if trim { kept.trim_start_matches(SPACE) } else { kept };
        if !kept.is_empty() {
            let start = lexer.at + if trim { text.len() - text.trim_start_matches(SPACE).len() } else { 0 };
            lexer.lexemes.push(Lexeme { kind: Kind::Text, start, end: start + kept.len(), spaced: false });
        }
        let Some(open) = open else { break };
        lexer.at += open;
        trim = lexer.action(if marked { 4 } else { 2 })?;
    }
    let end = source.len();
    lexer.lexemes.push(Lexeme { kind: Kind::End, start: end, end, spaced: false });
    Ok(lexer.lexemes)
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    lexemes: Vec<Lexeme>,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn error(&self, message: &str) -> Error {
        error(self.source, self.at, message)
    }

    /// Lexes the action that begins here with a delimiter of `length` bytes; answers whether the text behind it is trimmed.
    fn action(&mut self, length: usize) -> Result<bool, Error> {
        if self.source[self.at + length..].starts_with("/*") {
            return self.comment(length);
        }
        let start = self.at;
        self.take(Kind::Open, length, false);
        let (mut spaced, mut parens) = (length > 2, 0_usize);
        loop {
            if let Some(close) = closing(self.rest()) {
                if parens > 0 {
                    return Err(self.error("unclosed left paren"));
                }
                self.take(Kind::Close, close, spaced);
                return Ok(close > 2);
            }
            let Some(first) = self.rest().chars().next() else {
                return Err(error(self.source, start, "unclosed action"));
            };
            if SPACE.contains(&first) {
                self.at += 1;
                spaced = true;
                continue;
            }
            match first {
                '(' => parens += 1,
                ')' => parens = parens.checked_sub(1).ok_or_else(|| self.error("unexpected right paren"))?,
                _ => {}
            }
            let (kind, length) = self.lexeme(first)?;
            self.take(kind, length, spaced);
            spaced = false;
        }
    }

    fn comment(&mut self, length: usize) -> Result<bool, Error> {
        let body = &self.source[self.at + length + 2..];
        let Some(end) = body.find("*/") else { return Err(self.error("unclosed comment")) };
        let Some(close) = closing(&body[end + 2..]) else {
            return Err(self.error("comment ends before closing delimiter"));
        };
        self.at += length + 2 + end + 2 + close;
        Ok(close > 2)
    }

    fn take(&mut self, kind: Kind, length: usize, spaced: bool) {
        self.lexemes.push(Lexeme { kind, start: self.at, end: self.at + length, spaced });
        self.at += length;
    }

    /// The kind and length of the lexeme that begins here with `first`.
    fn lexeme(&self, first: char) -> Result<(Kind, usize), Error> {
        let rest = self.rest();
        let second = rest[first.len_utf8()..].chars().next();
        Ok(match first {
            '|' => (Kind::Pipe, 1),
            ',' => (Kind::Comma, 1),
            '=' => (Kind::Assign, 1),
            '(' => (Kind::Left, 1),
            ')' => (Kind::Right, 1),
            ':' if second == Some('=') => (Kind::Declare, 2),
            ':' => return Err(self.error("expected :=")),
            '"' => (Kind::Quoted, self.quoted('"', "unterminated quoted string")?),
            '\'' => (Kind::Char, self.quoted('\'', "unterminated character constant")?),
            '`' => match rest[1..].find('`') {
                Some(end) => (Kind::Raw, end + 2),
                None => return Err(self.error("unterminated raw quoted string")),
            },
            '.' if second.is_some_and(|c| c.is_ascii_digit()) => (Kind::Number, self.number()?),
            '+' | '-' | '0'..='9' => (Kind::Number, self.number()?),
            '.' if is_terminator(&rest[1..]) => (Kind::Dot, 1),
            '.' => (Kind::Field, self.word(1)?),
            '$' => (Kind::Variable, self.word(1)?),
            c if is_letter(c) => (Kind::Word, self.word(0)?),
            c if c.is_ascii_graphic() => (Kind::Other, 1),
            c => return Err(self.error(&format!("unrecognized character in action: U+{:04X}", u32::from(c)))),
        })
    }

    /// Length of a word whose letters begin after `skip` bytes.
    fn word(&self, skip: usize) -> Result<usize, Error> {
        let letters = &self.rest()[skip..];
        let length = letters.find(|c| !is_letter(c)).unwrap_or(letters.len());
        match letters[length..].chars().next() {
            Some(c) if !is_terminator(&letters[length..]) => {
                Err(self.error(&format!("bad character U+{:04X} '{c}'", u32::from(c))))
            }
            _ => Ok(skip + length),
        }
    }

    fn quoted(&self, quote: char, unterminated: &str) -> Result<usize, Error> {
        let mut escaped = false;
        for (index, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => return Ok(index + 1),
                _ => {}
            }
        }
        Err(self.error(unterminated))
    }

    fn number(&self) -> Result<usize, Error> {
        let bytes = self.rest().as_bytes();
        let run = |mut at: usize, set: &[u8]| {
            while bytes.get(at).is_some_and(|byte| set.contains(&byte.to_ascii_lowercase())) {
                at += 1;
            }
            at
        };
        let one = |at: usize, set: &[u8]| at + usize::from(bytes.get(at).is_some_and(|byte| set.contains(byte)));
        let mut at = one(0, b"+-");
        let mut digits: &[u8] = b"0123456789_";
        if bytes.get(at) == Some(&b'0') {
            let base: Option<&[u8]> = match bytes.get(at + 1) {
                Some(b'x' | b'X') => Some(b"0123456789abcdef_"),
                Some(b'o' | b'O') => Some(b"01234567_"),
                Some(b'b' | b'B') => Some(b"01_"),
                _ => None,
            };
            if let Some(base) = base {
                (digits, at) = (base, at + 2);
            }
        }
        let decimal = digits.len() == 11;
        at = run(at, digits);
        let dot = one(at, b".");
        if dot > at {
            at = run(dot, digits);
        }
        let exponent = one(at, if decimal { b"eE" } else { b"pP" });
        if exponent > at {
            at = run(one(exponent, b"+-"), b"0123456789_");
        }
        let rest = &self.rest()[at..];
        match rest.chars().next() {
            Some(c) if is_letter(c) || c == '+' || c == '-' => {
                let shown: String = self.rest()[..at].chars().chain([c]).collect();
                Err(self.error(&format!("bad number syntax: {shown:?}")))
            }
            _ => Ok(at),
        }
    }
}

/// Length of the closing delimiter that begins here: `}}`, or a space and `-}}`.
fn closing(rest: &str) -> Option<usize> {
    if rest.starts_with("}}") {
        return Some(2);
    }
    (is_space(rest) && rest[1..].starts_with("-}}")).then_some(4)
}

fn is_space(rest: &str) -> bool {
    rest.starts_with(SPACE)
}

fn is_terminator(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with("}}") || rest.starts_with([' ', '\t', '\r', '\n', '.', ',', '|', ':', ')', '('])
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
