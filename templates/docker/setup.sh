#!/bin/sh
# Makes a root file system with the packages of a machine into one that boots fast in a container.
# Runs as root inside it while the image is built; both ways to build it end with this.
set -eu

# A machine makes its own keys and id.
rm -f /etc/ssh/ssh_host_*
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id

# What needs hardware, waits for a network that is there, or works in the background for nobody.
for unit in systemd-networkd.service systemd-networkd-wait-online.service systemd-resolved.service \
    systemd-timesyncd.service systemd-modules-load.service systemd-udevd.service systemd-udev-trigger.service \
    systemd-logind.service systemd-firstboot.service systemd-machine-id-commit.service \
    getty@tty1.service console-getty.service e2scrub_reap.service apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer fstrim.timer e2scrub_all.timer systemd-tmpfiles-clean.timer ssh.socket; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
ln -sf /usr/lib/systemd/system/multi-user.target /etc/systemd/system/default.target

# Containers ask this resolver; it asks the local engine's, which knows the other machines.
cat >/etc/systemd/system/rmachine-dns.service <<'UNIT'
[Unit]
Description=Resolver for the containers of this machine
Before=docker.service

[Service]
ExecStart=/usr/sbin/dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --bind-interfaces --listen-address=169.254.53.53 --except-interface=lo --cache-size=1000
Restart=on-failure

[Install]
WantedBy=multi-user.target
UNIT
mkdir -p /etc/systemd/system/multi-user.target.wants /etc/docker
ln -sf ../rmachine-dns.service /etc/systemd/system/multi-user.target.wants/rmachine-dns.service
printf '{"dns": ["169.254.53.53"]}\n' >/etc/docker/daemon.json

# Logins need no look-up of the caller's name, and no message.
mkdir -p /etc/ssh/sshd_config.d
printf 'UseDNS no\nPrintMotd no\nPasswordAuthentication no\n' >/etc/ssh/sshd_config.d/10-rmachine.conf

rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/*.log /var/log/apt
