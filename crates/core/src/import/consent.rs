//! Whom an import is about to talk to, shown and asked for before it happens: its records were written by others.

use rmachine_model::error::{Error, Kind, Result};
use rmachine_store::Record;

use crate::{Core, FirstContact, blocking};

/// Whether the user agrees with what an import asks and changes over the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Consent {
    /// Show it and ask on a terminal.
    #[default]
    Ask,
    /// Given beforehand (`--yes`).
    Given,
}

impl Core {
    /// Shows where calls for `records` go, and asks whether to `what`; `false` when nobody can be asked.
    ///
    /// # Errors
    ///
    /// [`Kind::Conflict`] when the answer is no.
    pub(crate) async fn agree(&self, records: &[&Record], what: &str, consent: Consent) -> Result<bool> {
        if consent == Consent::Given || records.is_empty() {
            return Ok(true);
        }
        let mut question = String::new();
        for record in records {
            question.push_str(&format!("machine \"{}\": {}\n", record.name, self.destination(record)));
        }
        question.push_str(what);
        let talk = self.talk.clone();
        let _turn = self.asking.lock().await;
        match blocking(move || Ok(talk.confirm(&question))).await? {
            Some(true) => Ok(true),
            Some(false) => Err(Error::new(Kind::Conflict, "nothing is imported, as you said no").hint(
                "--offline takes the machines of a directory over and asks nobody; --keep-owner those of an archive",
            )),
            None => Ok(false),
        }
    }

    /// Driver, ids, address and place of `record`, in one line.
    pub(crate) fn destination(&self, record: &Record) -> String {
        let mut parts = vec![("driver", record.driver.clone())];
        if let Some(instance) = &record.instance {
            parts.push(("instance", instance.id.to_string()));
        }
        parts.extend(record.address().map(|address| ("address", address.to_owned())));
        if !record.lacks_driver()
            && let Ok(driver) = self.drivers.get(&record.driver)
        {
            parts.extend(driver.destination(&record.config, record.instance.as_ref()));
        }
        parts.push(("token", record.token.to_string()));
        parts.into_iter().map(|(label, value)| format!("{label} {value}")).collect::<Vec<_>>().join(", ")
    }

    /// Whether host keys are taken without a question, so that hosts are to be met.
    pub(super) fn meets_anybody(&self) -> bool {
        self.first_contact != FirstContact::Ask
    }

    /// Refuses a record whose calls would go to an endpoint that nobody has agreed with.
    pub(crate) fn check_endpoint(&self, record: &Record, hint: &str) -> Result<()> {
        let driver = self.drivers.get(&record.driver).ok().filter(|_| !record.lacks_driver());
        match driver.and_then(|driver| driver.foreign_endpoint(&record.config)) {
            None => Ok(()),
            Some(endpoint) => Err(Error::new(
                Kind::Conflict,
                format!(
                    "the record of machine \"{}\" sends what your keys sign to the endpoint {endpoint:?}",
                    record.name
                ),
            )
            .hint(format!("others wrote it; {hint}"))),
        }
    }
}
