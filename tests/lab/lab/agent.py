"""A host's half of EC2 Instance Connect: what shows sshd the keys that the API took for a while."""

KEYS = "/run/lab-connect"  # a file a user: lines of "UNTIL KEY", seconds since 1970; gone with a reboot

# What a host does at each boot to have the agent: sshd asks it for the keys of a user (%u).
AGENT = f"""\
mkdir -p {KEYS} /usr/libexec /etc/ssh/sshd_config.d
cat >/usr/libexec/lab-connect <<'END'
#!/bin/sh
now=$(date +%s)
[ -r "{KEYS}/$1" ] || exit 0
while read -r until key; do [ "$until" -le "$now" ] || echo "$key"; done <"{KEYS}/$1"
END
chmod 0755 /usr/libexec/lab-connect {KEYS}
printf 'AuthorizedKeysCommand /usr/libexec/lab-connect %%u\\nAuthorizedKeysCommandUser nobody\\n' >/etc/ssh/sshd_config.d/60-lab-connect.conf
"""
