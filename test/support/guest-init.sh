#!/bin/busybox sh
# The first process of the guest of test/process/virtual-machine.test.ts. It carries out lines from the
# second serial line and answers each with `done STATUS`. The kernel's messages go to the first one.
/bin/busybox --install -s /bin
export PATH=/bin:/sbin
mkdir -p /proc /sys /dev /mnt /tmp /run
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk \
  failover net_failover virtio_net nbd; do
  [ ! -f /modules/$module.ko ] || insmod /modules/$module.ko
done
exec </dev/ttyS1 >/dev/ttyS1 2>&1
stty -echo -onlcr

slots=24

now() { # hundredths of a second
  read -r up _ </proc/uptime
  now=${up%.*}${up#*.}
}

# store KIND SLOT KIB: something new to a file, or to blocks of a disk, forced to stable storage
store() {
  dd if=/dev/urandom of=/tmp/$1 bs=1k count=$3 2>/dev/null
  sum=$(sha256sum </tmp/$1)
  now
  began=$now
  case $1 in
    file) dd if=/tmp/$1 of=/mnt/$2 bs=64k conv=fsync 2>/dev/null ;;
    block) dd if=/tmp/$1 of=/dev/vdb bs=64k seek=$2 conv=notrunc,fsync oflag=direct 2>/dev/null ;;
  esac || { echo "failed $1 $2"; return 1; }
  now
  echo "stored $1 $2 $3 ${sum%% *} $(((now - began) * 10))"
}

# writer KIND: until /run/pause is there
writer() {
  n=0
  while [ ! -e /run/pause ]; do
    n=$((n + 1))
    store $1 $((n * 7 % slots)) $((4 + n * 4 % 60)) || return 1
  done
}

start() {
  rm -f /run/pause
  writer file &
  writer block &
}

pause() {
  touch /run/pause
  wait
}

# shows KIND SLOT KIB: the checksum of what the disk has there now
shows() {
  case $1 in
    file) sum=$(sha256sum </mnt/$2) ;;
    block) sum=$(dd if=/dev/vdb bs=64k skip=$2 count=1 iflag=direct 2>/dev/null | head -c $(($3 * 1024)) | sha256sum) ;;
  esac
  echo "shows $1 $2 ${sum%% *}"
}

forget() {
  sync
  echo 3 >/proc/sys/vm/drop_caches
}

echo ready
while read -r line; do
  eval "$line"
  echo "done $?"
done
