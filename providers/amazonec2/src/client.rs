//! The seam to the SDK: one place that knows credentials, endpoints, retries and proxies.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::Credentials;
use aws_sdk_ec2::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider as Tls, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        http::SharedHttpClient,
        interceptors::{Intercept, context::BeforeTransmitInterceptorContextMut, dyn_dispatch_hint},
        orchestrator::HttpResponse,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use rmachine_provider_api::{Cx, Error, Kind, Notify, Result, Secrets};

use crate::{
    config::Config,
    errors::Failure,
    flags::{ACCESS_KEY, SECRET_KEY, SESSION_TOKEN},
    tries::{self, Tries},
};

/// Time-out of a connection and of one try of a call; RunInstances may take some seconds.
const CONNECT: Duration = Duration::from_secs(5);
const ATTEMPT: Duration = Duration::from_secs(30);
/// First pause before a repetition; doubled with full jitter, and 20 s at most.
const FIRST_BACKOFF: Duration = Duration::from_millis(300);
/// Rounds of repetitions that a throttled call gets; one whose connection broke last has two, another failure one.
const THROTTLED_ROUNDS: u32 = 4;
/// Longest pause between the first two of these rounds; doubled, and any part of it is taken (full jitter).
const FIRST_REST: Duration = Duration::from_secs(4);

/// The clients of one account and region.
pub(crate) struct Aws {
    clients: RwLock<Clients>,
    /// What to fall back to when the stored keys have expired.
    chain: Option<SdkConfig>,
    /// Until when nothing is asked, because EC2 has enough of us.
    rest_until: Mutex<Option<Instant>>,
    config: Config,
    notify: Arc<dyn Notify>,
}

#[derive(Clone)]
struct Clients {
    ec2: Client,
    ssm: aws_sdk_ssm::Client,
    connect: aws_sdk_ec2instanceconnect::Client,
    quotas: aws_sdk_servicequotas::Client,
    /// Whether the keys are other ones than those that were stored.
    fell_back: bool,
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws").field("region", &self.config.region).finish_non_exhaustive()
    }
}

impl Aws {
    /// Loads the SDK's configuration; asks no service yet.
    pub(crate) async fn connect(config: Config, secrets: &Secrets, notify: Arc<dyn Notify>) -> Result<Self> {
        let stored = stored_keys(secrets)?;
        if stored.is_none() && config.key_digest.is_some() {
            // With the environment's keys it would be another account that is asked.
            return Err(Error::new(
                Kind::Credentials,
                "the access keys that were given for it are not stored any more",
            )
            .hint("give them again: --driver amazonec2 with --amazonec2-access-key and --amazonec2-secret-key"));
        }
        let chain = load(&config, None).await;
        let (active, chain) = match stored {
            Some(keys) => (load(&config, Some(keys)).await, Some(chain)),
            None => (chain, None),
        };
        let clients = RwLock::new(Clients::of(&active, &config, false));
        Ok(Self { clients, chain, rest_until: Mutex::default(), config, notify })
    }

    pub(crate) fn region(&self) -> &str {
        &self.config.region
    }

    pub(crate) fn connect_client(&self) -> aws_sdk_ec2instanceconnect::Client {
        self.clients().connect
    }

    pub(crate) fn ssm(&self) -> aws_sdk_ssm::Client {
        self.clients().ssm
    }

