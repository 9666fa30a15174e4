//! Two commands on one machine at once: one of them waits or says so, and nothing is leaked.

use std::time::Duration;

use crate::{
    hosts::{PATIENCE, alone, assert_usable, create, start},
    report::{Report, full},
    support::{Store, resources},
};

#[test]
fn rm_and_start_at_once() {
    let _alone = alone();
    let report = Report::start("rm and start at once on one machine");
    let before = resources();
    let store = Store::new();
    // Which comes first, and how much later the other one does, in milliseconds.
    let rounds = [("start", 0), ("rm", 30), ("start", 150), ("rm", 0)];
    let rounds = if full() { &rounds[..] } else { &rounds[..2] };
    for (first, later) in rounds {
        create(&store, &[], "race").end(PATIENCE).ok();
        start(&store, &["stop", "race"]).end(PATIENCE).ok();
        let words = |command: &str| if command == "rm" { vec!["rm", "-y", "race"] } else { vec!["start", "race"] };
        let second = if *first == "rm" { "start" } else { "rm" };
        let one = start(&store, &words(first));
        std::thread::sleep(Duration::from_millis(*later));
        let two = start(&store, &words(second));
        let (one, two) = (one.end(PATIENCE), two.end(PATIENCE));
        let (rm, start_) = if *first == "rm" { (one, two) } else { (two, one) };
        let what = format!("{first}, {later} ms before the other: {rm:?} {start_:?}");
        match (rm.code, start_.code) {
            // One after the other; or start found it gone or going, and says so.
            (Some(0), Some(0)) => {}
            (Some(0), Some(_)) => assert!(start_.stderr.contains("Error: machine \"race\""), "{what}"),
            // rm would not wait: the machine is whole.
            (Some(5), Some(0)) => assert_usable(&store, "race"),
            _ => panic!("{what}"),
        }
        if rm.code != Some(0) {
            start(&store, &["rm", "-y", "race"]).end(PATIENCE).ok();
        }
        assert_eq!(store.rmachine(&["ls", "-q"]).ok(), "", "{what}");
        assert_eq!(resources(), before, "{what}");
    }
    report.end(rounds.len(), "");
}
