//! Access that is given away, over a fake host: what is refused, what the files say, and whom the engine lets in.

use std::{os::unix::fs::PermissionsExt, time::Duration as Patience};

use rmachine_certs::Recipient;
use rmachine_core::{Builder, Core, Given, MachineSpec, Regenerate, Rotate, Share, ShareState};
use rmachine_engine::{self as engine, TlsFiles};
use rmachine_model::{
    Endpoint, EngineSource,
    error::{Error, Kind},
};
use rmachine_provider_api::{Capabilities, Health, StopMode};
use rmachine_store::file;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::{
    host::Host,
    one_ca::read,
    support::{World, none, options, text},
};

const HOUR: Duration = Duration::hours(1);

/// A world whose machines have a host that answers.
pub struct Hosted {
    pub world: World,
    pub host: Option<Host>,
}

impl Hosted {
    pub fn new() -> Self {
        let world = World::new();
        let account = world.account.clone();
        // The host has a runtime of its own, which no runtime may start.
        let host = std::thread::spawn(|| Host::up(account)).join().unwrap();
        Self { world, host: Some(host) }
    }

    pub async fn with_machine() -> Self {
        let hosted = Self::new();
        hosted.core().create(options("m")).await.unwrap();
        hosted
    }

    pub fn core(&self) -> Core {
        self.builder().build()
    }

    pub fn builder(&self) -> Builder {
        self.world.builder_with(Capabilities { ssh: true, engine: true, power: true, ingress: true })
    }

    fn shares(&self) -> Vec<Share> {
        self.core().shares("m").unwrap()
    }

    fn states(&self) -> Vec<(String, ShareState)> {
        let now = OffsetDateTime::now_utc();
        self.shares().into_iter().map(|share| (share.id.clone(), share.state(now))).collect()
    }

    /// How many certificates the engine trusts: the CA's, and one a share.
    pub fn trusted(&self) -> usize {
        let disk = self.host.as_ref().unwrap().disk.lock().unwrap();
        disk.tls.as_ref().unwrap()[0].matches("BEGIN CERTIFICATE").count()
    }

    /// Changes `shares.json` by hand.
    fn change(&self, change: impl FnOnce(&mut Value)) {
        let path = self.world.store().machine_file("m", file::SHARES);
        let mut shares: Value = serde_json::from_str(&read(&path)).unwrap();
        change(&mut shares);
        std::fs::write(path, shares.to_string()).unwrap();
    }

    /// The lines of `doctor` about the machine's shares, as `Health text -> remedy`.
    async fn doctor(&self) -> Vec<String> {
        let checked = self.core().doctor(&[], Patience::from_secs(5)).await.unwrap();
        let of_shares =
            checked.into_iter().map(|checked| checked.finding).filter(|finding| finding.text.contains("share"));
        of_shares.map(|f| format!("{:?} {} -> {}", f.health, f.text, f.remedy.unwrap_or_default())).collect()
    }
}

/// Somebody with a key.
pub struct Other {
    key: rcgen::KeyPair,
    pub to: Recipient,
}

impl Other {
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let to = Recipient::parse(&key.public_key_pem()).unwrap();
        Self { key, to }
    }

    pub async fn get(&self, core: &Core) -> Given {
        core.share("m", &self.to, HOUR, |_| Ok(())).await.unwrap()
    }

    /// Whether the engine and they know each other.
    pub async fn is_let_in(&self, given: &Given, ca_pem: &str) -> Result<(), engine::Error> {
        let (host, port) = given.url.trim_start_matches("tcp://").rsplit_once(':').unwrap();
        let endpoint = Endpoint { host: host.to_owned(), port: port.parse().unwrap() };
        let key_pem = self.key.serialize_pem();
        let tls = TlsFiles { ca_pem, cert_pem: &given.cert_pem, key_pem: &key_pem };
        engine::check(&endpoint, &tls, Patience::from_secs(5)).await.map(|_| ())
    }

    pub async fn enters(&self, given: &Given) -> bool {
        self.is_let_in(given, &given.ca_pem).await.is_ok()
    }
}

fn cannot_write() -> Error {
    Error::new(Kind::Failure, "cannot write out/cert.pem")
}

