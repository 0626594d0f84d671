#!/usr/bin/env bash
# From nothing to the quickstart's table: `git clone` and ./quickstart in a bare Debian (debootstrap --variant=minbase, made
# from the mirror that apt uses here), as root. Prints what each step took, how much was downloaded and the table.
#   bench/cold_start.sh [--torch] [--work DIR] [--steps N] [--source GIT]
# --torch   PyPI's torch in a virtual environment there (./quickstart --torch), not Debian's libtorch
# --work    where the bare Debian goes and stays; without it a folder under /tmp, which goes again
# --steps   of each training, in place of the quickstart's 1,500: for a trial
# --source  what is cloned; without it this checkout's last commit
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$here/tools/stages.sh"

torch=no work='' steps='' source=$here
while [ $# -gt 0 ]; do
  case $1 in
    --torch) torch=yes ;;
    --work) work=${2:?} && shift ;;
    --steps) steps=${2:?} && shift ;;
    --source) source=${2:?} && shift ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
  esac
  shift
done
remove=no
if [ -z "$work" ]; then
  work=$(mktemp -d)
  remove=yes
fi
mkdir -p "$work"
root=$work/root
close() {
  umount -q "$root/proc" || true
  [ $remove = no ] || rm -rf --one-file-system "$work"
}
trap close EXIT
inside() {
  chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    ${steps:+QUICKSTART_STEPS=$steps} "$@"
}
megabytes() { du -sm --one-file-system "$root" | cut -f 1; }

bare() {
  local mirror suite
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mirror=$(apt-cache policy | sed -n 's/^ *[0-9]* \(http[^ ]*\) .*main amd64 Packages$/\1/p' | grep -v security | head -n 1)
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" >"$work/debootstrap.log" 2>&1
  # How this machine reaches its mirrors goes along.
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  apt-config dump Acquire >"$root/etc/apt/apt.conf.d/90host"
  [ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  mount -t proc proc "$root/proc"
  git clone -q --bare --no-hardlinks "$source" "$root/source.git"
  inside apt-get -q update >"$work/apt.log" 2>&1
  inside apt-get -q install -y --no-install-recommends git >>"$work/apt.log" 2>&1
  stage_note="$(megabytes) MB"
}
clone() {
  inside git -c safe.directory='*' clone -q /source.git /root/opencloc
  inside git -C /root/opencloc log -1 --format='%h %s'
}
wheel() {
  inside apt-get -q install -y --no-install-recommends python3-venv >>"$work/apt.log" 2>&1
  inside python3 -m venv /root/torch
  inside /root/torch/bin/pip install -q --no-cache-dir torch
  stage_note="$(megabytes) MB"
}
quickstart() {
  inside sh -c "cd /root/opencloc && ./quickstart $([ $torch = no ] || echo --torch /root/torch)" 2>&1 |
    tee "$work/quickstart.log"
  stage_note="$(megabytes) MB"
}

stage "bare Debian, git" bare
began=$SECONDS
stage "clone" clone
[ $torch = no ] || stage "pip install torch" wheel
stage "quickstart" quickstart
echo
print_stages
echo "from the clone to the table: $(minutes $((SECONDS - began)))"
