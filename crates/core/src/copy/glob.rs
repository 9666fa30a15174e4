//! Patterns of names (glob(7)): `*`, `?`, `[…]`, and `\` before a character that is meant itself.

/// Whether `path` holds what makes it a pattern.
pub(super) fn is_pattern(path: &[u8]) -> bool {
    path.iter().any(|b| matches!(b, b'*' | b'?' | b'[' | b'\\'))
}

/// Whether `name` fits `pattern`. A dot at the beginning is only met by a dot.
pub(super) fn fits(pattern: &[u8], name: &[u8]) -> bool {
    if name.starts_with(b".") && !pattern.starts_with(b".") && !pattern.starts_with(b"\\.") {
        return false;
    }
    // Where the last star began, to take one character more when the rest does not fit: no exponential time.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, n));
            continue;
        }
        if let Some(after) = fits_one(pattern, p, name[n]) {
            p = after;
            n += 1;
            continue;
        }
        let Some((after_star, taken)) = star else { return false };
        star = Some((after_star, taken + 1));
        (p, n) = (after_star, taken + 1);
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Whether the pattern's character at `p` fits `byte`: where the pattern goes on.
fn fits_one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == byte).then_some(p + 2),
        b'[' => match class(pattern, p) {
            Some((fits, after)) => fits(byte).then_some(after),
            None => (byte == b'[').then_some(p + 1),
        },
        other => (other == byte).then_some(p + 1),
    }
}

/// The class that begins at `p`, and where it ends; `None` when it does not end.
fn class(pattern: &[u8], p: usize) -> Option<(impl Fn(u8) -> bool, usize)> {
    let mut at = p + 1;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let first = at;
    let mut ranges = Vec::new();
    loop {
        match *pattern.get(at)? {
            b']' if at > first => break,
            low => match (pattern.get(at + 1), pattern.get(at + 2)) {
                (Some(b'-'), Some(high)) if *high != b']' => {
                    ranges.push((low, *high));
                    at += 3;
                }
                _ => {
                    ranges.push((low, low));
                    at += 1;
                }
            },
        }
    }
    let fits = move |byte| ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != negated;
    Some((fits, at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, yes, no) in [
            ("*", &["a", "a b"][..], &[".a"][..]),
            ("*.txt", &["a.txt", ".b.txt.txt"][..1], &["a.txtx", ".a.txt"]),
            (".*", &[".a"], &["a"]),
            ("a?c", &["abc"], &["ac", "abbc"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "x"]),
            ("[!a-c]x", &["dx"], &["ax"]),
            ("[]x]", &["]", "x"], &["["]),
            ("[a", &["[a"], &["a"]),
            ("a[-z]", &["a-", "az"], &["ab"]),
            ("\\*", &["*"], &["a"]),
            ("a**b*", &["ab", "axxbyy"], &["a"]),
            ("*a*b*c*d*e*f*g*", &["abcdefg"], &["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]),
        ] {
            yes.iter().for_each(|name| assert!(fits(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}"));
            no.iter().for_each(|name| assert!(!fits(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}"));
        }
        assert!(fits(b"a*", b"a\xff"));
        assert!(is_pattern(b"a*") && !is_pattern(b"a b"));
    }
}