#[tokio::test]
async fn each_share_opens_the_machine_until_it_is_ended() {
    let hosted = Hosted::with_machine().await;
    let (core, one, two) = (hosted.core(), Other::new(), Other::new());
    let mut shown = None;
    let first = core
        .share("m", &one.to, HOUR, |given| {
            shown = Some((given.share.id.clone(), hosted.trusted(), hosted.states()));
            Ok(())
        })
        .await
        .unwrap();
    let id = first.share.id.clone();
    let while_it_is_written = vec![(id.clone(), ShareState::Unfinished)];
    assert_eq!(
        shown,
        Some((id.clone(), 2, while_it_is_written)),
        "the files are written when they are good for something"
    );
    let second = two.get(&core).await;
    assert_eq!(hosted.states(), [(id.clone(), ShareState::Open), (second.share.id.clone(), ShareState::Open)]);
    let left = hosted.shares()[0].seconds_left(OffsetDateTime::now_utc());
    assert!((3500..=3600).contains(&left), "{left}");
    let path = hosted.world.store().machine_file("m", file::SHARES);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!read(&path).contains("PRIVATE"), "its CA's key is nowhere");
    assert!(one.enters(&first).await && two.enters(&second).await);
    assert!(!one.enters(&second).await, "another one's certificate is of no use");

    // What else changes certificates keeps them.
    core.regenerate_certificates("m", Regenerate { force: true, client: true }).await.unwrap();
    core.provision("m").await.unwrap();
    core.restart("m").await.unwrap();
    assert!(one.enters(&first).await && two.enters(&second).await);

    let unknown = core.unshare("m", Some(&["nonesuch".to_owned()])).await.unwrap_err();
    assert_eq!(
        text(&unknown),
        format!("Error: machine \"m\" has no share nonesuch\nHint: it has {id}, {}", second.share.id)
    );
    assert_eq!(hosted.states().len(), 2);
    let ended = core.unshare("m", Some(std::slice::from_ref(&id))).await.unwrap();
    assert_eq!(ended.iter().map(|share| &share.id).collect::<Vec<_>>(), [&id]);
    assert!(!one.enters(&first).await && two.enters(&second).await);
    assert_eq!((hosted.states().len(), hosted.trusted()), (1, 2));
    assert_eq!(core.unshare("m", None).await.unwrap().len(), 1);
    assert!(!two.enters(&second).await);
    assert_eq!((hosted.states().len(), hosted.trusted()), (0, 1));
    assert_eq!(core.unshare("m", None).await.unwrap().len(), 0, "nothing to end is no error");
    core.check(&core.access("m").unwrap(), Patience::from_secs(5)).await.expect("our own client comes in as before");
}

/// Who is refused has given nothing away: no file, no session.
#[tokio::test]
async fn what_cannot_be_shared_is_refused_before_anything_happens() {
    let hosted = Hosted::new();
    let core = hosted.core();
    // The host has room for one machine; the others do without.
    core.create(MachineSpec { ssh_tunnel: true, ..options("quiet") }).await.unwrap();
    let without = hosted.world.core_with(Capabilities { ssh: false, engine: true, power: true, ingress: true });
    let mut bare = options("bare");
    bare.engine.source = EngineSource::None;
    without.create(bare).await.unwrap();
    core.create(none("url", "tcp://127.0.0.1:1")).await.unwrap();
    for (name, kind, message) in [
        ("bare", Kind::Conflict, "machine \"bare\" was made without an engine"),
        ("quiet", Kind::Conflict, "the engine of machine \"quiet\" is reached through SSH only"),
        ("url", Kind::Failure, "the driver \"none\" cannot share machine \"url\""),
        ("zzz", Kind::NoSuchMachine, "machine \"zzz\" does not exist"),
    ] {
        let other = Other::new();
        let refused = core.share(name, &other.to, HOUR, |_| panic!("nothing is given")).await.unwrap_err();
        assert_eq!((refused.kind(), refused.to_string().as_str()), (kind, message));
        let unshare = core.unshare(name, None).await.unwrap_err();
        assert_eq!((unshare.kind(), unshare.to_string().as_str()), (kind, message));
        assert!(!hosted.world.store().machine_file(name, file::SHARES).exists(), "{name}");
    }
    for life in [Duration::seconds(29), Duration::days(365) + Duration::seconds(1), Duration::ZERO] {
        let refused = core.share("bare", &Other::new().to, life, |_| Ok(())).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Usage, "{life}");
    }
}

