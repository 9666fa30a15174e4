//! Near names, for "did you mean".

/// Smallest Jaro-Winkler similarity (0 to 1) that is worth a suggestion; clap uses the same bound.
const SIMILAR: f64 = 0.7;

/// The candidates that look like `word`, nearest first, three at most.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity > SIMILAR)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn nearest_first() {
        assert_eq!(nearest("amazonec", ["generic", "amazonec2", "none"])[0], "amazonec2");
        assert!(nearest("zzz", ["generic", "none"]).is_empty());
    }
}
