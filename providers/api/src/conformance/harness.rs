//! What the suite asks of a provider's test.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::{
    CancellationToken, CreateRequest, Cx, Error, Instance, Journal, Kind, MachineRef, MachineToken, Owner,
    PreflightRequest, Provider, Resource, Result,
};

/// What the machines of a provider can do, as the suite has to expect it.
#[derive(Debug, Clone, Copy)]
pub struct Support {
    /// Makes and deletes things of its own; else it only remembers what runs elsewhere.
    pub makes: bool,
    /// `start`, `stop` and `reboot` work.
    pub power: bool,
    /// `allow` works.
    pub ingress: bool,
}

/// One provider under test.
#[async_trait]
pub trait Harness: Sync {
    /// The provider, of an account that holds nothing of [`Harness::owner`] yet.
    fn provider(&self) -> &dyn Provider;

    /// What is to be expected.
    fn support(&self) -> Support;

    /// The owner that all requests carry.
    fn owner(&self) -> Owner;

    /// What a small machine called `name` is asked for with.
    fn spec(&self, name: &str) -> PreflightRequest;

    /// A whole request for `name`, with a token and an attempt that were never used before.
    async fn request(&self, name: &str) -> CreateRequest;

    /// From now on, the call that makes an instance fails as `trouble` says; `false` where nothing is called.
    async fn begin(&self, trouble: Trouble) -> bool {
        let _ = trouble;
        false
    }

    /// All is well again. Returns how many calls that make an instance came to the cloud since [`Harness::begin`], with
    /// those that its client repeats by itself.
    async fn end(&self) -> usize {
        0
    }
}

/// How the call that makes an instance fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is refused for good: a permission is missing, or a value is wrong.
    Refused,
    /// It has its effect, and the answer never comes.
    AnswerLost,
}

/// One entry of a [`Recorder`].
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// [`Journal::intend`].
    Intend(String),
    /// [`Journal::refused`].
    Refused(String),
    /// [`Journal::made`].
    Made(Resource),
}

/// A journal in memory; can be told to refuse.
#[derive(Debug, Default)]
pub struct Recorder {
    entries: Mutex<Vec<Entry>>,
    refuses: Option<usize>,
    cancels: Option<(usize, CancellationToken)>,
}

impl Recorder {
    /// A journal that fails every time, as on a full disk.
    pub fn refusing() -> Self {
        Self::refusing_after(0)
    }

    /// A journal that takes `entries` of them, and no more.
    pub fn refusing_after(entries: usize) -> Self {
        Self { refuses: Some(entries), ..Self::default() }
    }

    /// A journal that cancels `token` when it has `entries` of them.
    pub fn cancelling(entries: usize, token: CancellationToken) -> Self {
        Self { cancels: Some((entries, token)), ..Self::default() }
    }

    /// What was written so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The resources that were made.
    pub fn made(&self) -> Vec<Resource> {
        let made = |entry| if let Entry::Made(resource) = entry { Some(resource) } else { None };
        self.entries().into_iter().filter_map(made).collect()
    }

    /// What was intended and not refused since, as a record keeps it.
    pub fn intents(&self) -> Vec<String> {
        let mut open: Vec<String> = Vec::new();
        for entry in self.entries() {
            match entry {
                Entry::Intend(what) => open.push(what),
                Entry::Refused(what) => {
                    let at = open.iter().rposition(|intent| *intent == what);
                    open.remove(at.expect("only what was intended is refused"));
                }
                Entry::Made(_) => {}
            }
        }
        open
    }

    fn push(&self, entry: Entry) -> Result<()> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if self.refuses.is_some_and(|most| entries.len() >= most) {
            return Err(Error::new(Kind::Other, "the disk is full"));
        }
        entries.push(entry);
        if let Some((_, token)) = self.cancels.as_ref().filter(|(after, _)| entries.len() >= *after) {
            token.cancel();
        }
        Ok(())
    }
}

impl Journal for Recorder {
    fn intend(&self, what: &str) -> Result<()> {
        self.push(Entry::Intend(what.to_owned()))
    }

    fn refused(&self, what: &str) {
        let _ = self.push(Entry::Refused(what.to_owned()));
    }

    fn made(&self, resource: &Resource) -> Result<()> {
        self.push(Entry::Made(resource.clone()))
    }
}

/// The machine of `request` as calls about it name it.
pub fn machine_ref<'a>(request: &'a CreateRequest, instance: Option<&'a Instance>) -> MachineRef<'a> {
    MachineRef {
        name: &request.name,
        owner: &request.owner,
        token: &request.token,
        instance,
        plan: Some(&request.plan),
        engine_port: request.engine_port,
        engine_through_ssh: request.engine_through_ssh,
        made: &[],
        intents: &[],
        by_id: false,
        unanswered: None,
    }
}

/// What the provider holds for `token`.
pub(super) async fn held(harness: &dyn Harness, token: &MachineToken) -> Vec<Resource> {
    let found = harness.provider().find(Some(&harness.owner())).await.expect("find answers");
    found.into_iter().filter(|resource| resource.token.as_ref() == Some(token)).collect()
}

pub(super) async fn made(harness: &dyn Harness, name: &str) -> (CreateRequest, Instance) {
    let request = harness.request(name).await;
    let instance = harness
        .provider()
        .create(&request, &Cx::silent().journal(&Recorder::default()))
        .await
        .expect("create makes an instance");
    (request, instance)
}

pub(super) async fn destroyed(harness: &dyn Harness, request: &CreateRequest, instance: Option<&Instance>) {
    harness
        .provider()
        .destroy(&machine_ref(request, instance), &Cx::silent())
        .await
        .expect("destroy ends with nothing");
}
