//! Sizes in the notation of `docker run --memory`.

use rmachine_provider_api::{Error, Result};

/// Reads a size such as `512m`, `2g` or `1.5g` and answers bytes; the units are binary, a number
/// without one is bytes (docker/go-units, `RAMInBytes`).
///
/// # Errors
///
/// [`rmachine_provider_api::Kind::InvalidInput`] that names `flag`.
pub fn parse_size(flag: &str, text: &str) -> Result<u64> {
    let wrong = || {
        Error::invalid(format!("--{flag} takes a size, not \"{text}\""))
            .hint("a number with a unit: 512m, 2g, 1.5g (m, g and t are binary)")
    };
    let lower = text.trim().to_ascii_lowercase();
    let unit = lower.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &lower[..lower.len() - unit.len()];
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if whole.is_empty() && !fraction.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    // Three digits of a fraction are more than anybody asks for.
    let thousandths: u64 = match fraction {
        "" => 0,
        digits if digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{digits:0<3}").parse().map_err(|_| wrong())?
        }
        _ => return Err(wrong()),
    };
    let unit = 1_u64 << shift;
    let bytes = whole.checked_mul(unit).and_then(|b| b.checked_add((unit / 1000).checked_mul(thousandths)?));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_are_binary_and_nonsense_is_refused() {
        let read = |text| parse_size("x-memory", text).unwrap();
        assert_eq!([read("512m"), read("2G"), read("1.5k"), read("42")], [512 << 20, 2 << 30, 1024 + 500, 42]);
        for text in ["", "g", "2x", "-1g", "0", "1..5g", "1.2345g", "99999999999999t"] {
            let error = parse_size("x-memory", text).unwrap_err();
            assert!(error.to_string().contains("--x-memory"), "{text}: {error}");
        }
    }
}
