//! Which image to boot: looked up, never from a table of ids.

use aws_sdk_ec2::types::{ArchitectureValues, Image, ImageState};
use rmachine_provider_api::{Error, Kind, Result};

use crate::{
    client::Aws,
    config::{Config, ImageChoice},
    errors::Failure,
    tags::filter,
};

/// What is needed of an image.
#[derive(Debug, Clone)]
pub(crate) struct Picked {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Root device, such as `/dev/sda1`.
    pub(crate) device: String,
    /// Smallest size of the root volume, in GiB.
    pub(crate) size: i32,
    /// EC2's word: `x86_64`, `arm64`.
    pub(crate) architecture: String,
    /// Login name by convention of who makes the image; `None`: unknown.
    pub(crate) user: Option<&'static str>,
}

/// The images that `config` may mean, of any architecture.
pub(crate) async fn candidates(aws: &Aws, config: &Config) -> Result<Vec<Image>> {
    match &config.image {
        ImageChoice::Id(id) => by_id(aws, id).await,
        ImageChoice::Parameter(parameter) => by_id(aws, &parameter_value(aws, parameter).await?).await,
        ImageChoice::Newest { owner, name } => {
            let filters = vec![
                filter("name", [name.as_str()]),
                filter("state", ["available"]),
                filter("root-device-type", ["ebs"]),
            ];
            let answer = aws
                .call("DescribeImages", |ec2| {
                    ec2.describe_images().owners(owner).set_filters(Some(filters.clone())).send()
                })
                .await
                .map_err(|e| e.error("look up the images"))?;
            let images = answer.images.unwrap_or_default();
            if images.is_empty() {
                return Err(Error::new(
                    Kind::NotFound,
                    format!("no image of the owner {owner} is called {name:?} in {}", aws.region()),
                )
                .hint("check --amazonec2-ami-owner and --amazonec2-ami-name, or give one with --amazonec2-ami"));
            }
            Ok(images)
        }
    }
}

async fn by_id(aws: &Aws, id: &str) -> Result<Vec<Image>> {
    let answer = aws
        .call("DescribeImages", |ec2| ec2.describe_images().image_ids(id).send())
        .await
        .map_err(|e| e.error(&format!("use the image {id}")))?;
    let images = answer.images.unwrap_or_default();
    match images.first() {
        None => Err(Error::new(Kind::NotFound, format!("there is no image {id} in {}", aws.region()))
            .hint("an image belongs to one region; check --amazonec2-ami and --amazonec2-region")),
        Some(image) if image.state() != Some(&ImageState::Available) => {
            let state = image.state().map_or("in no known state", ImageState::as_str);
            Err(Error::new(Kind::NotFound, format!("the image {id} cannot be booted: it is {state}")))
        }
        Some(_) => Ok(images),
    }
}

async fn parameter_value(aws: &Aws, name: &str) -> Result<String> {
    let answer = aws.ssm().get_parameter().name(name).send().await.map_err(|e| {
        Failure::of("GetParameter", aws.region(), None, e).error(&format!("read the SSM parameter {name}"))
    })?;
    let value = answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
    if value.starts_with("ami-") {
        Ok(value)
    } else {
        Err(Error::new(Kind::NotFound, format!("the SSM parameter {name} does not hold the id of an image")))
    }
}

/// The newest of `images` that fits one of `architectures`.
pub(crate) fn pick(images: &[Image], architectures: &[String], instance_type: &str) -> Result<Picked> {
    let fits = |image: &&Image| {
        let architecture = image.architecture().map(ArchitectureValues::as_str).unwrap_or_default();
        architectures.iter().any(|a| a == architecture)
    };
    // ISO 8601 in one form (`2026-02-18T00:00:00.000Z`) sorts as text.
    let newest = images.iter().filter(fits).max_by_key(|image| (image.creation_date(), image.image_id()));
    let Some(image) = newest else {
        let has = images.first().and_then(Image::architecture).map_or("another", ArchitectureValues::as_str);
        return Err(Error::new(
            Kind::InvalidInput,
            format!("the instance type {instance_type} is {}, and the image is {has}", architectures.join(" or ")),
        )
        .hint("choose another --amazonec2-instance-type or --amazonec2-ami"));
    };
    let device = image.root_device_name().unwrap_or("/dev/sda1");
    let root = image.block_device_mappings().iter().find(|mapping| mapping.device_name() == Some(device));
    let name = image.name().unwrap_or_default();
    Ok(Picked {
        id: image.image_id().unwrap_or_default().to_owned(),
        name: name.to_owned(),
        device: device.to_owned(),
        size: root.and_then(|mapping| mapping.ebs()).and_then(|ebs| ebs.volume_size()).unwrap_or(0),
        architecture: image.architecture().map(ArchitectureValues::as_str).unwrap_or_default().to_owned(),
        user: login_user(name, image.description().unwrap_or_default()),
    })
}

/// The login name on the image `id` by convention of who makes it; an image that is not there any more has none.
pub(crate) async fn known_user(aws: &Aws, id: &str) -> Result<Option<&'static str>> {
    let answer = aws.call("DescribeImages", |ec2| ec2.describe_images().image_ids(id).send()).await;
    let images = match answer {
        Err(failure) if failure.is_not_found() => return Ok(None),
        answer => answer.map_err(|e| e.error(&format!("look up the image {id}")))?.images.unwrap_or_default(),
    };
    let user = |image: &Image| login_user(image.name().unwrap_or_default(), image.description().unwrap_or_default());
    Ok(images.first().and_then(user))
}

/// Login names of the distributions' own images
/// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/managing-users.html).
fn login_user(name: &str, description: &str) -> Option<&'static str> {
    let text = format!("{name} {description}").to_lowercase();
    const USERS: [(&str, &str); 12] = [
        ("ubuntu", "ubuntu"),
        ("debian", "admin"),
        ("al2023", "ec2-user"),
        ("amzn", "ec2-user"),
        ("amazon linux", "ec2-user"),
        ("fedora", "fedora"),
        ("centos", "ec2-user"),
        ("rocky", "rocky"),
        ("almalinux", "ec2-user"),
        ("rhel", "ec2-user"),
        ("suse", "ec2-user"),
        ("sles", "ec2-user"),
    ];
    USERS.iter().find(|(mark, _)| text.contains(mark)).map(|(_, user)| *user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, name: &str, date: &str, architecture: &str) -> Image {
        Image::builder().image_id(id).name(name).creation_date(date).architecture(architecture.into()).build()
    }

    #[test]
    fn the_newest_that_fits() {
        let images = [
            image("ami-1", "ubuntu-x", "2024-04-23T00:00:00.000Z", "x86_64"),
            image("ami-2", "ubuntu-x", "2026-02-18T00:00:00.000Z", "x86_64"),
            image("ami-3", "ubuntu-x", "2026-03-18T00:00:00.000Z", "arm64"),
        ];
        let x86 = pick(&images, &["i386".into(), "x86_64".into()], "t3.micro").unwrap();
        assert_eq!((x86.id.as_str(), x86.user), ("ami-2", Some("ubuntu")));
        assert_eq!(pick(&images, &["arm64".into()], "t4g.small").unwrap().id, "ami-3");
        assert!(
            pick(&images[..2], &["arm64".into()], "t4g.small").unwrap_err().to_string().contains("t4g.small is arm64")
        );
    }

    #[test]
    fn login_names() {
        assert_eq!(login_user("debian-13-amd64-20260218-2031", ""), Some("admin"));
        assert_eq!(login_user("al2023-ami-2023.9", ""), Some("ec2-user"));
        assert_eq!(login_user("my-own", "made by us"), None);
    }
}
