#!/bin/busybox sh
# The first process of the virtual machine: makes it a usual Linux, runs the experiments, powers off.
/bin/busybox mkdir -p /proc /sys /dev /tmp /containers
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for number in 0 1 2 3 4 5 6; do insmod /modules/$number.ko; done
chmod 666 /dev/vda
# So that the broker's process has its name.
ln -s node /bin/danube-broker
ip link set lo up
stty -F /dev/ttyS1 raw -echo
node /app/main.mjs >/dev/ttyS1 2>/dev/console
poweroff -f
