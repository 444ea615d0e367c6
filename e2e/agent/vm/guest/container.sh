#!/bin/busybox sh
# Becomes a container's process, as container runtimes make it: joins its cgroup first, so that its cgroup namespace begins there, has a root of its own
# with the container's /proc and cgroup, read-only, and no privileges. Full paths, since the shell prefers what busybox has by these names. Usage: container.sh ROOT CGROUP UID MOUNT_OF_THE_HOST COMMAND…
set -e
root=$1 cgroup=$2 uid=$3 host=$4
shift 4
if [ -n "$WANTED_PID" ]; then
  # The pid of the next process in this pid namespace: our only child.
  echo $((WANTED_PID - 1)) >/proc/sys/kernel/ns_last_pid
  unset WANTED_PID
  /app/container.sh "$root" "$cgroup" "$uid" "$host" "$@"
  exit
fi
if [ -z "$JOINED" ]; then
  echo 0 >"$cgroup/cgroup.procs"
  JOINED=yes exec /bin/unshare --mount --cgroup /app/container.sh "$root" "$cgroup" "$uid" "$host" "$@"
fi
mkdir -p "$root"
mount -t tmpfs tmpfs "$root"
for folder in bin lib lib64 app dev; do
  mkdir "$root/$folder"
  mount --bind "/$folder" "$root/$folder"
done
mkdir "$root/proc" "$root/sys" "$root/host"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 -o ro cgroup2 "$root/sys/fs/cgroup"
if [ -n "$host" ]; then
  mkdir "$root/host/cgroup"
  mount --bind "$host" "$root/host/cgroup"
  mount -o remount,bind,ro "$root/host/cgroup"
fi
mount -o remount,ro "$root"
unset JOINED
exec chroot "$root" /bin/setpriv --reuid "$uid" --regid "$uid" --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs "$@"
