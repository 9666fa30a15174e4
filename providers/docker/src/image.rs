//! The image of the machines: the user's own, or one that is built here at first use.

use std::{collections::HashMap, time::Duration};

use bollard::{
    models::CreateImageInfo,
    query_parameters::{
        BuildImageOptionsBuilder, CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptions,
        TagImageOptionsBuilder,
    },
};
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use rmachine_provider_api::{Error, Kind, Notify, Result};
use rmachine_provider_local::build::{self, Script};

use crate::{config::Config, engine::Engine, errors, labels, lock};

const DOCKERFILE: &str = include_str!("../../../templates/docker/Dockerfile");
const SETUP: &str = include_str!("../../../templates/docker/setup.sh");
const ROOTFS: &str = include_str!("../../../templates/docker/rootfs.sh");

/// Debian 13: its engine speaks the API that current clients want (1.45).
const SUITE: &str = "trixie";
const BASE: &str = "debian:trixie-slim";
const PACKAGES: &str = "systemd,systemd-sysv,dbus,openssh-server,sudo,ca-certificates,curl,iproute2,iptables,procps,\
                        kmod,dnsmasq-base,docker.io,docker-cli";
/// Debian's own mirror network (deb.debian.org).
const MIRROR: &str = "http://deb.debian.org/debian";
const REPOSITORY: &str = "rmachine/machine";

/// How long a registry may take to begin to answer.
const REGISTRY: Duration = Duration::from_secs(15);

/// How long an import may take, which lasts as long as the build that feeds it: the engine answers at its end.
const IMPORT: Duration = Duration::from_secs(3600);

/// Name of the image that a machine of `config` has.
pub(crate) fn name(config: &Config) -> String {
    match &config.image {
        // The engine would pull every tag of a repository that is named alone; its CLI adds this one.
        Some(image) if !image.contains('@') && !image.rsplit('/').next().is_some_and(|last| last.contains(':')) => {
            format!("{image}:latest")
        }
        Some(image) => image.clone(),
        None => format!("{REPOSITORY}:{}", key()),
    }
}

/// Names what the image is built from.
fn key() -> String {
    build::key([DOCKERFILE, SETUP, ROOTFS, SUITE, BASE, PACKAGES], 6)
}

/// Whether the engine has the image.
pub(crate) async fn is_here(engine: &Engine, name: &str) -> Result<bool> {
    match engine.docker.inspect_image(name).await {
        Ok(_) => Ok(true),
        Err(error) if errors::is_missing(&error) => Ok(false),
        Err(error) => Err(engine.failed("look for an image")(error)),
    }
}

/// Brings the image here: pulls the user's own, builds ours.
pub(crate) async fn ensure(engine: &Engine, config: &Config, notify: &dyn Notify) -> Result<()> {
    let name = name(config);
    if is_here(engine, &name).await? {
        return Ok(());
    }
    if config.image.is_some() {
        return pull(engine, &name, notify).await.map_err(|error| {
            Error::new(Kind::NotFound, format!("the image \"{name}\" is not here and cannot be pulled"))
                .hint(format!(
                    "`docker -H {} pull {name}` pulls it with your login; without --docker-image one is built",
                    engine.host
                ))
                .source(cause(&error))
        });
    }
    let _lock = lock::image(|| notify.progress("waiting for another rmachine that builds the image")).await;
    if is_here(engine, &name).await? {
        return Ok(());
    }
    notify.progress("asking the registry for a base image");
    match from_registry(engine, &name, notify).await {
        Ok(()) => {}
        Err(error) => {
            notify.warn(&format!(
                "{}; so the image is built from Debian packages on this computer, once, in about a minute",
                cause(&error)
            ));
            from_packages(engine, &name, notify).await?;
        }
    }
    remove_superseded(engine, &name).await;
    Ok(())
}

/// An error with its innermost cause, on one line.
fn cause(error: &Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(next) = innermost.source() {
        innermost = next;
    }
    match std::error::Error::source(error) {
        Some(_) => format!("{error} ({innermost})"),
        None => error.to_string(),
    }
}

async fn pull(engine: &Engine, name: &str, notify: &dyn Notify) -> Result<()> {
    let options = CreateImageOptionsBuilder::new().from_image(name).build();
    let mut answers = engine.docker.create_image(Some(options), None, None);
    let unreachable = || Error::new(Kind::Unreachable, format!("the registry does not answer for {name}"));
    let mut first = true;
    loop {
        let patience = if first { REGISTRY } else { Duration::from_secs(120) };
        let next = tokio::time::timeout(patience, answers.try_next()).await.map_err(|_| unreachable())?;
        match next.map_err(engine.failed(&format!("pull {name}")))? {
            None => return Ok(()),
            Some(CreateImageInfo { status: Some(status), .. }) => {
                notify.progress(&format!("pulling {name}: {}", status.to_lowercase()));
            }
            Some(_) => {}
        }
        first = false;
    }
}

