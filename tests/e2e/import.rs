//! Machines of docker-machine's, on real hosts: imported, used, renewed, removed; and from one store to another.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{
    docker_machine::DockerMachine,
    ec2::boto,
    hosts::{Host, Key},
    support::{PREBAKED, Store, eventually, exec_on, lab_variable, resources, run},
};

/// What docker-machine's provisioner leaves on a host with systemd, from the files in `directory`.
fn as_docker_machine(id: &str, directory: &Path, driver: &str) {
    let exec = |command: &str, stdin: &str| {
        let done = exec_on(id, command, stdin);
        assert_eq!(done["code"], 0, "{command}: {done}");
    };
    for (file, to) in [("ca.pem", "ca.pem"), ("server.pem", "server.pem"), ("server-key.pem", "server-key.pem")] {
        let text = std::fs::read_to_string(directory.join(file)).unwrap();
        exec(&format!("umask 077; mkdir -p /etc/docker; cat >/etc/docker/{to}"), &text);
    }
    let unit = format!(
        "mkdir -p /etc/systemd/system/docker.service.d; cat >/etc/systemd/system/docker.service.d/10-machine.conf <<END\n\
         [Service]\nExecStart=\nExecStart=$(command -v dockerd) -H tcp://0.0.0.0:2376 -H unix:///var/run/docker.sock \
         --tlsverify --tlscacert /etc/docker/ca.pem --tlscert /etc/docker/server.pem --tlskey /etc/docker/server-key.pem \
         --label provider={driver}\nEnvironment=\nEND\n\
         systemctl daemon-reload; systemctl restart docker; systemctl is-active docker"
    );
    exec(&unit, "");
}

/// A host that docker-machine made `days_ago`, in a store of docker-machine's.
fn generic(store: &Store, days_ago: i64, name: &str) -> (Host, DockerMachine) {
    let theirs = DockerMachine::new(store.path(".docker/machine"), days_ago);
    let key = Key::make(store, "login", "-t rsa -b 2048 -m PEM");
    let host = Host::boot("debian13-docker", "debian", &key, true);
    let fields = json!({
        "IPAddress": host.address, "SSHUser": "debian", "SSHPort": 22, "EnginePort": 2376,
        "SSHKey": key.path.to_str().unwrap(),
    });
    let directory = theirs.add(name, "generic", &fields, &json!({ "Labels": ["tier=e2e"] }));
    std::fs::copy(&key.path, directory.join("id_rsa")).unwrap();
    std::fs::write(directory.join("id_rsa.pub"), &key.public).unwrap();
    eventually("the engine is there", Duration::from_secs(60), || {
        host.try_exec("command -v dockerd && systemctl is-system-running --wait")["code"] != 127
    });
    as_docker_machine(&host.id, &directory, "generic");
    (host, theirs)
}

const STARTED: &str = "docker inspect -f '{{.State.StartedAt}} {{.State.Pid}} {{.State.Running}}' steady";

/// docker with docker-machine's own files.
fn docker_of(store: &Store, theirs: &DockerMachine, name: &str, host: &Host) -> crate::support::Done {
    let mut command = store.command("docker");
    command.env("DOCKER_HOST", format!("tcp://{}:2376", host.address)).env("DOCKER_TLS_VERIFY", "1");
    run(command.env("DOCKER_CERT_PATH", theirs.machine(name)).arg("version"))
}

