# Debian packages for scripts/setup. The archive's address is always the one this machine already uses.
# shellcheck shell=bash

NFT_VERSION=1.1.3
NFT_DIRECTORY=$CACHE/nft-$NFT_VERSION

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

need_root() {
  [ "$(id -u)" -eq 0 ] || die "Debian packages are missing ($*) and only root can install them." 'Run this command with sudo.'
}

apt() { DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"; }

update_lists() {
  quietly apt-update apt update || die 'apt-get update failed.' 'Check the network and the files in /etc/apt, then run this again.'
}

# Packages come with services of their own (Suricata's would start to watch eth0). invoke-rc.d asks this file first.
without_services() {
  local policy=/usr/sbin/policy-rc.d status=0
  if [ -e "$policy" ]; then "$@"; return; fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  "$@" || status=$?
  rm -f "$policy"
  return "$status"
}

# install_debian_packages NAME...: installs what is missing; does not touch apt when nothing is.
install_debian_packages() {
  local missing=() name
  for name in "$@"; do is_installed "$name" || missing+=("$name"); done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  need_root "${missing[*]}"
  say "Debian packages: ${missing[*]}"
  update_lists
  without_services quietly apt-install apt install --no-install-recommends "${missing[@]}" ||
    die 'Debian packages could not be installed.' 'See the lines above; fix what they name (often: dpkg --configure -a, apt-get -f install) and run this again.'
}

# For scripts/ovs and the tests, which start switches of their own. Where the package came only now, its service stays off; a
# switch that somebody had before is left alone.
install_open_vswitch() {
  if is_installed openvswitch-switch; then return; fi
  install_debian_packages openvswitch-switch
  if [ -d /run/systemd/system ]; then systemctl disable --quiet openvswitch-switch.service || true; fi
}

# For the tests, which start servers of their own, and for managing by hand (etcdctl). Where the package came only now, its service stays off.
install_etcd() {
  if is_installed etcd-server && is_installed etcd-client; then return; fi
  install_debian_packages etcd-server etcd-client
  if [ -d /run/systemd/system ]; then systemctl disable --quiet etcd.service || true; fi
}

# The peer of scripts/bench ovs; its services stay off.
install_ovn() {
  if is_installed ovn-central && is_installed ovn-host; then return; fi
  install_debian_packages ovn-central ovn-host
  if [ -d /run/systemd/system ]; then systemctl disable --quiet ovn-central.service ovn-host.service ovn-controller.service || true; fi
}

# "URI keyring" of the Debian archive this machine uses: the line of the stable release's "main" in its own sources.
archive_of_this_machine() {
  # shellcheck disable=SC2016 # the $(...) are apt's
  apt-get indextargets --format '$(CODENAME)|$(COMPONENT)|$(ORIGIN)|$(REPO_URI)' 'Created-By: Packages' |
    awk -F'|' '$1 == "bookworm" && $2 == "main" && $3 == "Debian" { print $4; exit }'
}

archive_or_die() {
  local uri
  uri=$(archive_of_this_machine)
  [ -n "$uri" ] || die 'No source of Debian 12 (bookworm, main) is known to apt on this machine.' \
    'dfw-agent is set up on Debian 12; add its archive to /etc/apt/sources.list and run this again.'
  printf '%s\n' "$uri"
}

write_source() { # FILE URI SUITE
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' "$2" "$3" >"$1"
}

# Suricata 7 is in bookworm-backports only. The suite is added when the machine has not got it, and pinned so that
# nothing but Suricata and its parser library ever comes from there.
install_suricata() {
  if is_installed suricata; then return; fi
  need_root suricata
  say 'Debian packages: suricata (from bookworm-backports)'
  local uri
  is_listed_suite bookworm bookworm || update_lists
  uri=$(archive_or_die)
  if ! is_listed_suite bookworm-backports bookworm-backports; then
    write_source /etc/apt/sources.list.d/dfw-agent-backports.sources "$uri" bookworm-backports
    printf 'Package: *\nPin: release n=bookworm-backports\nPin-Priority: 50\n' >/etc/apt/preferences.d/dfw-agent-backports
    printf '\nPackage: suricata libhtp2\nPin: release n=bookworm-backports\nPin-Priority: 500\n' >>/etc/apt/preferences.d/dfw-agent-backports
  fi
  update_lists
  without_services quietly apt-suricata apt install --no-install-recommends suricata/bookworm-backports libhtp2/bookworm-backports ||
    die 'Suricata could not be installed from bookworm-backports.' 'See the lines above; without it the IDS part cannot be shown or tested.'
  # The package's own service would watch eth0; dfw-agent runs Suricata with dfw-suricata.service instead.
  if [ -d /run/systemd/system ]; then systemctl disable --quiet suricata.service || true; fi
}

is_listed_suite() { # RELEASE CODENAME
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(RELEASE)|$(CODENAME)|$(COMPONENT)' 'Created-By: Packages' | grep -q -x -E "(stable|oldstable|$1)\|$2\|main"
}

# nft of the next Debian release, unpacked beside (never installed into) the system, with the libraries it needs: the tests
# check that other people's nft, old and new, lives with our objects. Its apt state is private, so signatures are checked
# and the machine's sources stay as they are. Run it as .cache/nft-1.1.3/nft.
unpack_newer_nft() {
  if [ -x "$NFT_DIRECTORY/nft" ]; then return; fi
  say "nft $NFT_VERSION (unpacked into .cache, not installed)"
  local private=$CACHE/apt-trixie uri
  rm -rf "$private" "$NFT_DIRECTORY" "$NFT_DIRECTORY.new"
  mkdir -p "$private/lists/partial" "$private/cache/archives/partial" "$private/debs" "$NFT_DIRECTORY.new"
  uri=$(archive_or_die)
  write_source "$private/trixie.sources" "$uri" trixie
  local options=(
    -o "Dir::Etc::sourcelist=$private/trixie.sources" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferences=/dev/null
    -o Dir::Etc::preferencesparts=/dev/null -o "Dir::State::lists=$private/lists" -o "Dir::Cache=$private/cache"
    -o Acquire::Languages=none -o APT::Sandbox::User=root
  )
  quietly apt-trixie-update apt "${options[@]}" update || die 'The package lists of Debian trixie could not be read.' "Check that $uri is reachable."
  (cd "$private/debs" && quietly apt-trixie-download apt "${options[@]}" download \
    nftables/trixie libnftables1/trixie libnftnl11/trixie libmnl0/trixie libxtables12/trixie libjansson4/trixie libgmp10/trixie \
    libedit2/trixie libbsd0/trixie libmd0/trixie libtinfo6/trixie libc6/trixie) || die "nft $NFT_VERSION could not be downloaded."
  local deb
  for deb in "$private"/debs/*.deb; do dpkg-deb --extract "$deb" "$NFT_DIRECTORY.new"; done
  write_nft_wrapper "$NFT_DIRECTORY.new"
  "$NFT_DIRECTORY.new/nft" --version | grep -q "v$NFT_VERSION" || die "The unpacked nft does not run or is not $NFT_VERSION."
  mv "$NFT_DIRECTORY.new" "$NFT_DIRECTORY"
  rm -rf "$private"
}

# The wrapper starts nft with the C library it was built for.
write_nft_wrapper() {
  local loader triplet
  loader=$(cd "$1" && find . -name 'ld-linux*.so.*' \( -type f -o -type l \) -path '*usr/lib*' | head -n 1)
  triplet=$(basename "$(dirname "$(cd "$1" && find usr/lib -name 'libnftables.so.1' | head -n 1)")")
  [ -n "$loader" ] && [ -n "$triplet" ] || die "The packages of nft $NFT_VERSION do not hold what was expected."
  cat >"$1/nft" <<WRAPPER
#!/bin/sh
here=\$(dirname "\$(readlink -f "\$0")")
exec "\$here/${loader#./}" --library-path "\$here/usr/lib/$triplet" "\$here/usr/sbin/nft" "\$@"
WRAPPER
  chmod 755 "$1/nft"
}