async fn from_registry(engine: &Engine, name: &str, notify: &dyn Notify) -> Result<()> {
    pull(engine, BASE, notify).await?;
    let failed = |e: std::io::Error| Error::new(Kind::Other, "the build's context cannot be packed").source(e);
    let mut context = tar::Builder::new(Vec::new());
    for (path, text) in [("Dockerfile", DOCKERFILE), ("setup.sh", SETUP)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        context.append_data(&mut header, path, text.as_bytes()).map_err(failed)?;
    }
    let context = context.into_inner().map_err(failed)?;
    let options = BuildImageOptionsBuilder::new()
        .dockerfile("Dockerfile")
        .t(name)
        .rm(true)
        .forcerm(true)
        .buildargs(&HashMap::from([("BASE", BASE), ("PACKAGES", PACKAGES)]))
        .labels(&HashMap::from([(labels::IMAGE, key().as_str())]))
        .build();
    let mut answers = engine.docker.build_image(options, None, Some(bollard::body_full(context.into())));
    let cannot = |e| errors::failed(&engine.host, &format!("build the image from {BASE}"), e);
    while let Some(info) = answers.try_next().await.map_err(cannot)? {
        if let Some(said) = info.error_detail.and_then(|detail| detail.message) {
            return Err(cannot(bollard::errors::Error::DockerStreamError { error: said }));
        }
        if let Some(line) = info.stream.as_deref().map(str::trim).filter(|line| !line.is_empty()) {
            notify.progress(&format!("building the machines' image: {}", line.lines().next().unwrap_or_default()));
        }
    }
    Ok(())
}

/// Builds by mmdebstrap, whose tar goes straight into the engine: nothing is left here however it ends.
async fn from_packages(engine: &Engine, name: &str, notify: &dyn Notify) -> Result<()> {
    if !build::have("mmdebstrap") {
        return Err(Error::new(Kind::Other, "the machines' image cannot be built: mmdebstrap is not installed")
            .hint("`sudo apt-get install mmdebstrap`, or give an image with systemd and sshd by --docker-image"));
    }
    let mirror = std::env::var("RMACHINE_DEBIAN_MIRROR").ok().filter(|mirror| !mirror.is_empty());
    let script = Script {
        makes: "the machines' image",
        text: ROOTFS,
        environment: vec![
            ("SUITE", SUITE.into()),
            ("MIRROR", mirror.as_deref().unwrap_or(MIRROR).into()),
            ("PACKAGES", PACKAGES.into()),
            ("SETUP", SETUP.into()),
        ],
        arguments: Vec::new(),
    };
    let mut running = script.spawn()?;
    let data = running.stdout().ok_or_else(|| Error::new(Kind::Other, "a script has one standard output"))?;
    let (ended, imported) = tokio::join!(running.end(notify), import(engine, tokio_util::io::ReaderStream::new(data)));
    // A failed build gives the engine half of an image, under no name.
    if let (Err(_), Ok(id)) = (&ended, &imported) {
        remove(engine, id).await;
    }
    let ended = ended.map_err(|error| match std::error::Error::source(&error).map(ToString::to_string) {
        Some(words) if words.contains("chroot mode") => error.hint(
            "without root, mmdebstrap needs user name spaces and `sudo apt-get install uidmap`; root needs neither",
        ),
        _ => error,
    });
    let id = match (ended, imported) {
        // Half of a tar is a consequence of the build's failure, everything else its cause.
        (Err(build), Err(import)) => return Err(if ended_early(&import) { build } else { import }),
        (ended, imported) => {
            ended?;
            imported?
        }
    };
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let options = TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
    engine.docker.tag_image(&id, Some(options)).await.map_err(engine.failed("name the image"))
}

/// Whether the engine complains of nothing but the end of its input.
fn ended_early(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.to_string().contains("EOF"))
}

async fn import(engine: &Engine, data: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static) -> Result<String> {
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .changes(vec![format!("LABEL \"{}\"=\"{}\"", labels::IMAGE, key())])
        .build();
    let body = bollard::body_try_stream(data);
    let patient = engine.docker.clone().with_timeout(IMPORT);
    let answers: Vec<CreateImageInfo> = patient
        .create_image(Some(options), Some(body), None)
        .try_collect()
        .await
        .map_err(engine.failed("import the image"))?;
    let id = answers.into_iter().rev().find_map(|info| info.status.filter(|status| status.starts_with("sha256:")));
    id.ok_or_else(|| Error::new(Kind::Other, "the local engine imported the image and did not name it"))
}

async fn remove(engine: &Engine, id: &str) {
    if let Err(error) = engine.docker.remove_image(id, None::<RemoveImageOptions>, None).await {
        tracing::debug!("the image {id} stays: {error}");
    }
}

/// Removes what earlier versions built, unless a machine has it.
async fn remove_superseded(engine: &Engine, present: &str) {
    let options = ListImagesOptionsBuilder::new().filters(&labels::filter(labels::IMAGE, None)).build();
    let images = match engine.docker.list_images(Some(options)).await {
        Ok(images) => images,
        Err(error) => {
            tracing::debug!("superseded images are not looked for: {error}");
            return;
        }
    };
    // Images that users made of ours have the label too; what is built on one keeps it from being removed.
    let ours = |tag: &String| tag.starts_with(&format!("{REPOSITORY}:")) && tag != present;
    for image in images.iter().filter(|image| image.repo_tags.iter().all(ours)) {
        remove(engine, &image.id).await;
    }
}
