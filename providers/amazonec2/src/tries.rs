//! Whether some try of a call got no answer: the SDK repeats calls, and tells of the last try alone.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef},
            dyn_dispatch_hint,
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;

use crate::{codes, errors};

tokio::task_local! {
    static TRIES: Tries;
}

/// The tries of one call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tries {
    /// One is under way, or has timed out, of which the SDK tells nobody.
    open: Arc<AtomicBool>,
    lost: Arc<AtomicBool>,
}

impl Tries {
    /// Makes the call whose tries these are.
    pub(crate) async fn of<F: Future>(&self, call: F) -> F::Output {
        TRIES.scope(self.clone(), call).await
    }

    /// Whether a try before the last one may have had its effect.
    pub(crate) fn lost(&self) -> bool {
        self.lost.load(Relaxed)
    }
}

/// Tells the [`Tries`] of a call what becomes of each.
#[derive(Debug)]
pub(crate) struct Watcher;

#[dyn_dispatch_hint]
impl Intercept for Watcher {
    fn name(&self) -> &'static str {
        "Tries"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // No task of ours: nobody wants to know.
        let _ = TRIES.try_with(|tries| {
            if tries.open.swap(true, Relaxed) {
                tries.lost.store(true, Relaxed);
            }
        });
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let settled = match (context.response(), context.output_or_error()) {
            (Some(response), _) => {
                let status = response.status().as_u16();
                let refused = || {
                    let body = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
                    code_in(&body).is_some_and(|code| codes::is_refusal(code, status))
                };
                response.status().is_success() || refused()
            }
            (None, Some(Err(error))) => match error.as_connector_error() {
                Some(error) => errors::was_never_sent(error),
                None => !error.is_timeout_error() && !error.is_response_error(),
            },
            (None, _) => true,
        };
        let _ = TRIES.try_with(|tries| match settled {
            true => tries.open.store(false, Relaxed),
            // The next try, if there is one, makes it a lost one.
            false => tries.open.store(true, Relaxed),
        });
        Ok(())
    }
}

/// The code in EC2's answer: `<Response><Errors><Error><Code>…</Code>`.
fn code_in(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code.trim())
}
