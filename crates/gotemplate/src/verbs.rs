//! How values are printed: the verbs of Go's fmt.

use super::{MAX_TEXT, escape, float, value::Value};

/// Flags, width and precision of a verb.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) minus: bool,
    pub(super) plus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%+v`.
    pub(super) plus_v: bool,
    /// `%#v`.
    pub(super) sharp_v: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

/// Appends `value` as `%v` prints it.
pub(super) fn display(value: &Value, out: &mut String) {
    Printer { out, flags: Flags::default() }.argument(value, 'v');
}

/// Appends values to a text.
pub(super) struct Printer<'o> {
    pub(super) out: &'o mut String,
    pub(super) flags: Flags,
}

const NIL: &str = "<nil>";

impl Printer<'_> {
    /// Appends an argument of printf.
    pub(super) fn argument(&mut self, value: &Value, verb: char) {
        match verb {
            'T' | 'v' if value.is_nil() => self.pad(NIL),
            'T' => self.string(value.kind(), 's'),
            _ if value.is_nil() => self.wrong(value, verb),
            _ => self.value(value, verb),
        }
    }

    fn value(&mut self, value: &Value, verb: char) {
        match (value, verb) {
            (_, 'p' | 'w') => self.wrong(value, verb),
            (Value::Missing | Value::Null, _) => {
                self.out.push_str(if self.flags.sharp_v { "interface {}(nil)" } else { NIL });
            }
            (Value::Bool(value), 't' | 'v') => self.pad(if *value { "true" } else { "false" }),
            (Value::Int(value), 'v' | 'd') => self.integer(*value, 10, verb),
            (Value::Int(value), 'b') => self.integer(*value, 2, verb),
            (Value::Int(value), 'o' | 'O') => self.integer(*value, 8, verb),
            (Value::Int(value), 'x' | 'X') => self.integer(*value, 16, verb),
            (Value::Int(value), 'c') => self.pad(character(*value).encode_utf8(&mut [0; 4])),
            (Value::Int(value), 'q') => {
                let text = character(*value).to_string();
                self.pad(&escape::quote(&text, '\'', self.flags.plus));
            }
            (Value::Int(value), 'U') => self.unicode(*value),
            (Value::Float(value), 'v') => self.float(*value, 'g', None),
            (Value::Float(value), 'b' | 'g' | 'G' | 'x' | 'X') => self.float(*value, verb, None),
            (Value::Float(value), 'f' | 'e' | 'F' | 'E') => self.float(*value, verb, Some(6)),
            (Value::Text(text), 'v') if self.flags.sharp_v => self.string(text, 'q'),
            (Value::Text(text), 'v' | 's' | 'q') => self.string(text, if verb == 'v' { 's' } else { verb }),
            (Value::Text(text), 'x' | 'X') => self.hex(text.as_bytes(), verb),
            (Value::List(list), _) => self.members(value, ["[", "]"], list.iter().map(|v| (Name::None, v)), verb),
            (Value::Map(map), _) => {
                let members = map.iter().map(|(key, value)| (Name::Key(key), value));
                self.members(value, ["map[", "]"], members, verb);
            }
            (Value::Record(record), _) => {
                let members = record.fields.iter().map(|(name, value)| (Name::Field(name), value));
                self.members(value, ["{", "}"], members, verb);
            }
            _ => self.wrong(value, verb),
        }
    }

    /// `%!d(string=x)`.
    fn wrong(&mut self, value: &Value, verb: char) {
        self.out.push_str("%!");
        self.out.push(verb);
        self.out.push('(');
        if value.is_nil() {
            self.out.push_str(NIL);
        } else {
            self.out.push_str(value.kind());
            self.out.push('=');
            self.value(value, 'v');
        }
        self.out.push(')');
    }

    fn members<'v>(
        &mut self,
        whole: &Value,
        marks: [&str; 2],
        members: impl Iterator<Item = (Name<'v>, &'v Value)>,
        verb: char,
    ) {
        let go = self.flags.sharp_v;
        if go {
            self.out.push_str(whole.kind());
        }
        self.out.push_str(if go { "{" } else { marks[0] });
        for (index, (name, value)) in members.enumerate() {
            // printf refuses what is so long.
            if self.out.len() > MAX_TEXT {
                return;
            }
            if index > 0 {
                self.out.push_str(if go { ", " } else { " " });
            }
            match name {
                Name::Key(key) => {
                    self.value(&Value::text(key), verb);
                    self.out.push(':');
                }
                Name::Field(name) if go || self.flags.plus_v => {
                    self.out.push_str(name);
                    self.out.push(':');
                }
                Name::Field(_) | Name::None => {}
            }
            self.value(value, verb);
        }
        self.out.push_str(if go { "}" } else { marks[1] });
    }

    /// Appends `text`, filled up to the width: zeros only on the left.
    pub(super) fn pad(&mut self, text: &str) {
        let missing = self.flags.width.unwrap_or_default().saturating_sub(text.chars().count());
        if self.flags.minus {
            self.out.push_str(text);
            self.out.push_str(&" ".repeat(missing));
        } else {
            self.out.push_str(&(if self.flags.zero { "0" } else { " " }).repeat(missing));
            self.out.push_str(text);
        }
    }

    fn pad_with_spaces(&mut self, text: &str) {
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(text);
        self.flags.zero = zero;
    }

    fn string(&mut self, text: &str, verb: char) {
        let end = self.flags.precision.and_then(|most| text.char_indices().nth(most)).map_or(text.len(), |(at, _)| at);
        let text = &text[..end];
        match verb {
            'q' if self.flags.sharp && escape::can_backquote(text) => self.pad(&format!("`{text}`")),
            'q' => self.pad(&escape::quote(text, '"', self.flags.plus)),
            _ => self.pad(text),
        }
    }

    fn hex(&mut self, bytes: &[u8], verb: char) {
        let bytes = &bytes[..self.flags.precision.unwrap_or(bytes.len()).min(bytes.len())];
        let prefix = match (self.flags.sharp && !bytes.is_empty(), verb) {
            (false, _) => "",
            (true, 'x') => "0x",
            (true, _) => "0X",
        };
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let digits = if self.flags.space { digits.join(&format!(" {prefix}")) } else { digits.concat() };
        let digits = if verb == 'X' { digits.to_uppercase() } else { digits };
        self.pad(&format!("{prefix}{digits}"));
    }

    fn integer(&mut self, value: i64, base: u32, verb: char) {
        let flags = self.flags;
        if flags.precision == Some(0) && value == 0 {
            return self.pad_with_spaces("");
        }
        let sign = match value {
            ..0 => "-",
            _ if flags.plus => "+",
            _ if flags.space => " ",
            _ => "",
        };
        let size = value.unsigned_abs();
        let digits = match base {
            2 => format!("{size:b}"),
            8 => format!("{size:o}"),
            16 if verb == 'X' => format!("{size:X}"),
            16 => format!("{size:x}"),
            _ => format!("{size}"),
        };
        // Zeros fill the width only where there is no precision.
        let fill = flags.width.filter(|_| flags.zero && !flags.minus).map(|width| width.saturating_sub(sign.len()));
        let least = flags.precision.or(fill).unwrap_or_default();
        let digits = format!("{}{digits}", "0".repeat(least.saturating_sub(digits.len())));
        let prefix = match (verb, base) {
            ('O', _) => "0o",
            (_, 2) if flags.sharp => "0b",
            (_, 8) if flags.sharp && !digits.starts_with('0') => "0",
            ('X', 16) if flags.sharp => "0X",
            (_, 16) if flags.sharp => "0x",
            _ => "",
        };
        let prefix = if verb == 'O' && flags.sharp && !digits.starts_with('0') { "0o0" } else { prefix };
        self.pad_with_spaces(&format!("{sign}{prefix}{digits}"));
    }

    fn unicode(&mut self, value: i64) {
        let digits = format!("{value:X}");
        let least = self.flags.precision.unwrap_or_default().max(4);
        let mut text = format!("U+{}{digits}", "0".repeat(least.saturating_sub(digits.len())));
        let shown = u32::try_from(value).ok().and_then(char::from_u32).filter(|c| escape::is_print(*c));
        if let (true, Some(c)) = (self.flags.sharp, shown) {
            text.push_str(&format!(" '{c}'"));
        }
        self.pad_with_spaces(&text);
    }

    fn float(&mut self, value: f64, verb: char, precision: Option<usize>) {
        let flags = self.flags;
        let precision = flags.precision.or(precision);
        let mut text = float::format(value, verb, precision);
        if flags.sharp && verb != 'b' && value.is_finite() {
            // %X gets no zeros from Go.
            let digits = if matches!(verb, 'g' | 'G' | 'x') { precision.unwrap_or(6) } else { 0 };
            text = with_point(&text, verb, digits);
        }
        if flags.space && !flags.plus && text.starts_with('+') {
            text.replace_range(..1, " ");
        } else if !flags.plus && text.starts_with('+') {
            text.remove(0);
        }
        let signed = text.starts_with(['+', '-', ' ']);
        if !value.is_finite() {
            self.pad_with_spaces(&text);
        } else if signed && flags.zero && !flags.minus {
            // The sign stands before the zeros.
            self.out.push_str(&text[..1]);
            self.flags.width = flags.width.map(|width| width.saturating_sub(1));
            self.pad(&text[1..]);
            self.flags.width = flags.width;
        } else {
            self.pad(&text);
        }
    }
}

enum Name<'v> {
    None,
    Key(&'v str),
    Field(&'v str),
}

/// The character of a number; U+FFFD where there is none.
fn character(value: i64) -> char {
    u32::try_from(value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
}

/// What `#` makes of a float: a decimal point always, and zeros up to `digits` significant ones.
fn with_point(text: &str, verb: char, digits: usize) -> String {
    let mark = if matches!(verb, 'x' | 'X') { ['p', 'P'] } else { ['e', 'E'] };
    let end = text.find(mark).unwrap_or(text.len());
    let (number, tail) = text.split_at(end);
    let mut number = number.to_owned();
    let significant = number.chars().skip(1).filter(|c| *c != '.').skip_while(|c| *c == '0').count();
    // A lone 0 before the point counts as one.
    let significant = if number.len() == 2 && number.ends_with('0') { 1 } else { significant };
    if !number.contains('.') {
        number.push('.');
    }
    number.push_str(&"0".repeat(digits.saturating_sub(significant)));
    number + tail
}
