//! The behaviour suite of `rmachine-provider-api`, for `qemu`: real machines, of one sector each.
//!
//! Needs qemu, neither root nor network: `apt-get install qemu-system-x86 qemu-utils`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod tiny;

use async_trait::async_trait;
use rmachine_provider_api::{
    CreateRequest, Owner, PreflightRequest, Provider,
    conformance::{self, Harness, Support},
};
use tiny::Lab;

#[async_trait]
impl Harness for Lab {
    fn provider(&self) -> &dyn Provider {
        self.provider.as_ref()
    }

    fn support(&self) -> Support {
        Support { makes: true, power: true, ingress: false }
    }

    fn owner(&self) -> Owner {
        "owner".parse().unwrap()
    }

    fn spec(&self, name: &str) -> PreflightRequest {
        Lab::spec(self, name)
    }

    async fn request(&self, name: &str) -> CreateRequest {
        Lab::request(self, name).await
    }
}

#[tokio::test]
async fn qemu_keeps_every_promise() {
    let lab = Lab::new(&[]).await;
    conformance::all(&lab).await;
    assert_eq!(lab.names("machines"), [""; 0], "no directory of a machine is left");
}
