//! Keys that are replaced, over a fake host: whose lines of authorized_keys go, what stays, and who is locked out after a
//! machine has changed hands.

use std::{path::Path, sync::Arc, time::Duration};

use rmachine_certs::Recipient;
use rmachine_core::{ArchiveOptions, Consent, Core, Opener, Others, Part, RotateKeys, Sealer, ShareState};
use rmachine_provider_api::Capabilities;
use rmachine_ssh::{HostKeys, KeyPair, Keyring, Route, Session, Target, public_half, same_key};
use rmachine_store::file;
use zeroize::Zeroizing;

use crate::{
    host::Host,
    support::{World, options},
};

pub struct Hosted {
    pub world: World,
    host: Host,
}

impl Hosted {
    pub async fn with_machine() -> Self {
        let world = World::new();
        let account = world.account.clone();
        // The host has a runtime of its own, which no runtime may start.
        let host = std::thread::spawn(|| Host::up(account)).join().unwrap();
        core(&world).create(options("m")).await.unwrap();
        Self { world, host }
    }

    pub fn core(&self) -> Core {
        core(&self.world)
    }

    fn logins(&self) -> Vec<String> {
        self.host.disk.lock().unwrap().logins.clone()
    }

    fn let_in(&self, line: &str) {
        self.host.disk.lock().unwrap().logins.push(line.to_owned());
    }
}

fn core(world: &World) -> Core {
    world.core_with(Capabilities { ssh: true, engine: true, power: true, ingress: true })
}

fn key(comment: &str) -> String {
    KeyPair::generate_ed25519(comment).unwrap().public_openssh()
}

fn login_key(world: &World) -> String {
    public_half(&world.store().machine_file("m", &world.record("m").ssh.key_file)).unwrap()
}

fn others(others: Others) -> RotateKeys {
    RotateKeys { others, ..RotateKeys::default() }
}

/// Whether the key in the file `path` opens the machine of `world`.
async fn opens(world: &World, path: &Path) -> bool {
    let record = world.record("m");
    let target = Target {
        host: record.address().unwrap().to_owned(),
        port: record.ssh.port,
        user: record.ssh.user.clone(),
        keys: vec![path.to_owned()],
        keyring: Arc::new(Keyring::new(None, None)),
        offer_agent: false,
        route: Route::Direct,
        host_keys: HostKeys::Pinned(record.ssh.host_keys.clone()),
        budgets: rmachine_ssh::Budgets::default(),
    };
    Session::connect(&target, Duration::from_secs(10)).await.is_ok()
}

#[tokio::test]
async fn the_keys_of_others_are_shown_and_go_only_when_that_is_said() {
    let hosted = Hosted::with_machine().await;
    let (friend, bound) = (key("friend\u{1b}[2J"), key("bound"));
    let bound = format!("command=\"echo hi, \\\"you\\\"\",no-pty {bound}");
    let (earlier, backup) = (key("rmachine m"), key("rmachine backup"));
    for line in [&friend, &bound, &earlier, &backup] {
        hosted.let_in(line);
    }
    let old = hosted.world.directory.path().join("old");
    std::fs::copy(hosted.world.store().machine_file("m", file::LOGIN_KEY), &old).unwrap();
    assert!(opens(&hosted.world, &old).await);

    // Nobody can be asked: what rmachine has put there goes, what others have stays, and both are said.
    let done = hosted.core().rotate_keys("m", &others(Others::Ask)).await.unwrap();
    assert_eq!((done.removed.len(), done.kept.len()), (2, 3), "{done:?}");
    assert!(done.kept.iter().all(|key| key.starts_with("SHA256:") && !key.contains('\u{1b}')), "{:?}", done.kept);
    assert!(done.notes.iter().any(|note| note.contains("--remove-others")), "{:?}", done.notes);
    let logins = hosted.logins();
    assert_eq!(logins.len(), 4, "{logins:?}");
    assert!(
        logins.contains(&backup) && logins.contains(&friend) && logins.contains(&bound) && !logins.contains(&earlier),
        "{logins:?}"
    );
    assert!(!opens(&hosted.world, &old).await, "the old key");

    let done = hosted.core().rotate_keys("m", &others(Others::Keep)).await.unwrap();
    assert_eq!((done.kept.len(), done.notes.len()), (3, 0), "{done:?}");
    let done = hosted.core().rotate_keys("m", &others(Others::Remove)).await.unwrap();
    assert_eq!((done.removed.len(), done.kept.len()), (4, 0), "{done:?}");
    let logins = hosted.logins();
    assert!(logins.len() == 1 && same_key(&logins[0], &login_key(&hosted.world)), "{logins:?}");
    hosted.core().access("m").unwrap();
}