#[test]
fn a_host_of_docker_machine_is_kept() {
    let store = Store::new();
    let (host, theirs) = generic(&store, 0, "kept");
    docker_of(&store, &theirs, "kept", &host).ok();
    let before = theirs.seen();
    let source = theirs.root.to_str().unwrap();
    let dry = store.rmachine(&["import", "--dry-run", source]).ok();
    assert!(dry.contains("would be imported") && !store.root().join("machines/kept").exists(), "{dry}");
    let imported = store.rmachine(&["import", "--yes", source]);
    assert!(imported.stderr.contains("host key is not pinned yet") && imported.stderr.contains(&host.fingerprint()));
    imported.ok();
    assert_eq!(theirs.seen(), before, "the source is as it was");

    // Docker goes on at once, with the certificates that docker-machine gave it.
    store.import_busybox("kept");
    store.sh("kept", "docker run -d --name steady busybox sleep 3600").ok();
    let started = store.sh("kept", STARTED).ok();
    let listed: Value = serde_json::from_str(&store.rmachine(&["ls", "--json"]).ok()).unwrap();
    assert_eq!((&listed[0]["state"], &listed[0]["driver"]), (&"Running".into(), &"generic".into()), "{listed}");
    assert_eq!(store.rmachine(&["ip", "kept"]).ok(), host.address);
    store.rmachine(&["env", "--check", "kept"]).ok();

    // Nobody vouches for its key yet.
    let unknown = store.rmachine(&["ssh", "kept", "id -un"]);
    assert_eq!(unknown.code, 255);
    assert!(unknown.stderr.contains("--trust-on-first-use --machine kept"), "{unknown:?}");
    let taken = store.rmachine(&["import", "--yes", "--trust-on-first-use", "--machine", "kept", source]);
    assert!(taken.stderr.contains("trusted from here on") && taken.stdout.contains("already here"), "{taken:?}");
    assert_eq!(store.rmachine(&["ssh", "kept", "id -un"]).ok(), "debian");

    store.rmachine(&["regenerate-certs", "kept"]).ok();
    store.rmachine(&["provision", "kept"]).ok();
    assert_eq!(store.sh("kept", STARTED).ok(), started, "its container ran on");
    let labels = store.sh("kept", "docker info --format '{{json .Labels}}'").ok();
    assert!(labels.contains("tier=e2e") && labels.matches("provider=generic").count() == 1, "{labels}");
    // Its own CA is not docker-machine's; who has files of that gets in with the new ca.pem, until the end.
    assert_ne!(docker_of(&store, &theirs, "kept", &host).code, 0);
    let with_theirs = || {
        let (old, ca) = (theirs.machine("kept"), store.root().join("machines/kept/ca.pem"));
        let flags = format!(
            "--tlsverify --tlscacert {} --tlscert {}/cert.pem --tlskey {}/key.pem",
            ca.display(),
            old.display(),
            old.display()
        );
        store.sh("kept", &format!("docker -H tcp://{}:2376 {flags} version", host.address))
    };
    with_theirs().ok();
    store.rmachine(&["rotate-ca", "--finish", "kept"]).ok();
    assert_ne!(with_theirs().code, 0);
    assert_eq!(store.sh("kept", STARTED).ok(), started, "its container ran on");
    store.rmachine(&["doctor"]).ok();
    let config = store.rmachine(&["ssh-config", "kept"]).ok();
    assert!(config.contains("HostKeyAlias rmachine-kept"), "{config}");

    // Another name, everywhere.
    store.rmachine(&["rename", "kept", "renamed"]).ok();
    assert_eq!(store.sh("renamed", STARTED).ok(), started, "its container ran on");
    let pem = store.root().join("machines/renamed/server.pem");
    let names = run(store.command("openssl").args(["x509", "-noout", "-ext", "subjectAltName", "-in"]).arg(pem)).ok();
    assert!(names.contains("DNS:renamed") && !names.contains("DNS:kept"), "{names}");
    assert!(store.rmachine(&["ssh-config", "renamed"]).ok().contains("HostKeyAlias rmachine-renamed"));

    store.rmachine(&["restart", "renamed"]).ok();
    store.sh("renamed", "docker ps").ok();
    store.rmachine(&["rm", "-y", "renamed"]).ok();
    host.exec("systemctl is-active docker");
    assert_eq!(theirs.seen(), before, "the source is as it was");
}

/// docker-machine's certificates lived 1080 days, and locked everyone out after that.
#[test]
fn certificates_that_have_expired_are_renewed() {
    let store = Store::new();
    let (host, theirs) = generic(&store, 1090, "late");
    assert_ne!(docker_of(&store, &theirs, "late", &host).code, 0, "nobody gets in");
    let source = theirs.root.to_str().unwrap();
    store.rmachine(&["import", "--offline", source]).ok();
    let env = store.rmachine(&["env", "late"]);
    assert!(env.stderr.contains("has expired") && env.stderr.contains("rmachine regenerate-certs late"), "{env:?}");
    assert!(store.rmachine(&["ls"]).ok().contains("expired"));
    let doctor = store.rmachine(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains("rmachine regenerate-certs late"), "{doctor:?}");

    let renewed = store.rmachine(&["import", "--yes", "--trust-on-first-use", source]);
    assert!(renewed.stderr.contains("had expired and are renewed"), "{renewed:?}");
    renewed.ok();
    store.sh("late", "docker version").ok();
    assert_eq!(store.rmachine(&["env", "late"]).stderr, "");
    assert_eq!(store.rmachine(&["doctor"]).code, 0);
    store.rmachine(&["rm", "-y", "late"]).ok();
    host.exec("systemctl is-active docker");
}

