//! Whatever others say, what is printed holds nothing that a terminal obeys, and no line of ours that is not ours.

use proptest::prelude::*;
use rmachine_core::{Area, Checked};
use rmachine_model::error::Kind;
use rmachine_provider_api::{Finding, Health};
use rmachine_testkit::cases::{self, hostile_text};

use super::*;
use crate::cli::{doctor, holdings};

fn is_clean(text: &str) -> bool {
    !text.contains(|c| printable::is_hidden(c) && c != '\n')
}

fn count(text: &str, word: &str) -> usize {
    text.split('\n').filter(|line| line.starts_with(word)).count()
}

proptest! {
    #![proptest_config(cases::config(4))]

    #[test]
    fn an_error_is_one_error(message in hostile_text(), cause in hostile_text(), hint in hostile_text()) {
        let error = Error::new(Kind::Ssh, message).source(cause).hint(hint).context("it failed");
        let text = error.report().replace('\t', " ");
        prop_assert!(is_clean(&text), "{text:?}");
        prop_assert_eq!((count(&text, "Error:"), count(&text, "Hint:")), (1, 1), "{:?}", text);
        prop_assert!(count(&text, "Caused by:") <= 2 && count(&text, "Warning:") == 0, "{text:?}");
    }

    #[test]
    fn docker_machines_words_are_clean_too(message in hostile_text(), cause in hostile_text()) {
        let error = Error::new(Kind::Ssh, message).source(cause);
        let error = crate::cli::dialect::certificates(error, "Error", "127.0.0.1");
        let text = error.report_under(&Dialect::DockerMachine.headline(&error));
        prop_assert!(is_clean(&text.replace('\t', " ")), "{text:?}");
        prop_assert_eq!((count(&text, "Error"), count(&text, "Hint:")), (1, 0), "{:?}", text);
    }

    #[test]
    fn a_table_has_as_many_lines_as_rows(cells in prop::collection::vec(hostile_text(), 3)) {
        let [one, two, three] = <[String; 3]>::try_from(cells).unwrap();
        let text = holdings::table(["A", "B", "C"], [[one, two, three], ["x".to_owned(), String::new(), "z".to_owned()]]);
        prop_assert!(is_clean(&text), "{text:?}");
        prop_assert_eq!(text.split('\n').count(), 4, "{:?}", text);
    }

    #[test]
    fn a_report_has_two_lines_a_finding(subject in hostile_text(), found in hostile_text(), remedy in hostile_text()) {
        let finding = Finding { health: Health::Bad, subject, text: found, remedy: Some(remedy) };
        let text = doctor::report(&[Checked { area: Area::Machines, finding }]);
        prop_assert!(is_clean(&text), "{text:?}");
        prop_assert_eq!(text.split('\n').count(), 4, "{:?}", text);
    }
}