#[tokio::test]
async fn a_part_alone_leaves_the_others() {
    let hosted = Hosted::with_machine().await;
    let world = &hosted.world;
    let server = || std::fs::read(world.store().machine_file("m", file::SERVER_KEY)).unwrap();
    let (login, host, before) = (login_key(world), world.record("m").ssh.host_keys, server());
    let never = RotateKeys { login: Part::Never, host: Part::Never, server: Part::Never, others: Others::Keep };
    let done = hosted.core().rotate_keys("m", &RotateKeys { host: Part::Always, ..never }).await.unwrap();
    assert!(done.host.is_some() && done.login.is_none() && done.server.is_none(), "{done:?}");
    assert_eq!((login_key(world), server()), (login.clone(), before.clone()));
    let now = world.record("m").ssh.host_keys;
    assert!(now.len() == 1 && now != host, "{now:?}");
    hosted.core().rotate_keys("m", &RotateKeys { server: Part::Always, ..never }).await.unwrap();
    assert_eq!((login_key(world), world.record("m").ssh.host_keys), (login.clone(), now.clone()));
    assert_ne!(server(), before);
    hosted.core().rotate_keys("m", &RotateKeys { login: Part::Always, ..never }).await.unwrap();
    assert_ne!(login_key(world), login);
    assert_eq!(world.record("m").ssh.host_keys, now);
}

/// A machine whose login key is the user's own keeps it, until the machine is to have one of its own.
#[tokio::test]
async fn a_key_of_the_users_stays_unless_it_is_named() {
    let hosted = Hosted::with_machine().await;
    let store = hosted.world.store();
    let public = login_key(&hosted.world);
    // As they have it in ~/.ssh, with a comment of theirs.
    let theirs = public.replace("rmachine m", "ada@laptop");
    hosted.host.disk.lock().unwrap().logins = vec![theirs.clone()];
    std::fs::write(store.machine_file("m", file::LOGIN_KEY_PUBLIC), format!("{theirs}\n")).unwrap();

    let done = hosted.core().rotate_keys("m", &RotateKeys::default()).await.unwrap();
    assert!(done.login.is_none() && done.host.is_some(), "{done:?}");
    assert!(done.notes.iter().any(|note| note.contains("rotate-keys --login m")), "{:?}", done.notes);
    let login = RotateKeys { login: Part::Always, host: Part::Never, server: Part::Never, others: Others::Ask };
    let done = hosted.core().rotate_keys("m", &login).await.unwrap();
    assert_eq!((done.removed.len(), done.kept.len()), (0, 1), "their key stays unless they say so: {done:?}");
    assert_eq!(hosted.world.record("m").ssh.key_file, file::LOGIN_KEY);
    assert!(hosted.logins().contains(&theirs) && !same_key(&login_key(&hosted.world), &public));
    let done = hosted.core().rotate_keys("m", &others(Others::Remove)).await.unwrap();
    assert!(!hosted.logins().contains(&theirs), "{done:?}");
}

