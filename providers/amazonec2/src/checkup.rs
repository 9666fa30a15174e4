//! `checkup`: the account that the credentials are of, the clock, and how many more machines may run.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use aws_sdk_ec2::{error::ProvideErrorMetadata, types::Instance};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeDeserializationInterceptorContextRef, dyn_dispatch_hint},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{DateTime, config_bag::ConfigBag, date_time::Format};
use rmachine_provider_api::{Error, Finding, Health, Kind, Result};
use time::OffsetDateTime;

use crate::{client::Aws, errors::Failure, tags::filter, watch};

/// Service Quotas' name of EC2, and of "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", in vCPUs
/// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html, "On-Demand Instance quotas").
const SERVICE: &str = "ec2";
const STANDARD: &str = "L-1216C47A";
/// Families that count against it, by the first letter of the type.
const FAMILIES: [char; 9] = ['a', 'c', 'd', 'h', 'i', 'm', 'r', 't', 'z'];
/// Seconds between the clocks from which on something is said; AWS refuses a signature that is five minutes off
/// (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html).
const OFF: i64 = 60;
const REFUSED: i64 = 300;

/// Looks at the account; a failure is a finding.
pub(crate) async fn checkup(aws: &Aws) -> Vec<Finding> {
    let clock = Clock::default();
    let mut findings = match account(aws, &clock).await {
        Ok(account) => {
            let used =
                if aws.fell_back() { ", not those that are stored with the machine: they have expired" } else { "" };
            let text = format!("of the account {account}, in {}{used}", aws.region());
            vec![Finding::good("credentials", text)]
        }
        Err(failure) => {
            let expired = failure.keys_expired();
            let mut finding = Finding::failed("credentials", &failure.error("ask EC2 in this account"));
            // EC2 has one code for both; its own clock tells them apart.
            if expired && clock.skew().is_some_and(|skew| skew.abs() < REFUSED) {
                finding.remedy = Some("get new ones (`aws sso login`, or whatever gave you these)".to_owned());
            }
            vec![finding]
        }
    };
    let usable = findings[0].health == Health::Good;
    findings.extend(clock.finding());
    if usable && !aws.is_elsewhere() {
        findings.push(quota(aws).await);
    }
    findings
}

/// The account that the credentials are of: every one has a group `default`.
async fn account(aws: &Aws, clock: &Clock) -> std::result::Result<String, Failure> {
    let answer = aws
        .call("DescribeSecurityGroups", |ec2| {
            let call = ec2.describe_security_groups().filters(filter("group-name", ["default"]));
            call.customize().interceptor(clock.clone()).send()
        })
        .await?;
    let owner = answer.security_groups().first().and_then(|group| group.owner_id());
    Ok(owner.unwrap_or("(unknown: it has no default security group)").to_owned())
}

/// How many vCPUs of standard on-demand instances run, of how many that may.
async fn quota(aws: &Aws) -> Finding {
    let (used, allowed) = futures::future::join(used(aws), allowed(aws)).await;
    let cannot = |error: &Error| {
        let finding = Finding::failed("quota", error);
        // What runs goes on; only a create may be refused later.
        Finding { health: Health::Warning, ..finding }
    };
    match (used, allowed) {
        (Err(error), _) | (_, Err(error)) => cannot(&error),
        (Ok(used), Ok(allowed)) => judge(used, allowed, aws.region()),
    }
}

fn judge(used: i32, allowed: f64, region: &str) -> Finding {
    let text = format!("{used} of {allowed} vCPUs of on-demand standard instances run in {region}");
    if f64::from(used) < allowed * 0.9 {
        return Finding::good("quota", text);
    }
    Finding::warning(
        "quota",
        text,
        format!(
            "remove machines, or ask for more: `aws service-quotas request-service-quota-increase --region {region} \
             --service-code {SERVICE} --quota-code {STANDARD} --desired-value N`"
        ),
    )
}

async fn used(aws: &Aws) -> Result<i32> {
    let running = watch::by_filter(aws, filter("instance-state-name", ["pending", "running"])).await?;
    let counted: Vec<&Instance> = running.iter().filter(|instance| counts(instance)).collect();
    let mut unknown: Vec<String> = counted
        .iter()
        .filter(|instance| vcpus(instance).is_none())
        .filter_map(|instance| Some(instance.instance_type()?.as_str().to_owned()))
        .collect();
    unknown.sort();
    unknown.dedup();
    let mut of_type = std::collections::HashMap::new();
    // DescribeInstanceTypes takes up to 100 types.
    for types in unknown.chunks(100) {
        let answer = aws
            .call("DescribeInstanceTypes", |ec2| {
                ec2.describe_instance_types()
                    .set_instance_types(Some(types.iter().map(|t| t.as_str().into()).collect()))
                    .send()
            })
            .await
            .map_err(|e| e.error("look up the instance types"))?;
        for info in answer.instance_types() {
            let cpus = info.v_cpu_info().and_then(|cpu| cpu.default_v_cpus());
            if let (Some(name), Some(cpus)) = (info.instance_type(), cpus) {
                of_type.insert(name.as_str().to_owned(), cpus);
            }
        }
    }
    let by_type = |instance: &Instance| of_type.get(instance.instance_type()?.as_str()).copied();
    Ok(counted.iter().filter_map(|instance| vcpus(instance).or_else(|| by_type(instance))).sum())
}