/// Where docker-machine's store is: read there, and under docker-machine's name.
#[test]
fn a_store_is_used_where_it_is() {
    let store = Store::new();
    let (host, theirs) = generic(&store, 0, "place");
    let before = theirs.seen();
    let at = |arguments: &[&str]| {
        let mut command = store.command("rmachine");
        run(command.env_remove("MACHINE_STORAGE_PATH").args(["-s", theirs.root.to_str().unwrap()]).args(arguments))
    };
    assert!(at(&["ls"]).ok().contains("generic"));
    at(&["env", "--check", "place"]).ok();
    assert_eq!(theirs.seen(), before, "reading changes nothing");
    let known = store.file(".ssh/known_hosts", &format!("{} {}\n", host.address, host.key_line()));
    std::fs::set_permissions(known, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(at(&["ssh", "place", "id -un"]).ok(), "debian");
    at(&["regenerate-certs", "place"]).ok();
    let mut now = theirs.read("place");
    assert!(now.as_object_mut().unwrap().remove("Rmachine").is_some());
    let mut then: Value = serde_json::from_slice(&before[&theirs.machine("place").join("config.json")].3).unwrap();
    // The files that docker-machine dials its engine with are its own now; nothing else has changed.
    let paths = |document: &mut Value| document["HostOptions"].as_object_mut().unwrap().remove("AuthOptions").unwrap();
    let (now_paths, _) = (paths(&mut now), paths(&mut then));
    assert_eq!(now, then);
    assert_eq!(now_paths["ClientCertPath"], theirs.machine("place").join("cert.pem").to_str().unwrap());

    let link = store.path("docker-machine");
    std::os::unix::fs::symlink(crate::support::program(), &link).unwrap();
    let as_it = |arguments: &[&str]| run(store.command(&link).env_remove("MACHINE_STORAGE_PATH").args(arguments));
    assert!(as_it(&["env", "--shell", "sh", "place"]).ok().contains(&host.address));
    docker_of(&store, &theirs, "place", &host).ok();
    as_it(&["rm", "-y", "place"]).ok();
    assert!(!theirs.machine("place").exists());
}

/// An instance as docker-machine's driver made it: a shared group open to all, a key pair by name, no tag but `Name`.
fn ec2_instance(key: &Key, name: &str) -> Value {
    boto(&format!("ec2.import_key_pair(KeyName='{name}-key', PublicKeyMaterial=b'{}')['KeyName']", key.public));
    let vpc = boto("ec2.describe_vpcs(Filters=[dict(Name='is-default', Values=['true'])])['Vpcs'][0]['VpcId']");
    boto(&format!(
        "(lambda g: (ec2.authorize_security_group_ingress(GroupId=g, IpPermissions=[dict(IpProtocol='tcp', FromPort=p, ToPort=p, IpRanges=[dict(CidrIp='0.0.0.0/0')]) for p in (22, 2376)]), g)[1])(ec2.create_security_group(GroupName='docker-machine', Description='Docker Machine', VpcId={vpc})['GroupId']) if not ec2.describe_security_groups(Filters=[dict(Name='group-name', Values=['docker-machine'])])['SecurityGroups'] else 0"
    ));
    let image = boto(&format!(
        "ec2.describe_images(Filters=[dict(Name='name', Values=['{PREBAKED}'])])['Images'][0]['ImageId']"
    ));
    let id = boto(&format!(
        "ec2.run_instances(ImageId={image}, InstanceType='t3.micro', MinCount=1, MaxCount=1, KeyName='{name}-key', \
         SecurityGroupIds=[g['GroupId'] for g in ec2.describe_security_groups(Filters=[dict(Name='group-name', Values=['docker-machine'])])['SecurityGroups']])['Instances'][0]['InstanceId']"
    ));
    let id = id.as_str().unwrap();
    let look = || {
        boto(&format!(
            "([i for r in ec2.describe_instances(Filters=[dict(Name='instance-id', Values=['{id}'])])['Reservations'] for i in r['Instances']] + [None])[0]"
        ))
    };
    eventually("the instance runs", Duration::from_secs(60), || look()["State"]["Name"] == "running");
    boto(&format!(
        "ec2.create_tags(Resources=['{id}'], Tags=[dict(Key='Name', Value='{name}')])['ResponseMetadata']['HTTPStatusCode']"
    ));
    look()
}

#[test]
fn an_ec2_machine_of_docker_machine_is_kept_and_removed() {
    let store = Store::new();
    let before = resources();
    let theirs = DockerMachine::new(store.path("theirs"), 0);
    let key = Key::make(&store, "pair", "-t rsa -b 2048 -m PEM");
    let instance = ec2_instance(&key, "dm");
    let text = |field: &str| instance[field].as_str().unwrap().to_owned();
    let mut fields = json!({
        "IPAddress": text("PublicIpAddress"), "SSHUser": "admin", "SSHPort": 22,
        "Id": "0123", "AccessKey": lab_variable("AWS_ACCESS_KEY_ID"), "SecretKey": lab_variable("AWS_SECRET_ACCESS_KEY"),
        "SessionToken": "", "Region": boto("ec2.meta.region_name"), "AMI": text("ImageId"), "SSHKeyID": 0,
        "ExistingKey": false, "KeyName": "dm-key", "InstanceId": text("InstanceId"), "InstanceType": "t3.micro",
        "PrivateIPAddress": text("PrivateIpAddress"),
    });
    let more = json!({
        "SecurityGroupId": "",
        "SecurityGroupIds": [instance["SecurityGroups"][0]["GroupId"]], "SecurityGroupName": "",
        "SecurityGroupNames": ["docker-machine"], "SecurityGroupReadOnly": false, "OpenPorts": null, "Tags": "",
        "ReservationId": "", "DeviceName": "/dev/sda1", "RootSize": 16, "VolumeType": "gp2", "IamInstanceProfile": "",
        "VpcId": text("VpcId"), "SubnetId": text("SubnetId"), "Zone": "a", "RequestSpotInstance": false, "SpotPrice": "",
        "BlockDurationMinutes": 0, "PrivateIPOnly": false, "UsePrivateIP": false, "UseEbsOptimizedInstance": false,
        "Monitoring": false, "SSHPrivateKeyPath": "", "RetryCount": 5,
        "Endpoint": std::env::var("AWS_ENDPOINT_URL").or_else(|_| std::env::var("AWS_ENDPOINT")).unwrap_or_default(),
        "DisableSSL": false, "UserDataFile": "",
    });
    more.as_object().unwrap().iter().for_each(|(key, value)| fields[key] = value.clone());
    let directory = theirs.add("dm", "amazonec2", &fields, &json!({}));
    std::fs::copy(&key.path, directory.join("id_rsa")).unwrap();
    let id = text("InstanceId");
    eventually("cloud-init has ended", Duration::from_secs(120), || {
        exec_on(&id, "test -e /var/lib/cloud/instance/boot-finished", "")["code"] == 0
    });
    as_docker_machine(&id, &directory, "amazonec2");
    let seen = theirs.seen();

    // cloud-init had printed the host's keys to the console.
    let imported = store.rmachine(&["import", "--yes", theirs.root.to_str().unwrap()]);
    assert!(imported.stderr.contains("its console names the key"), "{imported:?}");
    imported.ok();
    assert_eq!(theirs.seen(), seen, "the source is as it was");
    let own = std::fs::read_to_string(store.root().join("machines/dm/config.json")).unwrap();
    assert!(!own.contains(&lab_variable("AWS_SECRET_ACCESS_KEY")), "keys have a file of their own");
    let credentials = store.root().join("machines/dm/credentials.json");
    assert_eq!(std::fs::metadata(credentials).unwrap().permissions().mode() & 0o777, 0o600);

    // The keys of the record are used, as docker-machine did.
    let without = |arguments: &[&str]| {
        let mut command = store.command("rmachine");
        run(command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").args(arguments))
    };
    store.import_busybox("dm");
    store.sh("dm", "docker run --rm busybox true").ok();
    assert_eq!(without(&["status", "dm"]).ok(), "Running");
    let listed: Value = serde_json::from_str(&without(&["ls", "--json"]).ok()).unwrap();
    assert_eq!(listed[0]["state"], "Running");
    assert_eq!(without(&["ssh", "dm", "id -un"]).ok(), "admin");
    without(&["regenerate-certs", "dm"]).ok();
    without(&["provision", "dm"]).ok();
    without(&["stop", "dm"]).ok();
    assert!(without(&["env", "dm"]).fails(5).contains("rmachine start dm"));
    without(&["start", "dm"]).ok();
    store.sh("dm", "docker ps").ok();
    without(&["restart", "dm"]).ok();
    without(&["rename", "dm", "www"]).ok();
    let tags = boto(&format!(
        "ec2.describe_tags(Filters=[dict(Name='resource-id', Values=['{}'])])['Tags']",
        text("InstanceId")
    ));
    assert!(tags.to_string().contains("\"www\""), "the console shows the new name: {tags}");
    store.sh("www", "docker ps").ok();
    let refused = without(&["allow", "www"]).fails(6);
    assert!(refused.contains("no security group of its own"), "{refused}");
    without(&["doctor", "www"]).ok();
    let dry = without(&["rm", "--dry-run", "www"]).ok();
    assert!(dry.contains(&text("InstanceId")) && dry.contains("dm-key"), "{dry}");

    // Where neither the instance nor its VPC is known, as with the credentials of another account, nothing is removed.
    let record = store.root().join("machines/www/config.json");
    let whole = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, whole.replace("\"region\": \"us-east-1\"", "\"region\": \"eu-west-1\"")).unwrap();
    let elsewhere = without(&["rm", "-y", "www"]).fails(6);
    assert!(elsewhere.contains("find neither the instance nor vpc-"), "{elsewhere}");
    std::fs::write(&record, whole).unwrap();
    without(&["rm", "-y", "www"]).ok();
    let mut left = resources();
    let group = format!("groups/{}", instance["SecurityGroups"][0]["GroupId"].as_str().unwrap());
    assert!(left.contains(&group), "the shared group stays: {left:?}");
    left.retain(|held| *held != group);
    let mine =
        |held: &&String| !before.contains(held) && (held.contains("dm-key") || held.contains(&text("InstanceId")));
    assert_eq!(left.iter().filter(mine).collect::<Vec<_>>(), Vec::<&String>::new());
    boto(&format!(
        "ec2.delete_security_group(GroupId='{}')['ResponseMetadata']['HTTPStatusCode']",
        &group["groups/".len()..]
    ));
}

#[test]
fn a_machine_goes_to_another_store_in_an_archive() {
    let (store, other) = (Store::new(), Store::new());
    store.create_ec2(PREBAKED, &[], "moved").ok();
    store.import_busybox("moved");
    store.sh("moved", "docker run -d --name steady busybox sleep 3600").ok();
    let started = store.sh("moved", STARTED).ok();
    let pass = store.file("pass", "correct horse battery\n");
    let archive = store.path("moved.age");
    let (pass, file) = (pass.to_str().unwrap(), archive.to_str().unwrap());
    store.rmachine(&["export", "moved", "-o", file, "--passphrase-file", pass]).ok();
    assert_eq!(std::fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        store
            .rmachine(&["export", "moved", "-o", file, "--passphrase-file", pass])
            .fails(2)
            .contains("is there already")
    );

    other.rmachine(&["import", "--yes", file, "--passphrase-file", pass]).ok();
    assert_eq!(other.sh("moved", STARTED).ok(), started, "docker works as it is");
    assert_eq!(other.rmachine(&["ssh", "moved", "id -un"]).ok(), "admin");
    let owner = |store: &Store| store.inspect("moved")["Rmachine"]["Owner"].as_str().unwrap().to_owned();
    assert_ne!(owner(&store), owner(&other));
    let id = other.inspect("moved")["Driver"]["InstanceId"].as_str().unwrap().to_owned();
    let tags = boto(&format!("ec2.describe_tags(Filters=[dict(Name='resource-id', Values=['{id}'])])['Tags']"));
    assert!(tags.to_string().contains(&owner(&other)), "{tags}");
    other.rmachine(&["rotate-ca", "--now", "moved"]).ok();
    assert_eq!(other.sh("moved", STARTED).ok(), started, "its container ran on");
    assert_ne!(store.sh("moved", "docker version").code, 0, "the store that it came from is locked out by now");
    other.rmachine(&["rm", "-y", "moved"]).ok();
    assert_eq!(crate::ec2::held_for("moved"), Vec::<String>::new());
    std::fs::remove_dir_all(store.root().join("machines/moved")).unwrap();
}