#[tokio::test]
async fn a_machine_that_is_stopped_is_not_shared_and_ends_its_shares_when_it_starts() {
    let hosted = Hosted::with_machine().await;
    let (core, other) = (hosted.core(), Other::new());
    let given = other.get(&core).await;
    core.stop("m", StopMode::Graceful).await.unwrap();
    let refused = core.share("m", &Other::new().to, HOUR, |_| panic!("nothing is given")).await.unwrap_err();
    assert_eq!(text(&refused), "Error: machine \"m\" is stopped\nHint: start it with `rmachine start m`");
    assert_eq!(hosted.states(), [(given.share.id.clone(), ShareState::Open)]);

    let later = core.unshare("m", None).await.unwrap_err();
    assert_eq!(later.kind(), Kind::Conflict);
    assert!(text(&later).contains("`rmachine start m` starts it and ends them"), "{}", text(&later));
    assert_eq!(hosted.states(), [(given.share.id.clone(), ShareState::Ending)]);
    let said = hosted.doctor().await;
    assert!(
        said[0].starts_with("Bad its unshare did not end") && said[0].contains("-> `rmachine start m`"),
        "{said:?}"
    );
    core.start("m").await.unwrap();
    assert!(!other.enters(&given).await);
    assert_eq!((hosted.states(), hosted.trusted()), (Vec::new(), 1));
    assert_eq!(hosted.doctor().await, Vec::<String>::new());
}

#[tokio::test]
async fn one_that_is_over_is_said_and_goes_with_the_next_change() {
    let hosted = Hosted::with_machine().await;
    let core = hosted.core();
    let ids: Vec<String> =
        [Other::new().get(&core).await, Other::new().get(&core).await].map(|given| given.share.id).into();
    let end = |index: usize| hosted.change(|shares| shares[index]["until"] = "2026-01-01T00:00:00Z".into());
    end(0);
    assert_eq!(hosted.states(), [(ids[0].clone(), ShareState::Over), (ids[1].clone(), ShareState::Open)]);
    assert_eq!(hosted.shares()[0].seconds_left(OffsetDateTime::now_utc()), 0);
    let said = hosted.doctor().await;
    assert!(said[0].starts_with("Good it is shared until ") && said[0].contains(&ids[1]), "{said:?}");
    assert!(said[1].starts_with("Warning shares that are over") && said[1].contains(&ids[0]), "{said:?}");
    assert!(said[1].ends_with(&format!("-> `rmachine unshare m {}`", ids[0])), "{said:?}");
    assert_eq!((said.len(), hosted.trusted()), (2, 3), "doctor changes nothing");
    // As doctor says it.
    core.unshare("m", Some(&ids[..1])).await.unwrap();
    assert_eq!((hosted.states(), hosted.trusted()), (vec![(ids[1].clone(), ShareState::Open)], 2));
    // Or whatever else comes first.
    end(0);
    core.regenerate_certificates("m", Regenerate::default()).await.unwrap();
    assert_eq!((hosted.states(), hosted.trusted()), (Vec::new(), 1));
}

#[tokio::test]
async fn files_that_cannot_be_written_are_said_with_what_ends_the_share() {
    let hosted = Hosted::with_machine().await;
    let (core, other) = (hosted.core(), Other::new());
    let mut lost = None;
    let error = core
        .share("m", &other.to, HOUR, |given| {
            lost = Some(given.clone());
            Err(cannot_write())
        })
        .await
        .unwrap_err();
    let lost = lost.unwrap();
    let id = lost.share.id.clone();
    assert_eq!(
        text(&error),
        format!(
            "Error: machine \"m\" is shared, but the files of share {id} cannot be written\n\
             Caused by: cannot write out/cert.pem\nHint: `rmachine unshare m {id}` ends that share"
        )
    );
    assert_eq!(hosted.states(), [(id.clone(), ShareState::Unfinished)]);
    assert!(core.is_unfinished_share("m", &lost.cert_pem).unwrap());
    let said = hosted.doctor().await;
    assert!(said[0].starts_with("Warning its share did not end") && said[0].contains(&id), "{said:?}");

    // The same key again takes its place; another key does not.
    let stranger = Other::new().get(&core).await;
    assert_eq!(hosted.states().len(), 2);
    let again = other.get(&core).await;
    assert!(other.enters(&again).await && !other.enters(&lost).await);
    assert!(!core.is_unfinished_share("m", &again.cert_pem).unwrap(), "it is somebody's now");
    let open = |given: &Given| (given.share.id.clone(), ShareState::Open);
    assert_eq!((hosted.states(), hosted.trusted()), (vec![open(&stranger), open(&again)], 3));

    let mut second = String::new();
    core.share("m", &Other::new().to, HOUR, |given| {
        second.clone_from(&given.share.id);
        Err(cannot_write())
    })
    .await
    .unwrap_err();
    core.unshare("m", Some(&[second])).await.unwrap();
    assert_eq!((hosted.states(), hosted.trusted()), (vec![open(&stranger), open(&again)], 3));
}

