//! Floats as Go's strconv writes them.

/// Digits after the point that a float64 can have; what is asked for beyond are zeros.
const MOST_DECIMALS: usize = 1100;

/// As strconv.FormatFloat for the verbs e, E, f, F, g, G, x, X and b, with a sign always; no precision is the shortest form.
pub(super) fn format(value: f64, verb: char, precision: Option<usize>) -> String {
    let sign = if value.is_sign_negative() { '-' } else { '+' };
    let absolute = value.abs();
    let text = if absolute.is_infinite() {
        "Inf".to_owned()
    } else if absolute.is_nan() {
        "NaN".to_owned()
    } else {
        match verb.to_ascii_lowercase() {
            'e' => exponential(absolute, precision),
            'f' => positional(absolute, precision),
            'x' => hexadecimal(absolute, precision),
            'b' => binary(absolute),
            _ => general(absolute, precision),
        }
    };
    let text = if verb.is_ascii_uppercase() && absolute.is_finite() { text.to_uppercase() } else { text };
    format!("{sign}{text}")
}

/// As encoding/json writes a number.
pub(super) fn json(value: f64) -> String {
    if !value.is_finite() {
        return "null".to_owned();
    }
    let absolute = value.abs();
    let text = if absolute != 0.0 && !(1e-6..1e21).contains(&absolute) {
        // Exponents of one digit lose their zero.
        exponential(absolute, None).replace("e-0", "e-")
    } else {
        positional(absolute, None)
    };
    if value.is_sign_negative() { format!("-{text}") } else { text }
}

fn zeros(precision: usize) -> String {
    "0".repeat(precision.saturating_sub(MOST_DECIMALS))
}

/// The mantissa's text and the exponent of ten.
fn scientific(value: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        Some(precision) => format!("{value:.*e}", precision.min(MOST_DECIMALS)),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (format!("{mantissa}{}", zeros(precision.unwrap_or_default())), exponent.parse().unwrap_or_default())
}

fn exponent(letter: char, value: i32) -> String {
    format!("{letter}{}{:02}", if value < 0 { '-' } else { '+' }, value.unsigned_abs())
}

fn exponential(value: f64, precision: Option<usize>) -> String {
    let (mantissa, power) = scientific(value, precision);
    format!("{mantissa}{}", exponent('e', power))
}

fn positional(value: f64, precision: Option<usize>) -> String {
    match precision {
        Some(precision) => format!("{value:.*}{}", precision.min(MOST_DECIMALS), zeros(precision)),
        None => format!("{value}"),
    }
}

/// %g: the exponent is shown where it is less than -4 or not less than the precision.
fn general(value: f64, precision: Option<usize>) -> String {
    let wanted = precision.map(|precision| precision.clamp(1, MOST_DECIMALS));
    let (mantissa, power) = scientific(value, wanted.map(|precision| precision - 1));
    let digits = mantissa.replace('.', "");
    let digits = digits.trim_end_matches('0');
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let mut bound = wanted.map_or(6, |precision| i32::try_from(precision).unwrap_or(i32::MAX));
    if wanted.is_some() && bound > count && count > power {
        bound = count;
    }
    if value != 0.0 && (power < -4 || power >= bound) {
        let (first, rest) = digits.split_at(digits.len().min(1));
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{first}{point}{rest}{}", exponent('e', power));
    }
    let decimals = usize::try_from((count - power - 1).max(0)).unwrap_or_default();
    if value == 0.0 { "0".to_owned() } else { positional(value, Some(decimals)) }
}

/// Mantissa of 53 bits and exponent of two.
fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let mantissa = bits & ((1 << 52) - 1);
    match i32::try_from((bits >> 52) & 0x7ff).unwrap_or_default() {
        0 => (mantissa, -1074),
        exponent => (mantissa | (1 << 52), exponent - 1075),
    }
}

/// %b: an integer times a power of two.
fn binary(value: f64) -> String {
    let (mantissa, power) = parts(value);
    format!("{mantissa}p{power:+}")
}

/// %x: a hexadecimal mantissa with one digit before the point.
fn hexadecimal(value: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut power) = parts(value);
    if mantissa == 0 {
        power = 0;
    } else {
        // The first bit is bit 60: 15 digits behind the point.
        let shift = mantissa.leading_zeros() - 3;
        mantissa <<= shift;
        power += 60 - i32::try_from(shift).unwrap_or_default();
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let cut = 60 - 4 * u32::try_from(precision).unwrap_or_default();
        let (rest, half) = (mantissa & ((1 << cut) - 1), 1 << (cut - 1));
        mantissa >>= cut;
        // Half to even.
        if rest > half || (rest == half && mantissa & 1 == 1) {
            mantissa += 1;
        }
        mantissa <<= cut;
        if mantissa >> 61 != 0 {
            mantissa >>= 1;
            power += 1;
        }
    }
    let digits = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let digits = match precision {
        Some(precision) if precision < 15 => digits[..precision].to_owned(),
        Some(precision) => format!("{digits}{}", "0".repeat(precision - 15)),
        None => digits.trim_end_matches('0').to_owned(),
    };
    let point = if digits.is_empty() { "" } else { "." };
    format!("0x{}{point}{digits}{}", mantissa >> 60, exponent('p', power))
}
