//! The drivers that this build has: the one list, one line each.

use std::sync::Arc;

use rmachine_model::drivers::Drivers;

/// All that are compiled in.
pub fn compiled_in() -> Drivers {
    Drivers::of(vec![
        #[cfg(feature = "amazonec2")]
        Arc::new(rmachine_provider_amazonec2::AmazonEc2),
        #[cfg(feature = "docker")]
        Arc::new(rmachine_provider_docker::DockerDriver),
        Arc::new(rmachine_provider_generic::Generic),
        Arc::new(rmachine_provider_none::NoneDriver::default()),
        #[cfg(feature = "qemu")]
        Arc::new(rmachine_provider_qemu::QemuDriver),
    ])
}

/// The same drivers as docker-machine has them.
pub fn of_docker_machine(drivers: Drivers) -> Drivers {
    drivers.replacing(Arc::new(rmachine_provider_none::NoneDriver::of_any_url()))
}
