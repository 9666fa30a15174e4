//! Calls that name what was made just now.

use std::time::Duration;

use rmachine_provider_api::{Cx, Result};

use crate::errors::Failure;

/// How long a group that was just made may be unknown to other calls.
const SETTLING: Duration = Duration::from_secs(20);

/// Repeats `work` while EC2 does not know the group yet that was just made: it is eventually consistent
/// (docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html).
pub(crate) async fn settled<T, Fut: Future<Output = Result<T, Failure>>>(
    cx: &Cx<'_>,
    work: impl Fn() -> Fut,
) -> Result<T, Failure> {
    let began = tokio::time::Instant::now();
    let mut pause = Duration::from_millis(200);
    let mut lost = false;
    loop {
        match work().await.map_err(|failure| failure.after(lost)) {
            Err(failure) if is_unsettled(&failure) && began.elapsed() < SETTLING => {
                lost = failure.may_have_worked();
                if cx.pause(pause.mul_f64(rand::random_range(0.75..1.25))).await.is_err() {
                    return Err(failure.cancelled());
                }
                pause = (pause * 2).min(Duration::from_secs(3));
            }
            other => return other,
        }
    }
}

/// Whether EC2 does not know a group yet.
fn is_unsettled(failure: &Failure) -> bool {
    failure.is(&["InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound"])
}
