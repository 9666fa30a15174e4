//! The shares in an archive: another store gave them, so they are shown, and taken over only when its user says so.

use rmachine_certs as certs;
use rmachine_model::error::{Error, Kind, Result};
use rmachine_store::audit::Event;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use zeroize::Zeroizing;

use crate::Share;

/// No share that is made lives longer.
const LONGEST: Duration = Duration::days(365);

/// What becomes of the shares of a machine.
pub(super) struct TakenShares {
    /// The text of `shares.json`, where any is kept.
    pub(super) file: Option<Zeroizing<Vec<u8>>>,
    /// For the audit log.
    pub(super) events: Vec<Event>,
}

/// Reads the shares of machine `name` and says each that is open in `notes`; with `keep` they stay, no longer than their
/// certificates and a year.
pub(super) fn taken_over(name: &str, text: Option<&[u8]>, keep: bool, notes: &mut Vec<String>) -> Result<TakenShares> {
    let (mut kept, mut events) = (Vec::new(), Vec::new());
    let shares: Vec<Share> = match text {
        Some(text) => serde_json::from_slice(text).map_err(|e| {
            Error::new(Kind::Store, format!("the shares of machine \"{name}\" in the archive do not read")).source(e)
        })?,
        None => Vec::new(),
    };
    let now = OffsetDateTime::now_utc();
    for mut share in shares {
        // A CA of another form would be let in by the engine for whatever it signs.
        let Ok(ca) = certs::inspect(&share.ca).map_err(drop).and_then(|ca| if ca.is_ca { Ok(ca) } else { Err(()) })
        else {
            notes.push(format!("share {:?} has no CA that reads, and is left out", share.id));
            continue;
        };
        share.until = share.until.min(ca.not_after).min(now + LONGEST);
        if share.until <= now || share.ending {
            continue;
        }
        let until = share.until.format(&Rfc3339).unwrap_or_else(|_| share.until.to_string());
        let (id, key) = (share.id.escape_debug(), share.key.escape_debug());
        if keep {
            notes.push(format!("share {id} is open until {until}: whoever has the key {key} is root on the machine; `rmachine unshare {name} {id}` ends it"));
            events.push(Event::Shared { share: share.id.clone(), key: share.key.clone(), until: share.until });
            kept.push(share);
        } else {
            notes.push(format!("share {id} (until {until}) is not taken over, and ends when the machine has its new certificates; --keep-shares takes it over"));
            events.push(Event::ShareEnded { share: share.id });
        }
    }
    let file = match kept.is_empty() {
        true => None,
        false => Some(Zeroizing::new(
            serde_json::to_vec_pretty(&kept)
                .map_err(|e| Error::new(Kind::Store, "the shares cannot be written as JSON").source(e))?,
        )),
    };
    Ok(TakenShares { file, events })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmachine_certs::Recipient;

    fn share(life: Duration) -> Share {
        let key = rcgen::KeyPair::generate().unwrap().public_key_pem();
        let shared = certs::share(&Recipient::parse(&key).unwrap(), "0123", OffsetDateTime::now_utc(), life).unwrap();
        Share {
            id: "0123".into(),
            key: "k".into(),
            until: OffsetDateTime::now_utc() + Duration::days(100_000),
            ca: shared.ca_pem,
            ending: false,
            unfinished: false,
            authority: String::new(),
        }
    }

    fn taken(share: &Share, keep: bool) -> (Vec<Share>, Vec<String>) {
        let mut notes = Vec::new();
        let text = serde_json::to_vec(&[share]).unwrap();
        let file = taken_over("m", Some(&text), keep, &mut notes).unwrap().file;
        (file.map(|file| serde_json::from_slice(&file).unwrap()).unwrap_or_default(), notes)
    }

    #[test]
    fn an_open_share_is_shown_and_kept_on_demand_and_no_longer_than_its_certificate() {
        let hours = share(Duration::hours(8));
        let (kept, notes) = taken(&hours, false);
        assert!(kept.is_empty() && notes[0].contains("0123") && notes[0].contains("not taken over"), "{notes:?}");
        let (kept, notes) = taken(&hours, true);
        assert!(kept[0].until <= OffsetDateTime::now_utc() + Duration::hours(8), "{kept:?}");
        assert!(notes[0].contains("open until"), "{notes:?}");
        // A certificate for ten years gives no share for ten years.
        let (kept, _) = taken(&share(Duration::days(3650)), true);
        assert!(kept[0].until <= OffsetDateTime::now_utc() + LONGEST);
    }

    #[test]
    fn what_is_over_or_has_no_ca_is_left_out() {
        assert!(taken(&share(Duration::hours(-1)), true).0.is_empty());
        let strange =
            Share { ca: "-----BEGIN CERTIFICATE-----".into(), id: "\u{1b}[2J".into(), ..share(Duration::HOUR) };
        let (kept, notes) = taken(&strange, true);
        assert!(kept.is_empty() && !notes[0].contains('\u{1b}'), "{notes:?}");
        assert!(taken_over("m", Some(b"[{}]"), true, &mut Vec::new()).is_err());
        assert!(taken_over("m", None, true, &mut Vec::new()).unwrap().file.is_none());
    }
}