    /// Whether EC2 is asked elsewhere than at AWS's own place: then other services of AWS know nothing of it.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.config.endpoint.is_some()
    }

    pub(crate) fn quotas(&self) -> aws_sdk_servicequotas::Client {
        self.clients().quotas
    }

    /// Whether calls are signed by other keys than those that the machine was made with.
    pub(crate) fn fell_back(&self) -> bool {
        self.clients().fell_back
    }

    /// Says what is about the account or this computer, and no machine's alone.
    pub(crate) fn warn(&self, message: &str) {
        self.notify.warn(message);
    }

    fn clients(&self) -> Clients {
        self.clients.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes one EC2 call that only looks.
    pub(crate) async fn call<T, E, Fut>(
        &self,
        what: &'static str,
        send: impl Fn(Client) -> Fut,
    ) -> std::result::Result<T, Failure>
    where
        Fut: Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        self.effect(&Cx::silent(), what, send).await
    }

    /// Makes one EC2 call, unless it is cancelled before it is sent. The SDK repeats what may pass; a call that is throttled or
    /// cut off all the same has the whole process rest, and is then tried again, unless it is cancelled meanwhile. When the
    /// stored keys have expired, the chain's are tried.
    pub(crate) async fn effect<T, E, Fut>(
        &self,
        cx: &Cx<'_>,
        what: &'static str,
        send: impl Fn(Client) -> Fut,
    ) -> std::result::Result<T, Failure>
    where
        Fut: Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let rounds = if self.config.retries == 0 { 1 } else { THROTTLED_ROUNDS };
        let mut round = 1;
        let tries = Tries::default();
        let mut last: Option<Failure> = None;
        loop {
            if self.rest(cx).await.is_err() {
                return Err(last.map_or_else(|| Failure::unsent(what, self.region()), Failure::cancelled));
            }
            tracing::debug!("EC2 {what}");
            let Clients { ec2, fell_back, .. } = self.clients();
            let failure = match tries.of(Box::pin(send(ec2))).await {
                Ok(output) => return Ok(output),
                Err(error) => {
                    Failure::of(what, self.region(), self.config.endpoint.as_deref(), error).after(tries.lost())
                }
            };
            // Where throttling used up the tries and the last one broke, EC2 is there all the same.
            let again = match failure.was_cut_off() {
                true => round == 1 && rounds > 1,
                false => failure.is_throttled() && round < rounds,
            };
            if again {
                let rest = FIRST_REST.saturating_mul(1 << round.min(4)).mul_f64(rand::random_range(0.0..0.5));
                tracing::debug!("EC2 {what}: {}; resting {} ms", failure.summary(), rest.as_millis());
                *self.rest_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + rest);
                round += 1;
                last = Some(failure);
            } else if !(failure.keys_expired() && !fell_back && self.fall_back()) {
                tracing::debug!("EC2 {what}: {}", failure.summary());
                return Err(failure);
            }
        }
    }

    /// Waits while EC2 has enough of this process.
    async fn rest(&self, cx: &Cx<'_>) -> Result<()> {
        let until = *self.rest_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until {
            cx.pause(until.saturating_duration_since(Instant::now())).await?;
        }
        cx.check()
    }

    /// Replaces the stored keys by the chain's; answers whether there was something to replace.
    fn fall_back(&self) -> bool {
        let Some(chain) = &self.chain else { return false };
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        if !clients.fell_back {
            *clients = Clients::of(chain, &self.config, true);
            self.notify.warn("the stored access keys have expired; using those of the environment");
        }
        true
    }
}

impl Clients {
    fn of(sdk: &SdkConfig, config: &Config, fell_back: bool) -> Self {
        let mut ec2 = aws_sdk_ec2::config::Builder::from(sdk).interceptor(tries::Watcher);
        if let Some(endpoint) = &config.endpoint {
            ec2 = ec2.endpoint_url(endpoint);
        }
        if config.plain_http {
            ec2 = ec2.interceptor(PlainHttp);
        }
        Self {
            ec2: Client::from_conf(ec2.build()),
            ssm: aws_sdk_ssm::Client::new(sdk),
            connect: aws_sdk_ec2instanceconnect::Client::new(sdk),
            quotas: aws_sdk_servicequotas::Client::new(sdk),
            fell_back,
        }
    }
}

async fn load(config: &Config, keys: Option<Credentials>) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build();
    let retries =
        RetryConfig::standard().with_max_attempts(u32::from(config.retries) + 1).with_initial_backoff(FIRST_BACKOFF);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .http_client(http_client())
        .timeout_config(timeouts)
        .retry_config(retries);
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(keys) = keys {
        loader = loader.credentials_provider(keys);
    }
    loader.load().await
}

/// The keys that were typed at `create`; a half that was not typed comes from the environment.
fn stored_keys(secrets: &Secrets) -> Result<Option<Credentials>> {
    if secrets.0.is_empty() {
        return Ok(None);
    }
    let half = |flag: &str, variable: &str| {
        secrets.0.get(flag).cloned().or_else(|| std::env::var(variable).ok()).ok_or_else(|| {
            Error::new(Kind::Credentials, "half of the access keys of this machine is missing")
                .hint(format!("it was not stored at create; set {variable}"))
        })
    };
    let id = half(ACCESS_KEY, "AWS_ACCESS_KEY_ID")?;
    let secret = half(SECRET_KEY, "AWS_SECRET_ACCESS_KEY")?;
    Ok(Some(Credentials::new(id, secret, secrets.0.get(SESSION_TOKEN).cloned(), None, "rmachine")))
}

/// One connection pool on rustls with ring; proxies are taken from the environment.
fn http_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut builder = Connector::builder().proxy_config(ProxyConfig::from_env());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.tls_provider(Tls::Rustls(CryptoMode::Ring)).build()
    })
}

/// A connector for single requests to other than AWS.
pub(crate) fn connector() -> Connector {
    Connector::builder().proxy_config(ProxyConfig::from_env()).tls_provider(Tls::Rustls(CryptoMode::Ring)).build()
}

/// Sends requests without TLS, as `--amazonec2-insecure-transport` asks for.
#[derive(Debug)]
struct PlainHttp;

#[dyn_dispatch_hint]
impl Intercept for PlainHttp {
    fn name(&self) -> &'static str {
        "PlainHttp"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let request = context.request_mut();
        if let Some(rest) = request.uri().strip_prefix("https://") {
            let uri = format!("http://{rest}");
            request.set_uri(uri)?;
        }
        Ok(())
    }
}
