use proptest::prelude::*;

use super::*;

fn writer() -> Writer {
    Writer { user: "u".into(), host: "h".into(), pid: 1, program: "rmachine 0".into() }
}

fn last(log: &[u8]) -> Option<(&[u8], bool)> {
    let whole = log.strip_suffix(b"\n");
    let end = whole.unwrap_or(log);
    let start = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (!log.is_empty()).then(|| (&end[start..], whole.is_none()))
}

fn append(log: &mut Vec<u8>, machine: &str, events: &[Event]) {
    let (line, torn) = last(log).map_or((None, false), |(line, torn)| (Some(line), torn));
    let more = lines(line, torn, &writer(), OffsetDateTime::UNIX_EPOCH, Some(machine), events).unwrap();
    log.extend_from_slice(&more);
}

fn log(count: usize) -> Vec<u8> {
    let mut log = Vec::new();
    for number in 0..count {
        append(
            &mut log,
            &format!("m{number}"),
            &[Event::Renamed { from: format!("\u{1b}\n{number}") }, Event::Removed],
        );
    }
    log
}

#[test]
fn a_chain_holds_and_tells_what_was_written() {
    let chain = Chain::read(&log(3));
    assert_eq!((chain.entries.len(), chain.broken, chain.torn), (6, None, vec![]));
    let (number, entry) = &chain.entries[4];
    assert_eq!((*number, entry.machine.as_deref(), entry.event.as_str()), (5, Some("m2"), "renamed"));
    assert_eq!((entry.details["from"].as_str(), entry.user.as_str()), (Some("\u{1b}\n2"), "u"));
    assert_eq!(chain.entries[0].1.previous, GENESIS);
    assert!(Chain::read(b"").broken.is_none());
}

#[test]
fn a_line_that_is_taken_out_put_in_or_moved_is_named() {
    let good = log(3);
    let all: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
    let broken = |lines: &[&[u8]]| Chain::read(&lines.concat()).broken.map(|broken| broken.line);
    assert_eq!(broken(&all), None);
    assert_eq!(broken(&[all[0], all[2], all[3]]), Some(2));
    assert_eq!(broken(&[all[0], all[0], all[1]]), Some(2));
    assert_eq!(broken(&[all[1], all[0]]), Some(1));
    assert_eq!(broken(&[all[0], b"{}\n", all[1]]), Some(2));
    assert_eq!(broken(&[all[0], b"\n"]), Some(2));
    // What no chain shows; the hash of the last line, kept elsewhere, does.
    assert_eq!(broken(&all[..4]), None);
}

#[test]
fn a_line_that_a_crash_cut_off_is_no_break() {
    let good = log(2);
    for cut in 1..=good.len() {
        let mut torn = good[..cut].to_vec();
        let at_end = torn.ends_with(b"\n");
        let number = good[..cut - 1].iter().filter(|byte| **byte == b'\n').count() + 1;
        let expected = if at_end { vec![] } else { vec![number] };
        let chain = Chain::read(&torn);
        assert_eq!((chain.broken, chain.torn), (None, expected.clone()), "{cut}");
        append(&mut torn, "next", &[Event::Removed]);
        let chain = Chain::read(&torn);
        assert_eq!((chain.broken, chain.torn), (None, expected), "{cut}, gone on with");
        assert_eq!(chain.entries.last().unwrap().1.machine.as_deref(), Some("next"));
    }
}

proptest! {
    #[test]
    fn whatever_stands_there_is_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        Chain::read(&bytes);
        let mut log = bytes;
        append(&mut log, "m", &[Event::Removed]);
        let chain = Chain::read(&log);
        prop_assert_eq!(chain.entries.last().unwrap().1.event.as_str(), "removed");
    }

    /// A byte that is changed anywhere but in the last line shows, and names a line that is not before it.
    #[test]
    fn a_changed_byte_shows(at in 0_usize..2000, to in any::<u8>()) {
        let good = log(4);
        let last = good[..good.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
        let at = at % last;
        prop_assume!(good[at] != to);
        let mut bad = good.clone();
        bad[at] = to;
        let line = good[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        let broken = Chain::read(&bad).broken.expect("it shows");
        prop_assert!((line..=line + 1).contains(&broken.line), "{} for {line}", broken.line);
    }
}
