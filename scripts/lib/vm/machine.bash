# The virtual machine of scripts/test-vm: Debian's cloud kernel under qemu, its root file system this machine's / over virtiofs.
# Nothing is installed in it and no image is built: the first process mounts what it was given and runs one command.
# shellcheck shell=bash

MEMORY_MB=2048
VIRTIOFSD=/usr/lib/qemu/virtiofsd
KERNEL_DIRECTORY=$CACHE/vm-kernel
MACHINE_PIDS=()

install_machine_packages() {
  # qemu-system-x86 brings virtiofsd along; busybox is the guest's first program, cpio packs it.
  install_debian_packages qemu-system-x86 busybox-static cpio kmod util-linux
  [ -x "$VIRTIOFSD" ] || die "$VIRTIOFSD is missing." 'It came with qemu-system-common of Debian 12.'
}

# The kernel is unpacked into .cache, not installed. It stays the one that was downloaded first until .cache/vm-kernel is removed.
install_guest_kernel() {
  if [ -e "$KERNEL_DIRECTORY/complete" ]; then return; fi
  local package
  update_lists
  package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-6\.1\./ { print $2; exit }')
  [ -n "$package" ] || die 'No kernel 6.1 (linux-image-cloud-amd64) is known to apt on this machine.'
  say "kernel for the guest: $package (unpacked into .cache, not installed)"
  rm -rf "$KERNEL_DIRECTORY"
  mkdir -p "$KERNEL_DIRECTORY"
  (cd "$KERNEL_DIRECTORY" && quietly vm-kernel apt -o APT::Sandbox::User=root download "$package") || die "$package could not be downloaded."
  dpkg-deb --extract "$KERNEL_DIRECTORY/$package"_*.deb "$KERNEL_DIRECTORY"
  rm -f "$KERNEL_DIRECTORY"/*.deb
  # The package has no list of dependencies: its installation would make it.
  depmod -b "$KERNEL_DIRECTORY" "$(guest_release)"
  touch "$KERNEL_DIRECTORY/complete"
}

guest_release() { ls "$KERNEL_DIRECTORY/lib/modules"; }

# make_initrd WORK: WORK/initrd has the first process, busybox, the modules that the root file system needs, and WORK/command.
make_initrd() {
  local work=$1 root=$1/initrd.d file
  mkdir -p "$root/bin" "$root/modules"
  # busybox chooses what it is by its file name.
  cp /bin/busybox "$root/bin/busybox"
  cp "$ROOT/scripts/lib/vm/init" "$ROOT/scripts/lib/vm/guest.bash" "$work/command" "$root/"
  chmod 755 "$root/init"
  printf '%s\n' "$KERNEL_DIRECTORY/lib/modules" >"$root/kernel-modules"
  for file in virtio_pci virtiofs overlay virtio_rng; do
    modprobe --dirname "$KERNEL_DIRECTORY" --set-version "$(guest_release)" --show-depends "$file" || return
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$work/modules"
  while read -r file; do
    cp "$file" "$root/modules/"
    basename "$file"
  done <"$work/modules" >"$root/modules/order"
  (cd "$root" && find . | cpio --create --format=newc --quiet) >"$work/initrd"
}

# A process that ends when this script does, even by SIGKILL.
start_part() {
  setpriv --pdeathsig KILL "$@" &
  MACHINE_PIDS+=("$!")
}

# share_root WORK: serves this machine's / on WORK/share.sock. From a mount namespace of its own: read-only whatever the guest
# asks for, with an empty /tmp (what others do there is none of its business) and without what is mounted elsewhere (/proc, /sys, /dev,
# /run), except this checkout and where node is.
share_root() {
  local work=$1 try
  mkdir "$work/root"
  # shellcheck disable=SC2016
  start_part unshare --mount --propagation private bash -euc '
    work=$1 server=$2
    mount --bind / "$work/root"
    mount -o remount,bind,ro "$work/root"
    mount -t tmpfs -o mode=1777 tmp "$work/root/tmp"
    for path in "${@:3}"; do
      [ "$path" = "$3" ] || path=$(findmnt --noheadings --output TARGET --target "$path")
      if [ "$path" != / ]; then
        [ -d "$work/root$path" ] || mkdir -p "$work/root$path"
        mount --bind "$path" "$work/root$path"
        mount -o remount,bind,ro "$work/root$path"
      fi
    done
    exec "$server" --socket-path="$work/share.sock" -o source="$work/root" -o cache=always -o sandbox=chroot
  ' share "$work" "$VIRTIOFSD" "$ROOT" "$(readlink -f "$(command -v node)")" >"$work/share.log" 2>&1
  for try in $(seq 100); do
    if [ -S "$work/share.sock" ]; then return; fi
    if ! kill -0 "${MACHINE_PIDS[-1]}" 2>/dev/null || [ "$try" -eq 100 ]; then
      cat "$work/share.log" >&2
      return 1
    fi
    sleep 0.1
  done
}

# start_machine WORK: the console is standard output; WORK/status gets what became of the command.
start_machine() {
  local work=$1 append
  share_root "$work" || return
  append='console=ttyS0 loglevel=4 panic=-1 mitigations=off random.trust_cpu=on tsc=reliable nokaslr net.ifnames=0'
  : >"$work/status"
  start_part qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
    -accel "${DFW_VM_ACCEL:-tcg,thread=multi}" -cpu max -smp 2 -m "$MEMORY_MB" \
    -object "memory-backend-memfd,id=ram,size=${MEMORY_MB}M,share=on" -numa node,memdev=ram \
    -chardev "socket,id=root,path=$work/share.sock" -device vhost-user-fs-pci,chardev=root,tag=root \
    -device virtio-rng-pci -serial stdio -serial "file:$work/status" \
    -kernel "$KERNEL_DIRECTORY/boot/vmlinuz-$(guest_release)" -initrd "$work/initrd" -append "$append" </dev/null
}

# wait_for_machine SECONDS: false when it still runs then.
wait_for_machine() {
  local end=$((SECONDS + $1))
  while kill -0 "${MACHINE_PIDS[-1]}" 2>/dev/null; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

# Twice is fine.
end_machine() {
  local pid
  for pid in "${MACHINE_PIDS[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  if [ ${#MACHINE_PIDS[@]} -gt 0 ]; then wait "${MACHINE_PIDS[@]}" 2>/dev/null || true; fi
  MACHINE_PIDS=()
}
