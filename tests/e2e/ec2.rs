//! `amazonec2`: images, keys, addresses, markets, groups and tags, as EC2 shows them afterwards.

use serde_json::Value;

use crate::{
    hosts::Key,
    short,
    support::{PREBAKED, Store, lab_variable, resources, run},
};

/// What a line of boto3 answers, as JSON; `ec2` is the client.
#[track_caller]
pub fn boto(expression: &str) -> Value {
    let script = format!(
        "import boto3,json,datetime\nec2=boto3.client('ec2')\nprint(json.dumps({expression}, default=lambda o: o.isoformat() if isinstance(o, datetime.datetime) else str(o)))"
    );
    let done = run(std::process::Command::new(lab_variable("RMACHINE_LAB_PYTHON")).args(["-c", &script]));
    serde_json::from_str(&done.ok()).unwrap()
}

#[track_caller]
pub fn instance(store: &Store, name: &str) -> Value {
    let id = store.inspect(name)["Driver"]["InstanceId"].as_str().unwrap().to_owned();
    boto(&format!("ec2.describe_instances(InstanceIds=['{id}'])['Reservations'][0]['Instances'][0]"))
}

/// What the account still holds with the tag of a machine of this name; names are one test's own.
#[track_caller]
pub fn held_for(name: &str) -> Vec<String> {
    let alive = "dict(Name='instance-state-name', Values=['pending','running','stopping','stopped','shutting-down'])";
    let held = boto(&format!(
        "(lambda tag: [i['InstanceId'] for r in ec2.describe_instances(Filters=[tag, {alive}])['Reservations'] for i in r['Instances']] \
         + [v['VolumeId'] for v in ec2.describe_volumes(Filters=[tag])['Volumes']] \
         + [g['GroupId'] for g in ec2.describe_security_groups(Filters=[tag])['SecurityGroups']] \
         + [n['NetworkInterfaceId'] for n in ec2.describe_network_interfaces(Filters=[tag])['NetworkInterfaces']] \
         + [s['SpotInstanceRequestId'] for s in ec2.describe_spot_instance_requests(Filters=[tag])['SpotInstanceRequests'] if s['State'] in ('open', 'active', 'disabled')] \
         )(dict(Name='tag:rmachine:machine', Values=['{name}']))"
    ));
    held.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

fn walk_on(image: &str, name: &str) {
    let store = Store::new();
    let mut create = store.command("rmachine");
    create.args(["create", "-d", "amazonec2", "--amazonec2-ami-name", image, name]);
    create.env(crate::hosts::NO_REPOSITORY.0, crate::hosts::NO_REPOSITORY.1);
    run(&mut create).ok();
    short::walk(&store, name);
    store.rmachine(&["rm", "-y", name]).ok();
}

#[test]
fn debian_12_installed_at_boot() {
    walk_on("rmachine-lab-debian-12", "plain-12");
}

#[test]
fn debian_13_installed_at_boot() {
    walk_on("rmachine-lab-debian-13", "plain-13");
}

#[test]
fn debian_12_with_an_engine() {
    walk_on("rmachine-lab-debian-12-docker", "baked-12");
}

/// No flag but tags and a size: the image is looked up, and all that was made is as safe as promised.
#[test]
fn the_defaults() {
    let store = Store::new();
    let arguments = ["create", "-d", "amazonec2", "--engine-source", "none", "--amazonec2-tags", "team,ci", "plain"];
    store.rmachine(&arguments).ok();
    let ssh = &store.inspect("plain")["Rmachine"]["Ssh"];
    assert_eq!(ssh["HostKeys"].as_array().unwrap().len(), 1, "the seed is dropped: {ssh}");
    assert!(ssh["SeedKey"].is_null() && ssh["HostKeys"][0] != ssh["SeedKey"], "{ssh}");
    assert_eq!(store.rmachine(&["ssh", "plain", "id -un"]).ok(), "ubuntu");
    let instance = instance(&store, "plain");
    let image = instance["ImageId"].as_str().unwrap();
    let name = boto(&format!("ec2.describe_images(ImageIds=['{image}'])['Images'][0]['Name']"));
    assert_eq!(name, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260218", "the newest of Canonical's");
    let metadata = &instance["MetadataOptions"];
    assert_eq!((&metadata["HttpTokens"], &metadata["HttpPutResponseHopLimit"]), (&"required".into(), &1.into()));
    assert!(instance.get("KeyName").is_none_or(|key| key.is_null()), "no key pair is made: {}", instance["KeyName"]);
    let id = instance["InstanceId"].as_str().unwrap();
    let volume = boto(&format!(
        "ec2.describe_volumes(Filters=[dict(Name='attachment.instance-id', Values=['{id}'])])['Volumes'][0]"
    ));
    assert_eq!((&volume["Encrypted"], &volume["VolumeType"]), (&Value::Bool(true), &Value::from("gp3")));
    let group = instance["SecurityGroups"][0]["GroupId"].as_str().unwrap();
    let group = boto(&format!("ec2.describe_security_groups(GroupIds=['{group}'])['SecurityGroups'][0]"));
    for rule in group["IpPermissions"].as_array().unwrap() {
        assert_eq!(rule["IpRanges"][0]["CidrIp"], "127.0.0.1/32", "only the caller is admitted: {rule}");
        assert!(rule["FromPort"] == 22 || rule["FromPort"] == 2376, "{rule}");
    }
    let interface = &instance["NetworkInterfaces"][0]["NetworkInterfaceId"];
    let interface =
        boto(&format!("ec2.describe_network_interfaces(NetworkInterfaceIds=[{interface}])['NetworkInterfaces'][0]"));
    for tags in [&instance["Tags"], &volume["Tags"], &group["Tags"], &interface["TagSet"]] {
        let keys: Vec<&str> = tags.as_array().unwrap().iter().map(|tag| tag["Key"].as_str().unwrap()).collect();
        for key in ["Name", "team", "rmachine:owner", "rmachine:token", "rmachine:machine"] {
            assert!(keys.contains(&key), "{key} is missing in {tags}");
        }
    }
    let held = held_for("plain");
    assert_eq!(held.len(), 4, "instance, volume, group, interface: {held:?}");
    let listed: Value = serde_json::from_str(&store.rmachine(&["ls", "--json"]).ok()).unwrap();
    assert_eq!((&listed[0]["state"], &listed[0]["driver"]), (&"Running".into(), &"amazonec2".into()));
    let mine = store.rmachine(&["ls", "-q", "--filter", "name=^pl", "--filter", "state=running"]).ok();
    assert_eq!(mine, "plain");
    let document = std::fs::read_to_string(store.root().join("machines/plain/config.json")).unwrap();
    assert!(!document.contains(&lab_variable("AWS_SECRET_ACCESS_KEY")));
    assert!(!store.root().join("machines/plain/credentials.json").exists(), "the environment's keys are not kept");
    store.rmachine(&["rm", "-y", "plain"]).ok();
    assert_eq!(held_for("plain"), Vec::<String>::new());
}

/// Flags of the disk and of IMDS, as EC2 shows them.
#[test]
fn disk_and_metadata_options() {
    let store = Store::new();
    let arguments = [
        "--amazonec2-root-size=24",
        "--amazonec2-volume-iops=4000",
        "--amazonec2-volume-throughput=250",
        "--amazonec2-encrypt-ebs-volume=false",
        "--amazonec2-http-tokens=optional",
        "--amazonec2-metadata-token-response-hop-limit=2",
        "--amazonec2-monitoring",
        "--engine-source=none",
    ];
    store.create_ec2(PREBAKED, &arguments, "options").ok();
    let instance = instance(&store, "options");
    let metadata = &instance["MetadataOptions"];
    assert_eq!(metadata["HttpTokens"], "optional");
    assert_eq!(metadata["HttpPutResponseHopLimit"], 2);
    assert_eq!(instance["Monitoring"]["State"], "enabled");
    let id = instance["InstanceId"].as_str().unwrap();
    let volume = boto(&format!(
        "ec2.describe_volumes(Filters=[dict(Name='attachment.instance-id', Values=['{id}'])])['Volumes'][0]"
    ));
    assert_eq!((&volume["Size"], &volume["Encrypted"]), (&24.into(), &Value::Bool(false)));
    assert_eq!((&volume["Iops"], &volume["Throughput"]), (&4000.into(), &250.into()));
}

/// Typed keys are kept for later commands, in one private file and nowhere else.
#[test]
fn typed_access_keys() {
    use std::os::unix::fs::PermissionsExt;
    let store = Store::new();
    let (id, secret) = (lab_variable("AWS_ACCESS_KEY_ID"), lab_variable("AWS_SECRET_ACCESS_KEY"));
    let bare = |arguments: &[&str]| {
        let mut command = store.command("rmachine");
        command.args(arguments).env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        run(&mut command)
    };
    bare(&[
        "create",
        "-d",
        "amazonec2",
        "--amazonec2-access-key",
        &id,
        "--amazonec2-secret-key",
        &secret,
        "--amazonec2-ami-name",
        PREBAKED,
        "--engine-source=none",
        "typed",
    ])
    .ok();
    let file = store.root().join("machines/typed/credentials.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let mut grep = std::process::Command::new("sh");
    grep.args(["-c", r#"printf %s "$AWS_SECRET_ACCESS_KEY" | grep -rlF -f - "$1""#, "sh"]).arg(store.root());
    let found = run(&mut grep);
    assert_eq!(found.ok(), file.to_str().unwrap());
    assert_eq!(bare(&["status", "typed"]).ok(), "Running");
    bare(&["rm", "-y", "typed"]).ok();
}

#[test]
fn keys_of_ones_own_and_an_image_by_parameter() {
    let store = Store::new();
    let key = Key::make(&store, "pair", "-t ed25519");
    boto(&format!("ec2.import_key_pair(KeyName='e2e-pair', PublicKeyMaterial=b'{}')['KeyName']", key.public));
    let path = key.path.to_str().unwrap();
    let image = "--amazonec2-ami=resolve:ssm:/rmachine-lab/debian-13-docker";
    let created = store.rmachine(&[
        "create",
        "-d",
        "amazonec2",
        image,
        "--amazonec2-keypair-name",
        "e2e-pair",
        "--amazonec2-ssh-keypath",
        path,
        "--engine-source=none",
        "pair",
    ]);
    created.ok();
    assert_eq!(instance(&store, "pair")["KeyName"], "e2e-pair");
    assert_eq!(store.rmachine(&["ssh", "pair", "echo in"]).ok(), "in");
    store.rmachine(&["rm", "-y", "pair"]).ok();
    assert!(resources().iter().any(|held| held == "keys/e2e-pair"), "the user's key pair stays");
    boto("ec2.delete_key_pair(KeyName='e2e-pair')['ResponseMetadata']['HTTPStatusCode']");

    let rsa = Key::make(&store, "rsa", "-t rsa -m PEM");
    store
        .create_ec2(PREBAKED, &["--amazonec2-ssh-keypath", rsa.path.to_str().unwrap(), "--engine-source=none"], "rsa")
        .ok();
    assert_eq!(store.rmachine(&["ssh", "rsa", "echo in"]).ok(), "in");
}

#[test]
fn private_addresses() {
    let store = Store::new();
    let network = "--amazonec2-ingress-cidr=10.0.0.0/8";
    for (flag, has_public) in [("--amazonec2-use-private-address", true), ("--amazonec2-private-address-only", false)] {
        store.create_ec2(PREBAKED, &[flag, network], "private").ok();
        let address = store.rmachine(&["ip", "private"]).ok();
        assert!(address.starts_with("10."), "{address}");
        assert_eq!(instance(&store, "private").get("PublicIpAddress").is_some(), has_public);
        store.sh("private", "docker version").ok();
        store.rmachine(&["rm", "-y", "private"]).ok();
    }
}

#[test]
fn spot_instances() {
    let store = Store::new();
    let spot = ["--amazonec2-request-spot-instance", "--engine-source=none"];
    store.create_ec2(PREBAKED, &spot, "once").ok();
    let refused = store.rmachine(&["stop", "once"]).fails(6);
    assert!(refused.contains("one-time"), "{refused}");
    store.rmachine(&["rm", "-y", "once"]).ok();

    store
        .create_ec2(
            PREBAKED,
            &[&spot[..], &["--amazonec2-spot-type=persistent", "--amazonec2-spot-price=0.02"]].concat(),
            "again",
        )
        .ok();
    store.rmachine(&["stop", "again"]).ok();
    store.rmachine(&["start", "again"]).ok();
    let open = || held_for("again").into_iter().filter(|id| id.starts_with("sir-")).count();
    assert_eq!(open(), 1, "it carries the tags as well");
    store.rmachine(&["rm", "-y", "again"]).ok();
    assert_eq!(open(), 0, "the request is cancelled, or EC2 would start another");
}

#[test]
fn named_security_groups() {
    let store = Store::new();
    let id = boto("ec2.create_security_group(GroupName='e2e-own', Description='own')['GroupId']");
    let id = id.as_str().unwrap();
    boto(&format!(
        "ec2.authorize_security_group_ingress(GroupId='{id}', IpProtocol='tcp', FromPort=1, ToPort=65535, CidrIp='127.0.0.0/8')['Return']"
    ));
    let rules = || boto(&format!("ec2.describe_security_groups(GroupIds=['{id}'])['SecurityGroups'][0]"));
    let before = rules();
    store.create_ec2(PREBAKED, &["--amazonec2-security-group", "e2e-own", "--engine-source=none"], "own").ok();
    let refused = store.rmachine(&["allow", "own"]).fails(6);
    assert!(refused.contains("--amazonec2-security-group"), "{refused}");
    store.rmachine(&["rm", "-y", "own"]).ok();
    assert_eq!(rules(), before, "a group of the user's is neither edited nor removed");
    boto(&format!("ec2.delete_security_group(GroupId='{id}')['ResponseMetadata']['HTTPStatusCode']"));

    let absent = ["--amazonec2-security-group", "e2e-absent", "--engine-source=none"];
    store.create_ec2(PREBAKED, &[&absent[..], &["--amazonec2-security-group-readonly"]].concat(), "absent").fails(3);
    store.create_ec2(PREBAKED, &absent, "absent").ok();
    let made = instance(&store, "absent")["SecurityGroups"][0]["GroupId"].as_str().unwrap().to_owned();
    store.rmachine(&["rm", "-y", "absent"]).ok();
    assert!(!resources().contains(&format!("groups/{made}")));
}

/// The lab enforces groups: a rule for another network keeps us out until `allow`.
#[test]
fn a_laptop_that_has_moved() {
    let store = Store::new();
    store.create_ec2(PREBAKED, &[], "moved").ok();
    assert_eq!(store.rmachine(&["allow", "moved", "192.0.2.0/24"]).ok(), "192.0.2.0/24");
    let mut login = store.command("rmachine");
    let kept_out = run(login.args(["ssh", "moved", "true"]));
    assert_eq!(kept_out.code, 255);
    assert!(kept_out.stderr.contains("admits 192.0.2.0/24 to port 22, and you come from 127.0.0.1"), "{kept_out:?}");
    assert!(kept_out.stderr.contains("`rmachine allow moved`"), "{kept_out:?}");
    assert_eq!(store.rmachine(&["allow", "moved"]).ok(), "127.0.0.1/32");
    store.sh("moved", "docker version").ok();
}