/// Whether an instance counts against the quota: on demand, and of a standard family.
fn counts(instance: &Instance) -> bool {
    let family = instance.instance_type().and_then(|t| t.as_str().split('.').next()).unwrap_or_default();
    // These have quotas of their own, though their letters are among those.
    let special = ["dl", "hpc", "inf", "mac", "trn"].iter().any(|special| family.starts_with(special));
    instance.instance_lifecycle().is_none() && !special && family.starts_with(FAMILIES)
}

fn vcpus(instance: &Instance) -> Option<i32> {
    let options = instance.cpu_options()?;
    Some(options.core_count()? * options.threads_per_core()?)
}

async fn allowed(aws: &Aws) -> Result<f64> {
    let answer = aws.quotas().get_service_quota().service_code(SERVICE).quota_code(STANDARD).send().await;
    let answer = answer.map_err(|e| {
        let denied = matches!(e.code(), Some("AccessDeniedException" | "AccessDenied"));
        let error = Failure::of("GetServiceQuota", aws.region(), None, e).error("read the quota of running vCPUs");
        if denied {
            error.hint("`doctor` needs servicequotas:GetServiceQuota to show it; nothing else does")
        } else {
            error
        }
    })?;
    let value = answer.quota.and_then(|quota| quota.value);
    value.ok_or_else(|| Error::new(Kind::Other, "the quota of running vCPUs has no value"))
}

/// How far AWS's clock is ahead of ours, from the `Date` of its answers, refusals too.
#[derive(Debug, Clone)]
struct Clock(Arc<AtomicI64>);

/// No answer yet.
const NEVER: i64 = i64::MIN;

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(NEVER)))
    }
}

impl Clock {
    fn skew(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|skew| *skew != NEVER)
    }

    fn finding(&self) -> Option<Finding> {
        let skew = self.skew()?;
        if skew.abs() <= OFF {
            return Some(Finding::good("clock", format!("within {OFF} seconds of AWS's")));
        }
        let way = if skew > 0 { "behind" } else { "ahead of" };
        let text = format!("this computer's is {} seconds {way} AWS's", skew.abs());
        let remedy = "set this computer's clock (`sudo timedatectl set-ntp true`)";
        Some(if skew.abs() < REFUSED {
            Finding::warning("clock", text, remedy)
        } else {
            Finding::bad("clock", format!("{text}, which refuses signatures that are {REFUSED} seconds off"), remedy)
        })
    }
}

#[dyn_dispatch_hint]
impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let date = context.response().headers().get("date");
        if let Some(date) = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok()) {
            self.0.store(date.secs() - OffsetDateTime::now_utc().unix_timestamp(), Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{CpuOptions, InstanceLifecycleType, InstanceType};

    use super::*;

    fn instance(kind: &str) -> aws_sdk_ec2::types::builders::InstanceBuilder {
        Instance::builder().instance_type(InstanceType::from(kind))
    }

    #[test]
    fn what_counts_against_the_quota() {
        for standard in ["t3.micro", "m7i-flex.large", "is4gen.medium", "z1d.large"] {
            assert!(counts(&instance(standard).build()), "{standard}");
        }
        for other in
            ["p5.48xlarge", "g6.xlarge", "inf2.xlarge", "trn1.2xlarge", "mac2.metal", "hpc7g.4xlarge", "dl1.24xlarge"]
        {
            assert!(!counts(&instance(other).build()), "{other}");
        }
        assert!(!counts(&instance("t3.micro").instance_lifecycle(InstanceLifecycleType::Spot).build()));
        let options = CpuOptions::builder().core_count(4).threads_per_core(2).build();
        assert_eq!(vcpus(&instance("m7i.2xlarge").cpu_options(options).build()), Some(8));
        assert_eq!(vcpus(&instance("m7i.2xlarge").build()), None);
    }

    #[test]
    fn a_full_quota_is_a_warning_that_says_how_to_get_more() {
        assert_eq!(judge(2, 5.0, "us-east-1").health, Health::Good);
        let full = judge(5, 5.0, "us-east-1");
        assert_eq!(
            (full.health, full.text.as_str()),
            (Health::Warning, "5 of 5 vCPUs of on-demand standard instances run in us-east-1")
        );
        assert!(full.remedy.unwrap().contains("--quota-code L-1216C47A"));
        assert_eq!(judge(0, 0.0, "us-east-1").health, Health::Warning);
    }

    #[test]
    fn a_clock_that_aws_refuses_is_bad() {
        let at = |skew| {
            let clock = Clock::default();
            clock.0.store(skew, Ordering::Relaxed);
            clock.finding().map(|finding| finding.health)
        };
        assert_eq!((at(0), at(-60), at(61)), (Some(Health::Good), Some(Health::Good), Some(Health::Warning)));
        assert_eq!((at(300), at(-4000)), (Some(Health::Bad), Some(Health::Bad)));
        assert_eq!(Clock::default().finding(), None, "nobody answered");
    }
}
