//! What ends when: the certificates that a client of one machine needs, by the files alone.

use rmachine_certs::{self as certs, Health};
use rmachine_store::{Phase, Record, Trust, file};
use time::OffsetDateTime;

use super::{Core, create::wants_engine};

/// A certificate that ends sooner than this is worth a word in a list.
const SOON_DAYS: i64 = 30;
/// A CA's end is said this long before, by every `env`; `doctor` says it from the last third of its life on.
const CA_DAYS: i64 = 180;

/// How long the certificates of a machine are good for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expiry {
    /// Whole days until the first of them ends, negative when that is past; `None` where there is none to look at.
    pub days: Option<i64>,
    /// What is due or over, each with the command that mends it.
    pub warnings: Vec<String>,
    /// Whether a certificate under the CA is due or over: any SSH session can renew it.
    pub renewable: bool,
}

impl Expiry {
    /// The warning for a list: only what is over, or ends within a month.
    pub fn urgent(&self) -> Option<&str> {
        self.days.filter(|days| *days < SOON_DAYS).and_then(|_| self.warnings.first()).map(String::as_str)
    }
}

impl Core {
    /// How long the certificates in the directory of `record`'s machine are good for; asks nobody.
    ///
    /// What cannot be read is `doctor`'s to tell.
    pub fn expiry(&self, record: &Record) -> Expiry {
        self.expiry_at(record, OffsetDateTime::now_utc())
    }

    fn expiry_at(&self, record: &Record, now: OffsetDateTime) -> Expiry {
        let managed = self.driver(record).is_ok_and(|driver| driver.info().capabilities.engine);
        if !managed || record.phase != Phase::Ready || !wants_engine(record) {
            return Expiry::default();
        }
        let name = &record.name;
        let anew = format!("`rmachine regenerate-certs {name}` issues it anew");
        let client = format!("`rmachine regenerate-certs --client-certs {name}` issues it anew");
        // One that is not the store's goes with the certificates that it signed.
        let other_ca = self.has_other_ca(record);
        let authority = match record.trust {
            Trust::Own => format!("`rmachine rotate-ca {name}` makes a new one"),
            Trust::Store if self.wanted_trust(record) == Trust::Own => {
                format!("`rmachine regenerate-certs {name}` gives the machine one of its own")
            }
            _ if other_ca => format!("`rmachine regenerate-certs {name}` gives the machine this store's"),
            _ => "`rmachine rotate-ca` makes a new one and hands it to all machines".to_owned(),
        };
        let parts = [
            (file::CA_CERT, "the CA's certificate", authority),
            (file::SERVER_CERT, "the certificate of its engine", anew),
            (file::CLIENT_CERT, "the client's certificate", client),
        ];
        let mut expiry = Expiry::default();
        for (file, what, remedy) in parts {
            let text = self.store.read_text(&self.store.machine_file(&record.name, file)).ok().flatten();
            let Some(info) = text.and_then(|pem| certs::inspect(&pem).ok()) else { continue };
            // The last second counts as past.
            let days = ((info.not_after - now).whole_seconds() - 1).div_euclid(86_400);
            expiry.days = Some(expiry.days.map_or(days, |least| least.min(days)));
            let until = info.not_after.date();
            let health = certs::health(&info, now);
            expiry.renewable |=
                (other_ca || file != file::CA_CERT) && matches!(health, Health::RenewDue | Health::Expired);
            match health {
                Health::Good => {}
                Health::RenewDue if file == file::CA_CERT && days > CA_DAYS => {}
                Health::RenewDue => expiry.warnings.push(format!("{what} ends on {until}; {remedy}")),
                Health::Expired => expiry.warnings.push(format!("{what} has expired on {until}; {remedy}")),
                Health::NotYetValid => {
                    let from = info.not_before.date();
                    expiry.warnings.push(format!("{what} begins on {from} only; set this computer's clock"));
                }
            }
        }
        expiry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_warns_of_what_ends_soon() {
        let of = |days| Expiry { days: Some(days), warnings: vec!["it ends".to_owned()], renewable: true };
        assert_eq!((of(29).urgent(), of(-1).urgent()), (Some("it ends"), Some("it ends")));
        assert_eq!((of(30).urgent(), Expiry::default().urgent()), (None, None));
    }
}
