#!/bin/sh
# Builds kube-apiserver, kube-scheduler and kube-controller-manager from Debian's own source package
# (Kubernetes 1.20, everything it needs vendored in it) with Debian's Go. For `make test-k8s` only.
#
#   scripts/build-kubernetes.sh FOLDER     (nothing to do where FOLDER/ready says they are there)
#
# About six minutes of two cores and 4 GB of scratch space, once; 255 MB are kept.
set -eu
programs="kube-apiserver kube-scheduler kube-controller-manager"
to_build="golang-go jq rsync make dpkg-dev"
to_run="etcd-server openssl"

say() { echo "kubernetes: $*"; }
fail() {
    echo "kubernetes: $*" >&2
    exit 1
}

[ $# = 1 ] || fail "usage: $0 FOLDER"
mkdir -p "$1"
out=$(cd "$1" && pwd -P)
built=no
[ -e "$out/ready" ] && built=yes

if ! command -v apt-get >/dev/null; then
    [ "$built" = yes ] && command -v etcd >/dev/null && command -v openssl >/dev/null && exit 0
    fail "etcd and openssl are needed, and $programs in $out with a file named ready; they are built from Debian's source package, which needs Debian 12 or a derivative"
fi
tools=$to_run
[ "$built" = yes ] || tools="$to_run $to_build"
wanted=""
for tool in $tools; do
    dpkg-query -W -f '${Status}' "$tool" 2>/dev/null | grep -q 'ok installed' || wanted="$wanted $tool"
done
if [ -n "$wanted" ]; then
    [ "$(id -u)" = 0 ] || fail "missing packages. As root: apt-get install --no-install-recommends$wanted"
    say "installing$wanted"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $wanted >/dev/null
fi
[ "$built" = yes ] && exit 0

scratch=$(mktemp -d "${TMPDIR:-/tmp}/kubernetes-build.XXXXXX")
trap 'chmod -R u+w "$scratch" 2>/dev/null; rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM HUP

# Source packages come through a list of our own: the machine's apt configuration stays as it is.
mkdir -p "$scratch/apt/lists/partial" "$scratch/apt/cache/archives/partial" "$scratch/apt/sources" "$scratch/packages"
for list in /etc/apt/sources.list.d/debian*.sources; do
    [ -e "$list" ] && sed 's/^Types:.*/Types: deb-src/' "$list" >"$scratch/apt/sources/$(basename "$list")"
done
[ -e /etc/apt/sources.list ] && sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$scratch/apt/sources/main.list"
cat >"$scratch/apt/conf" <<CONF
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$scratch/apt/sources";
Dir::State::lists "$scratch/apt/lists";
Dir::Cache "$scratch/apt/cache";
APT::Sandbox::User "root";
CONF

say "fetching the source package"
cd "$scratch/packages"
APT_CONFIG=$scratch/apt/conf apt-get update -qq
APT_CONFIG=$scratch/apt/conf apt-get source -qq --download-only kubernetes >/dev/null
tree=$scratch/go/src/k8s.io/kubernetes
mkdir -p "$(dirname "$tree")"
dpkg-source --no-check -x kubernetes_*.dsc "$tree" >/dev/null
# Debian calls it 1.20.5+really1.20.2.
version=$(ls kubernetes_*.dsc | sed "s/^kubernetes_//; s/.*really//; s/[^0-9.].*//")

# The vendored reflect2 (1.0.1) reads Go's own maps in a way that crashes from Go 1.18 on; Debian has 1.0.2.
apt-get download -qq golang-github-modern-go-reflect2-dev
dpkg-deb -x golang-github-modern-go-reflect2-dev_*.deb "$scratch/reflect2"
vendored=$tree/vendor/github.com/modern-go/reflect2
rm -rf "$vendored"
cp -r "$scratch/reflect2/usr/share/gocode/src/github.com/modern-go/reflect2" "$vendored"

say "building $programs $version with $(go version | cut -d ' ' -f 3): about six minutes"
cd "$tree"
what=""
for program in $programs; do what="$what cmd/$program"; done
if ! env HOME="$scratch" GOPATH="$scratch/go" GOCACHE="$scratch/go-cache" GOFLAGS="-p=2" CGO_ENABLED=0 \
    KUBE_GIT_VERSION="v$version" KUBE_GIT_COMMIT=debian KUBE_GIT_TREE_STATE=clean \
    KUBE_GIT_MAJOR="${version%%.*}" KUBE_GIT_MINOR="$(echo "$version" | cut -d . -f 2)" \
    KUBE_STATIC_OVERRIDES="$programs" \
    nice -n 10 make WHAT="$what" >"$out/build.log" 2>&1; then
    tail -n 20 "$out/build.log" >&2
    fail "the build failed: the whole of it is in $out/build.log"
fi
for program in $programs; do cp "_output/bin/$program" "$out/$program"; done
echo "$version" >"$out/ready"
say "done: $out"