/// Who exported a machine, and whom they shared it with, is locked out by the import.
#[tokio::test]
async fn an_import_locks_the_store_that_it_comes_from_out() {
    let passphrase = || Ok(Zeroizing::new("some random words".to_owned()));
    for keep in [false, true] {
        let hosted = Hosted::with_machine().await;
        let (before, core) = (&hosted.world, hosted.core());
        let to = Recipient::parse(&rcgen::KeyPair::generate().unwrap().public_key_pem()).unwrap();
        let given = core.share("m", &to, time::Duration::hours(1), |_| Ok(())).await.unwrap();
        let sealer = Sealer::passphrase(passphrase().unwrap()).unwrap();
        let sealed = core.export(&["m".to_owned()], &sealer).unwrap().bytes;
        let (old_key, old_record) = (before.store().machine_file("m", file::LOGIN_KEY), before.record("m"));

        let world =
            World { directory: tempfile::tempdir().unwrap(), account: before.account.clone(), said: Arc::default() };
        let options = ArchiveOptions { keep_owner: keep, consent: Consent::Given, ..ArchiveOptions::default() };
        let here = self::core(&world);
        let report =
            here.import_archive(Path::new("a.age"), &sealed, &Opener::Passphrase(&passphrase), &options).await.unwrap();
        let notes = report.machines[0].notes.join("\n");
        assert!(notes.contains(&given.share.id), "the share is shown: {notes}");
        let trusted = hosted.host.disk.lock().unwrap().tls.as_ref().unwrap()[0].matches("BEGIN CERTIFICATE").count();
        assert_eq!(opens(&world, &old_key).await, keep, "{notes}");
        assert_eq!(world.record("m").ssh.host_keys == old_record.ssh.host_keys, keep, "{notes}");
        if keep {
            assert_eq!(here.shares("m").unwrap()[0].state(time::OffsetDateTime::now_utc()), ShareState::Open);
            continue;
        }
        assert_eq!((trusted, here.shares("m").unwrap().len()), (1, 0), "no share got into the engine's trust");
        assert!(!world.record("m").ssh.inherited && notes.contains("does not log in any more"), "{notes}");
        let access = here.access("m").unwrap();
        here.check(&access, Duration::from_secs(10)).await.unwrap();
        let refused = core.check(&core.access("m").unwrap(), Duration::from_secs(10)).await;
        assert!(refused.is_err(), "the first store's client");
    }
}

/// A host that is away at the import is gone on with at the first session, or by the command that was named.
#[tokio::test]
async fn what_an_import_could_not_reach_is_replaced_later() {
    let passphrase = || Ok(Zeroizing::new("some random words".to_owned()));
    for by_command in [false, true] {
        let hosted = Hosted::with_machine().await;
        let (before, sealer) = (hosted.core(), Sealer::passphrase(passphrase().unwrap()).unwrap());
        let sealed = before.export(&["m".to_owned()], &sealer).unwrap().bytes;
        let old_key = hosted.world.store().machine_file("m", file::LOGIN_KEY);
        let host_keys = hosted.world.record("m").ssh.host_keys;
        let world = World {
            directory: tempfile::tempdir().unwrap(),
            account: hosted.world.account.clone(),
            said: Arc::default(),
        };
        let options = ArchiveOptions { offline: true, consent: Consent::Given, ..ArchiveOptions::default() };
        let here = core(&world);
        let report =
            here.import_archive(Path::new("a.age"), &sealed, &Opener::Passphrase(&passphrase), &options).await.unwrap();
        assert!(report.machines[0].notes.join("\n").contains("`rmachine rotate-keys m`"), "{report:?}");
        assert!(world.record("m").ssh.inherited && opens(&world, &old_key).await);
        if by_command {
            // All of them, whichever is named.
            let never = RotateKeys { login: Part::Never, host: Part::Never, server: Part::Never, others: Others::Keep };
            here.rotate_keys("m", &RotateKeys { login: Part::Always, ..never }).await.unwrap();
        } else {
            here.ssh("m").await.unwrap().close().await;
        }
        assert!(!world.record("m").ssh.inherited && !opens(&world, &old_key).await, "{:?}", world.said.lines());
        assert_ne!(world.record("m").ssh.host_keys, host_keys);
        let refused = before.check(&before.access("m").unwrap(), Duration::from_secs(10)).await;
        assert!(refused.is_err(), "the first store's client");
        here.check(&here.access("m").unwrap(), Duration::from_secs(10)).await.unwrap();
    }
}
