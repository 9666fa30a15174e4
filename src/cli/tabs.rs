//! Columns as Go's text/tabwriter makes them for docker-machine: at least 5 wide, 3 blanks between.

/// Width of a column at least.
const LEAST: usize = 5;
/// Blanks behind the widest cell of a column.
const PADDING: usize = 3;

/// `text` with its tabs replaced by blanks. A cell ends with a tab; what follows the last one is in no column. A column is
/// as wide as its widest cell in lines that follow each other.
pub(super) fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut aligned = String::with_capacity(text.len());
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len() - 1]).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or_default();
    for column in 0..columns {
        let mut start = 0;
        while start < lines.len() {
            let block = widths[start..].iter().take_while(|widths| widths.len() > column).count();
            let cells = lines[start..start + block].iter().map(|cells| cells[column].chars().count() + PADDING);
            let width = cells.max().unwrap_or_default().max(LEAST);
            widths[start..start + block].iter_mut().for_each(|widths| widths[column] = width);
            start += block.max(1);
        }
    }
    for (index, (cells, widths)) in lines.iter().zip(&widths).enumerate() {
        if index > 0 {
            aligned.push('\n');
        }
        for (cell, width) in cells.iter().zip(widths.iter().map(Some).chain([None])) {
            aligned.push_str(cell);
            let blanks = width.map_or(0, |width| width - cell.chars().count());
            aligned.push_str(&" ".repeat(blanks));
        }
    }
    aligned
}

#[cfg(test)]
mod tests {
    use super::align;

    /// What Go's tabwriter answers; the file says where it is from.
    #[test]
    fn columns_are_those_of_go() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../crates/gotemplate/golden/golden.json")).unwrap();
        let cases = golden["Tabs"].as_array().unwrap();
        assert!(cases.len() > 10);
        for case in cases {
            assert_eq!(align(case[0].as_str().unwrap()), case[1].as_str().unwrap(), "{}", case[0]);
        }
    }
}
