//! Flags of the driver, as data.

use rmachine_provider_api::Flag;

pub(crate) const IMAGE: &str = "docker-image";
pub(crate) const HOST: &str = "docker-host";
pub(crate) const MEMORY: &str = "docker-memory";
pub(crate) const CPUS: &str = "docker-cpus";
pub(crate) const PUBLISH: &str = "docker-publish";
pub(crate) const BIND: &str = "docker-bind-address";

/// All of them.
pub(crate) fn flags() -> Vec<Flag> {
    vec![
        Flag::text(
            IMAGE,
            "IMAGE",
            "image of the machine, with systemd and sshd; one is built at first use if not given",
        )
        .env(&["RMACHINE_DOCKER_IMAGE"]),
        Flag::text(MEMORY, "SIZE", "most memory that the machine may use, such as 2g").env(&["RMACHINE_DOCKER_MEMORY"]),
        Flag::text(CPUS, "NUMBER", "most processors that it may use, such as 1.5").env(&["RMACHINE_DOCKER_CPUS"]),
        Flag::list(
            PUBLISH,
            "PORT",
            "further port of the machine at this computer: [ADDRESS:]PORT[:MACHINE_PORT][/udp]",
        )
        .env(&["RMACHINE_DOCKER_PUBLISH"]),
        Flag::text(BIND, "ADDRESS", "loopback address of its ports; one of its own if not given (on Linux)")
            .env(&["RMACHINE_DOCKER_BIND_ADDRESS"]),
        Flag::text(HOST, "URL", "local engine; else DOCKER_HOST, the docker CLI's context, or its default socket")
            .env(&["RMACHINE_DOCKER_HOST"])
            .connects(),
    ]
}
