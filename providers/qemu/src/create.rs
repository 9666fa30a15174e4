//! `create`: from a plan to a machine that runs, written down at every step.

use std::net::{IpAddr, SocketAddr};

use rmachine_provider_api::{CreateRequest, Cx, Error, Instance, Kind, LeftBehind, Notify, Result, Silent};
use serde::Deserialize;

use crate::{
    files,
    firmware::Firmware,
    image::{self, Base},
    machine::{Machine, Place},
    plan::Resolved,
    power, seed,
    tools::{Tools, run},
};

pub(crate) async fn create(request: &CreateRequest, cx: &Cx<'_>) -> Result<Instance> {
    let resolved = Resolved::deserialize(&request.plan.resolved)
        .map_err(|e| Error::invalid("the saved plan of the machine does not read").source(e))?;
    let place = Place::of_token(&resolved.directory, &request.token);
    let before = place.load()?;
    if before.as_ref().is_some_and(|machine| machine.attempt != request.attempt) {
        return Err(Error::new(Kind::Conflict, "an earlier attempt has made this machine")
            .hint(format!("remove it with `rmachine rm -y {}`, then create it again", request.name))
            .left(LeftBehind::Present(vec![place.id().to_string()])));
    }
    let machine = match before {
        Some(machine) => machine,
        None => {
            cx.intend(&format!("make the machine {} in {}", place.id(), place.directory.display()))?;
            let machine = Machine::new(request, resolved);
            files::make_directory(&place.directory)?;
            place.save(&machine)?;
            machine
        }
    };
    finish(machine, &place, request, cx).await.map_err(|e| e.left(LeftBehind::Present(vec![place.id().to_string()])))
}

async fn finish(mut machine: Machine, place: &Place, request: &CreateRequest, cx: &Cx<'_>) -> Result<Instance> {
    for resource in machine.resources(place) {
        cx.made(&resource)?;
    }
    if !machine.complete {
        let resolved = &machine.resolved;
        let root = &resolved.directory;
        let tools = cx.until_cancelled(Tools::find(resolved.arch, resolved.binary.as_deref())).await?;
        let base = cx.until_cancelled(image::ensure(root, &resolved.source, &tools, cx)).await?;
        if resolved.is_default {
            image::remember(root, resolved.arch, &resolved.source)?;
        }
        cx.check()?;
        cx.progress("making the disk");
        machine.disk_size = Some(disk(place, &base, resolved.disk_size, &tools, cx).await?);
        machine.base = Some(base);
        if let Some(data) = &request.user_data {
            let image = seed::image(request.token.as_str(), &request.name, data)
                .map_err(|e| Error::new(Kind::Other, "cannot make the seed of the first boot").source(e))?;
            files::write(&place.seed(), &image)?;
        }
        if let Firmware::Uefi { variables, .. } = &machine.resolved.firmware {
            files::copy(variables, &place.variables())?;
        }
        machine.complete = true;
        place.save(&machine)?;
    }
    // What runs it was said at preflight.
    power::start(&machine, place, cx, &Silent).await?;
    Ok(machine.instance(place))
}

/// Makes the disk: a layer over the image, whole or not at all. Answers its size.
async fn disk(place: &Place, base: &Base, asked: u64, tools: &Tools, notify: &dyn Notify) -> Result<u64> {
    let size = asked.max(base.size);
    if size > asked {
        notify.warn(&format!("the image has {} GiB, so the disk has too", size.div_ceil(1 << 30)));
    }
    let disk = place.disk();
    let new = disk.with_extension("new");
    files::remove(&new)?;
    let (below, above, bytes) = (base.file.display().to_string(), new.display().to_string(), size.to_string());
    let arguments = ["create", "-q", "-f", "qcow2", "-F", &base.format, "-b", &below, &above, &bytes];
    run(&tools.img, &arguments).await.map_err(|e| files::failed("make the disk", &disk, e))?;
    files::private(&new)?;
    files::rename(&new, &disk)?;
    Ok(size)
}

/// Refuses when a port of the machine is in use, whoever has it by now.
pub(crate) fn require_ports(machine: &Machine) -> Result<()> {
    let address: IpAddr = machine.resolved.address;
    for port in crate::command::forwards(machine) {
        let at = port.address.unwrap_or(address);
        if rmachine_provider_local::loopback::is_free(at, port.port, port.protocol) {
            continue;
        }
        let at = SocketAddr::new(at, port.port);
        return Err(Error::new(
            Kind::Conflict,
            format!("the port {at}/{} of machine \"{}\" is in use or cannot be bound", port.protocol, machine.name),
        )
        .hint(format!("end what listens there (`ss -ltnup` shows it), then `rmachine start {}`", machine.name)));
    }
    Ok(())
}
