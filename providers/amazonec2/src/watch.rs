//! One poll for all who wait: whatever waits for instances in this process shares one
//! DescribeInstances, with pauses that grow and jitter.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws_sdk_ec2::types::Instance;
use rmachine_provider_api::{Error, Kind, Result};
use tokio::sync::Mutex;

use crate::{client::Aws, tags::filter};

/// Values of one filter (docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html).
const FILTER_VALUES: usize = 200;
const SHORTEST: Duration = Duration::from_millis(400);
const LONGEST: Duration = Duration::from_secs(4);

/// What a waiter makes of an instance; `None` as argument: it is not listed.
pub(crate) enum Verdict<T> {
    Done(T),
    Wait,
    Failed(Error),
}

#[derive(Debug, Default)]
pub(crate) struct Watch {
    waiting: StdMutex<HashMap<String, usize>>,
    number: AtomicU64,
    last: Mutex<Snapshot>,
}

#[derive(Debug, Default)]
struct Snapshot {
    number: u64,
    taken: Option<Instant>,
    seen: Arc<HashMap<String, Option<Instance>>>,
}

/// Keeps an id in the poll until dropped.
struct Registered<'a> {
    watch: &'a Watch,
    id: &'a str,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut waiting = self.watch.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(self.id) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(self.id);
            }
        }
    }
}

impl Watch {
    /// Polls until `judge` has a verdict on instance `id`, `patience` at most.
    pub(crate) async fn until<T>(
        &self,
        aws: &Aws,
        id: &str,
        patience: Duration,
        goal: &str,
        mut judge: impl FnMut(Option<&Instance>) -> Verdict<T>,
    ) -> Result<T> {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner).entry(id.to_owned()).or_default() += 1;
        let _registered = Registered { watch: self, id };
        let began = Instant::now();
        // What was seen before this wait began may be from before the call that it waits for.
        let mut number = self.number.load(Ordering::SeqCst);
        loop {
            let seen;
            (number, seen) = self.next(aws, number, pause(began.elapsed())).await?;
            if let Some(instance) = seen.get(id) {
                match judge(instance.as_ref()) {
                    Verdict::Done(value) => return Ok(value),
                    Verdict::Failed(error) => return Err(error),
                    Verdict::Wait => {}
                }
            }
            if began.elapsed() >= patience {
                return Err(Error::new(
                    Kind::Timeout,
                    format!("the instance {id} did not become {goal} in {} s", patience.as_secs()),
                ));
            }
        }
    }

    /// The first snapshot after `number`; whoever comes first makes it, the others take it.
    async fn next(
        &self,
        aws: &Aws,
        number: u64,
        pause: Duration,
    ) -> Result<(u64, Arc<HashMap<String, Option<Instance>>>)> {
        let mut last = self.last.lock().await;
        if last.number > number {
            return Ok((last.number, last.seen.clone()));
        }
        if let Some(taken) = last.taken {
            tokio::time::sleep(pause.saturating_sub(taken.elapsed())).await;
        }
        let ids: Vec<String> = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        let mut seen: HashMap<String, Option<Instance>> = ids.iter().map(|id| (id.clone(), None)).collect();
        for instance in by_ids(aws, &ids).await? {
            if let Some(id) = instance.instance_id().map(str::to_owned) {
                seen.insert(id, Some(instance));
            }
        }
        *last = Snapshot { number: last.number + 1, taken: Some(Instant::now()), seen: Arc::new(seen) };
        self.number.store(last.number, Ordering::SeqCst);
        Ok((last.number, last.seen.clone()))
    }
}

/// Grows with the time already waited, and is never the same for two processes.
fn pause(waited: Duration) -> Duration {
    let base = (waited / 8).clamp(SHORTEST, LONGEST);
    base.mul_f64(rand::random_range(0.75..1.25))
}

/// The instances with these ids, by filter: an unknown id is left out instead of failing the call.
pub(crate) async fn by_ids(aws: &Aws, ids: &[String]) -> Result<Vec<Instance>> {
    let mut found = Vec::new();
    for ids in ids.chunks(FILTER_VALUES) {
        found.extend(by_filter(aws, filter("instance-id", ids)).await?);
    }
    Ok(found)
}

/// All instances that `filter` admits, terminated ones as long as EC2 lists them.
pub(crate) async fn by_filter(aws: &Aws, filter: aws_sdk_ec2::types::Filter) -> Result<Vec<Instance>> {
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let answer = aws
            .call("DescribeInstances", |ec2| {
                ec2.describe_instances().filters(filter.clone()).max_results(1000).set_next_token(token.clone()).send()
            })
            .await
            .map_err(|e| e.error("look up the instances"))?;
        let reservations = answer.reservations.unwrap_or_default();
        found.extend(reservations.into_iter().flat_map(|r| r.instances.unwrap_or_default()));
        token = answer.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_bounds() {
        assert!(pause(Duration::ZERO) <= SHORTEST.mul_f64(1.25));
        assert!(pause(Duration::from_secs(600)) >= LONGEST.mul_f64(0.75));
        assert!(pause(Duration::from_secs(600)) <= LONGEST.mul_f64(1.25));
    }
}
