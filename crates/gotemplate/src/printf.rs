//! fmt.Sprintf: reads formats; [`super::verbs`] prints.

use super::{
    MAX_TEXT,
    value::Value,
    verbs::{Flags, Printer},
};

/// The largest width and precision.
const MAX_WIDTH: usize = 1_000_000;

/// Prints `values` by `format`.
pub(super) fn sprintf(format: &str, values: &[Value]) -> Result<String, String> {
    let mut formatter =
        Formatter { rest: format, values, next: 0, reordered: false, good: true, wide: false, out: String::new() };
    while let Some(start) = formatter.rest.find('%') {
        formatter.out.push_str(&formatter.rest[..start]);
        formatter.rest = &formatter.rest[start + 1..];
        formatter.verb();
        if formatter.wide {
            return Err(format!("a width or precision is more than {MAX_WIDTH}"));
        }
        if formatter.out.len() > MAX_TEXT {
            return Err(format!("the text has more than {MAX_TEXT} bytes"));
        }
    }
    formatter.out.push_str(formatter.rest);
    formatter.extra();
    Ok(formatter.out)
}

struct Formatter<'f> {
    /// What is left of the format.
    rest: &'f str,
    values: &'f [Value],
    /// Index of the next argument.
    next: usize,
    /// Whether an index `[n]` was used.
    reordered: bool,
    /// Whether the indexes of this verb are.
    good: bool,
    /// Whether a width or precision is too large.
    wide: bool,
    out: String,
}

impl Formatter<'_> {
    /// Takes `c`, where the format goes on with it.
    fn take(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// What follows a `%`.
    fn verb(&mut self) {
        let mut flags = self.flags();
        self.good = true;
        let mut indexed = self.index();
        if self.take('*') {
            match self.star() {
                Some(width) => {
                    if width < 0 {
                        (flags.minus, flags.zero) = (true, false);
                    }
                    flags.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => self.out.push_str("%!(BADWIDTH)"),
            }
            indexed = false;
        } else {
            flags.width = self.number();
            self.good &= !(indexed && flags.width.is_some());
        }
        // A point at the very end is a verb.
        if self.rest != "." && self.take('.') {
            self.good &= !indexed;
            indexed = self.index();
            if self.take('*') {
                flags.precision = self.star().and_then(|precision| usize::try_from(precision).ok());
                if flags.precision.is_none() {
                    self.out.push_str("%!(BADPREC)");
                }
                indexed = false;
            } else {
                flags.precision = Some(self.number().unwrap_or_default());
            }
        }
        if !indexed {
            self.index();
        }
        let Some(verb) = self.rest.chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return;
        };
        self.rest = &self.rest[verb.len_utf8()..];
        match self.values.get(self.next) {
            _ if verb == '%' => self.out.push('%'),
            _ if !self.good => self.bad(verb, "BADINDEX"),
            None => self.bad(verb, "MISSING"),
            Some(value) => {
                if matches!(verb, 'v' | 'w') {
                    flags.sharp_v = std::mem::take(&mut flags.sharp);
                    flags.plus_v = std::mem::take(&mut flags.plus);
                }
                self.next += 1;
                Printer { out: &mut self.out, flags }.argument(value, verb);
            }
        }
    }

    fn bad(&mut self, verb: char, what: &str) {
        self.out.push_str(&format!("%!{verb}({what})"));
    }

    fn flags(&mut self) -> Flags {
        let mut flags = Flags::default();
        loop {
            let flag = match self.rest.as_bytes().first() {
                Some(b'#') => &mut flags.sharp,
                Some(b'0') => &mut flags.zero,
                Some(b'+') => &mut flags.plus,
                Some(b'-') => &mut flags.minus,
                Some(b' ') => &mut flags.space,
                _ => return flags,
            };
            *flag = true;
            self.rest = &self.rest[1..];
        }
    }

    /// `[n]`: the next argument is the n-th. Answers whether there was a good one.
    fn index(&mut self) -> bool {
        if !self.rest.starts_with('[') {
            return false;
        }
        self.reordered = true;
        let Some(end) = self.rest.find(']') else {
            self.good = false;
            self.rest = &self.rest[1..];
            return false;
        };
        let digits = &self.rest[1..end];
        self.rest = &self.rest[end + 1..];
        let index =
            Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())).and_then(|d| d.parse().ok());
        match index.and_then(|index: usize| index.checked_sub(1)) {
            Some(index) if index < self.values.len() => self.next = index,
            _ => self.good = false,
        }
        index.is_some()
    }

    /// The argument that stands for a `*`.
    fn star(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        match value {
            Value::Int(value) if value.unsigned_abs() <= MAX_WIDTH as u64 => Some(*value),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<usize> {
        let length = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        let number = digits.parse().ok().filter(|number| *number <= MAX_WIDTH);
        self.wide |= !digits.is_empty() && number.is_none();
        number
    }

    /// `%!(EXTRA int=1)` for the arguments that no verb took.
    fn extra(&mut self) {
        if self.reordered || self.next >= self.values.len() {
            return;
        }
        self.out.push_str("%!(EXTRA ");
        for (index, value) in self.values[self.next..].iter().enumerate() {
            if index > 0 {
                self.out.push_str(", ");
            }
            if !value.is_nil() {
                self.out.push_str(value.kind());
                self.out.push('=');
            }
            Printer { out: &mut self.out, flags: Flags::default() }.argument(value, 'v');
        }
        self.out.push(')');
    }
}
