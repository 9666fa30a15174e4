//! The flags of the driver: docker-machine's, those of GitLab's and Rancher's forks, and ours.

use rmachine_provider_api::Flag;

/// `--amazonec2-NAME` of the table below, for messages and look-ups.
pub(crate) const ACCESS_KEY: &str = "amazonec2-access-key";
pub(crate) const SECRET_KEY: &str = "amazonec2-secret-key";
pub(crate) const SESSION_TOKEN: &str = "amazonec2-session-token";

/// All of them.
pub(crate) fn flags() -> Vec<Flag> {
    vec![
        // --- who asks, and where ---
        Flag::text(ACCESS_KEY, "KEY", "access key id; else the SDK's credential chain decides")
            .env(&["AWS_ACCESS_KEY_ID"])
            .secret()
            .connects(),
        Flag::text(SECRET_KEY, "KEY", "secret access key").env(&["AWS_SECRET_ACCESS_KEY"]).secret().connects(),
        Flag::text(SESSION_TOKEN, "TOKEN", "session token of temporary keys")
            .env(&["AWS_SESSION_TOKEN"])
            .secret()
            .connects(),
        Flag::text("amazonec2-profile", "NAME", "profile of ~/.aws/config for this machine; else AWS_PROFILE decides")
            .connects(),
        Flag::text("amazonec2-region", "REGION", "region; else the profile's, else us-east-1")
            .env(&["AWS_REGION", "AWS_DEFAULT_REGION"])
            .own_env(&["AWS_REGION"])
            .drop_in_default("us-east-1")
            .connects(),
        Flag::text("amazonec2-endpoint", "URL", "EC2 endpoint instead of the region's own")
            .env(&["AWS_ENDPOINT"])
            .connects(),
        Flag::switch("amazonec2-insecure-transport", "talk plain HTTP to the endpoint")
            .env(&["AWS_INSECURE_TRANSPORT"])
            .connects(),
        Flag::integer("amazonec2-retries", "COUNT", "how often a failed call is repeated").default("5").connects(),
        // --- what to boot ---
        Flag::text("amazonec2-ami", "AMI", "image: an id, or resolve:ssm:PARAMETER; else looked up by owner and name")
            .env(&["AWS_AMI"]),
        Flag::text(
            "amazonec2-ami-owner",
            "OWNER",
            "owner of the images: an account id, self or amazon; Canonical, or self when a name is given",
        )
        .env(&["AWS_AMI_OWNER"]),
        Flag::text("amazonec2-ami-name", "PATTERN", "name of the images to choose from, with * (Ubuntu 24.04's)")
            .env(&["AWS_AMI_NAME"]),
        Flag::list(
            "amazonec2-instance-type",
            "TYPE",
            "instance type; its architecture chooses the image. Several, in order: the next one where there is no room",
        )
        .env(&["AWS_INSTANCE_TYPE"])
        .default("t3.micro"),
        Flag::text("amazonec2-userdata", "PATH", "user-data of your own: script, cloud-config, MIME, gzip, #include")
            .env(&["AWS_USERDATA"]),
        Flag::text("amazonec2-iam-instance-profile", "NAME", "IAM instance profile, by name or ARN")
            .env(&["AWS_INSTANCE_PROFILE"]),
        Flag::switch("amazonec2-monitoring", "detailed CloudWatch monitoring"),
        Flag::switch("amazonec2-use-ebs-optimized-instance", "an EBS-optimized instance"),
        Flag::text("amazonec2-metadata-token", "MODE", "whether IMDS wants a token (IMDSv2): required or optional")
            .env(&["AWS_METADATA_TOKEN"])
            .default("required")
            .aliases(&["amazonec2-http-tokens"]),
        Flag::text("amazonec2-http-endpoint", "MODE", "whether IMDS answers at all: enabled or disabled"),
        Flag::integer(
            "amazonec2-metadata-token-response-hop-limit",
            "HOPS",
            "hops that IMDS answers may take; 2 lets containers ask it",
        )
        .env(&["AWS_METADATA_TOKEN_RESPONSE_HOP_LIMIT"])
        .default("1"),
        // --- disks ---
        Flag::text("amazonec2-device-name", "DEVICE", "root device; else the image's").env(&["AWS_DEVICE_NAME"]),
        Flag::integer("amazonec2-root-size", "GIB", "size of the root volume (16, or the image's if that is larger)")
            .env(&["AWS_ROOT_SIZE"]),
        Flag::text("amazonec2-volume-type", "TYPE", "type of the root volume").env(&["AWS_VOLUME_TYPE"]).default("gp3"),
        Flag::integer("amazonec2-volume-iops", "IOPS", "IOPS of the root volume, where its type takes them"),
        Flag::integer("amazonec2-volume-throughput", "MIBPS", "throughput of a gp3 root volume"),
        Flag::switch("amazonec2-encrypt-ebs-volume", "encrypt the root volume").default("true"),
        Flag::text(
            "amazonec2-kms-key",
            "KEY",
            "KMS key of the encryption: id, ARN or alias; else the account's default",
        )
        .env(&["AWS_KMS_KEY"]),
        // --- where in the network ---
        Flag::list(
            "amazonec2-zone",
            "ZONE",
            "availability zone, as a letter or whole; several are tried in order; else all that have the type",
        )
        .env(&["AWS_ZONE"]),
        Flag::text("amazonec2-vpc-id", "VPC", "VPC; else the default one").env(&["AWS_VPC_ID"]),
        Flag::text("amazonec2-subnet-id", "SUBNET", "subnet; else the zone's default one").env(&["AWS_SUBNET_ID"]),
        Flag::switch("amazonec2-private-address-only", "no public address; you reach the VPC otherwise").connects(),
        Flag::switch(
            "amazonec2-use-private-address",
            "connect to the private address, though there may be a public one",
        )
        .connects(),
        Flag::switch("amazonec2-ipv6", "give it an IPv6 address as well"),
        Flag::switch("amazonec2-use-ipv6-address", "give it an IPv6 address and connect to that").connects(),
        // --- who may connect ---
        Flag::list(
            "amazonec2-security-group",
            "NAME",
            "security group by name or id, never edited (made when absent); else one of its own for this machine",
        )
        .env(&["AWS_SECURITY_GROUP"]),
        Flag::switch("amazonec2-security-group-readonly", "do not make a named security group that is absent")
            .env(&["AWS_SECURITY_GROUP_READONLY"]),
        Flag::list(
            "amazonec2-open-port",
            "PORT",
            "port that the machine's own group opens to all: 80, 53/udp, 8000-8010",
        ),
        Flag::list("amazonec2-ingress-cidr", "CIDR", "who may use SSH and the engine; else your present address alone")
            .env(&["AWS_INGRESS_CIDR"]),
        Flag::list(
            "amazonec2-ingress-fallback",
            "CIDR",
            "who may where your present address cannot be found; else the create is refused",
        )
        .drop_in_default("0.0.0.0/0"),
        Flag::text(
            "amazonec2-keypair-name",
            "NAME",
            "EC2 key pair of yours to log in with (needs --amazonec2-ssh-keypath)",
        )
        .env(&["AWS_KEYPAIR_NAME"]),
        Flag::text("amazonec2-ssh-keypath", "PATH", "private key of yours to log in with; else one is made")
            .env(&["AWS_SSH_KEYPATH"]),
        Flag::text("amazonec2-ssh-user", "USER", "login name; else the image's").env(&["AWS_SSH_USER"]).connects(),
        Flag::integer("amazonec2-ssh-port", "PORT", "port of sshd").env(&["AWS_SSH_PORT"]).default("22").connects(),
        // --- market and tags ---
        Flag::switch("amazonec2-request-spot-instance", "a spot instance"),
        Flag::list("amazonec2-market", "MARKET", "spot or on-demand; several are tried in order: spot,on-demand"),
        Flag::text("amazonec2-spot-price", "USD", "highest price an hour; else the on-demand price"),
        Flag::text("amazonec2-spot-type", "TYPE", "one-time, or persistent (which can be stopped)").default("one-time"),
        Flag::integer("amazonec2-block-duration-minutes", "MINUTES", "no longer offered by AWS: only 0 is taken")
            .default("0"),
        Flag::text("amazonec2-tags", "TAGS", "tags for all that is made: key1,value1,key2,value2 or key1=value1,...")
            .env(&["AWS_TAGS"]),
    ]
}
