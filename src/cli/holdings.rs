//! Tables of what a cloud holds, for `gc` and `rm --dry-run`.

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use rmachine_provider_api::{Resource, ResourceKind};
use rmachine_text::printable;
use time::OffsetDateTime;

pub(super) fn word(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Instance => "instance",
        ResourceKind::SpotRequest => "spot request",
        ResourceKind::Volume => "volume",
        ResourceKind::Network => "network",
        ResourceKind::NetworkInterface => "network interface",
        ResourceKind::Address => "address",
        ResourceKind::SecurityGroup => "security group",
        ResourceKind::KeyPair => "key pair",
    }
}

/// A time span in one or two of its largest units: `3d 4h`, `12m`.
pub(super) fn span(seconds: i64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let Some(first) = units.iter().position(|(size, _)| seconds >= *size) else { return "0s".to_owned() };
    let (size, letter) = units[first];
    let rest = seconds % size;
    match units.get(first + 1).map(|(next, letter)| (rest / next, letter)) {
        Some((more, next)) if more > 0 && size > 60 => format!("{}{letter} {more}{next}", seconds / size),
        _ => format!("{}{letter}", seconds / size),
    }
}

/// US dollars a month; `?` where the price is not known.
pub(super) fn cost(usd: Option<f64>) -> String {
    usd.map_or_else(|| "?".to_owned(), |usd| format!("{usd:.2}"))
}

/// A table without borders, as all of ours; a cell is one line, whoever wrote it.
pub(super) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| printable::line(&cell).into_owned()));
    }
    table.to_string().lines().map(|line| format!("{}\n", line.trim())).collect()
}

/// The cells that every table of resources has: kind, id, place, age, detail, cost.
pub(super) fn cells(resource: &Resource) -> [String; 6] {
    let age = resource.created.map(|at| (OffsetDateTime::now_utc() - at).whole_seconds().max(0));
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    [
        word(resource.kind).to_owned(),
        resource.id.clone(),
        text(&resource.location),
        age.map_or_else(|| "-".to_owned(), span),
        text(&resource.detail),
        cost(resource.monthly_usd),
    ]
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (90_061, "1d 1h"), (7_260, "2h 1m")]
        {
            assert_eq!(span(seconds), text);
        }
    }
}