#[tokio::test]
async fn a_host_that_does_not_answer_gets_no_share_and_keeps_those_that_were_to_end() {
    let mut hosted = Hosted::with_machine().await;
    let (core, other) = (hosted.core(), Other::new());
    let given = other.get(&core).await;
    let before = read(&hosted.world.store().machine_file("m", file::SHARES));
    drop(hosted.host.take());
    let refused = core.share("m", &Other::new().to, HOUR, |_| panic!("nothing is given")).await.unwrap_err();
    assert_eq!((refused.kind(), refused.to_string().as_str()), (Kind::Ssh, "machine \"m\" is not shared"));
    assert_eq!(read(&hosted.world.store().machine_file("m", file::SHARES)), before);
    let unended = core.unshare("m", None).await.unwrap_err();
    assert_eq!(
        (unended.kind(), unended.to_string().as_str()),
        (Kind::Ssh, "the shares of machine \"m\" are not ended yet")
    );
    assert!(unended.hints().iter().any(|hint| hint.starts_with("repeat it")), "{}", text(&unended));
    assert_eq!(hosted.states(), [(given.share.id.clone(), ShareState::Ending)]);
    let said = hosted.doctor().await;
    let remedy = format!("-> `rmachine unshare m {}`", given.share.id);
    assert!(said[0].starts_with("Bad its unshare did not end") && said[0].ends_with(&remedy), "{said:?}");
}

#[tokio::test]
async fn a_list_that_does_not_read_is_said_and_shares_nothing() {
    let hosted = Hosted::with_machine().await;
    let core = hosted.core();
    let other = Other::new();
    let given = other.get(&core).await;
    let path = hosted.world.store().machine_file("m", file::SHARES);
    std::fs::write(&path, "[{").unwrap();
    let error = core.share("m", &Other::new().to, HOUR, |_| panic!("nothing is given")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert!(
        text(&error).contains("shares.json is damaged") && text(&error).contains("Hint: remove it"),
        "{}",
        text(&error)
    );
    assert!(hosted.core().doctor(&[], Patience::from_secs(5)).await.unwrap().iter().any(|checked| {
        checked.finding.health == Health::Bad && checked.finding.text.contains("shares.json is damaged")
    }));
    // As the hint says.
    std::fs::remove_file(&path).unwrap();
    core.regenerate_certificates("m", Regenerate::default()).await.unwrap();
    assert!(!other.enters(&given).await);
}

/// A list of an earlier version has neither of the new fields.
#[tokio::test]
async fn an_earlier_list_reads() {
    let hosted = Hosted::with_machine().await;
    let given = Other::new().get(&hosted.core()).await;
    hosted.change(|shares| {
        let share = shares[0].as_object_mut().unwrap();
        assert!(share.remove("unfinished").is_some() && share.remove("authority").is_some());
    });
    assert_eq!(hosted.states(), [(given.share.id, ShareState::Open)]);
}

/// Recipients verify the engine by the CA that they got: they have to get the next one.
#[tokio::test]
async fn recipients_need_the_new_ca_and_that_is_said() {
    let hosted = Hosted::with_machine().await;
    let core = hosted.core();
    let follow = async |how| {
        let before = hosted.world.said.lines().len();
        assert_eq!(core.rotate_ca(how, &[]).await.unwrap(), ["m"]);
        core.follow_ca("m").await.unwrap();
        let said = hosted.world.said.lines().split_off(before);
        said.into_iter().filter(|line| line.contains("--ca`")).collect::<Vec<_>>()
    };
    let (early, late) = (Other::new(), Other::new());
    let first = early.get(&core).await;
    let said = follow(Rotate::Begin).await;
    let words = format!(
        "m: warning: those whom it is shared with (share {}) need the new ca.pem before `rmachine rotate-ca --finish m`: \
         `rmachine share m --ca` prints it",
        first.share.id
    );
    assert_eq!(said, [words]);
    let both = core.ca_of_shares("m").unwrap();
    let second = late.get(&core).await;
    assert!(early.enters(&first).await && late.enters(&second).await);
    early.is_let_in(&first, &both).await.expect("the new one is good before the end of the old one");

    let said = follow(Rotate::Finish).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(&first.share.id) && !said[0].contains(&second.share.id), "{said:?}");
    let unknown = early.is_let_in(&first, &first.ca_pem).await.unwrap_err();
    assert!(matches!(unknown, engine::Error::ForeignCertificate(..)), "{unknown:?}");
    early.is_let_in(&first, &both).await.expect("what was printed in between is good after it");
    early.is_let_in(&first, &core.ca_of_shares("m").unwrap()).await.unwrap();
    assert!(late.enters(&second).await, "who came in between has both");

    core.unshare("m", None).await.unwrap();
    assert_eq!(follow(Rotate::Now).await, Vec::<String>::new(), "nobody has to be told");
}
