#!/usr/bin/env bash
# Install what running and testing need, into .venv and (where allowed) with apt. Repeating it costs a few milliseconds.
#
#   scripts/setup.sh [--without-browser]     browser, PostgreSQL, Kafka and what scripts/tools.sh builds are for the tests alone
#
# Needs: Python 3.11 to 3.14. Python packages come in the versions of uv.lock, installed by the uv that pyproject.toml pins.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export UV_PYTHON_DOWNLOADS=never
# Trust what the machine trusts: many sit behind a proxy with a certificate of its own.
[ ! -f /etc/ssl/certs/ca-certificates.crt ] || export UV_SYSTEM_CERTS=1

say() { printf 'setup: %s\n' "$*" >&2; }
give_up() { say "$*"; exit 1; }

# Root, or sudo that asks nothing, may install Debian packages.
apt_install() {
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || return 1
    root=(sudo -n)
  fi
  command -v apt-get >/dev/null || return 1
  say "installing $* with apt"
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >&2 ||
    { "${root[@]}" apt-get -qq update >&2 &&
      "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >&2; }
}

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; }

find_python() {
  local name
  for name in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null && fits "$name"; then command -v "$name"; return; fi
  done
  return 1
}

make_environment() {
  local python pinned
  python=$(find_python) || give_up "no Python 3.11 to 3.14 found: install it, on Debian with 'apt-get install python3 python3-venv'"
  if command -v uv >/dev/null; then
    uv venv --quiet --python "$python" .venv
    return
  fi
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    apt_install python3-venv || give_up "Python cannot make environments: as root, run 'apt-get install python3-venv'"
  fi
  "$python" -m venv .venv
  pinned=$(grep -oE 'uv==[0-9.]+' pyproject.toml)
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "$pinned"
}

install_packages() {
  local uv=.venv/bin/uv
  [ -x "$uv" ] || uv=$(command -v uv) || { rm -rf .venv; make_environment; uv=.venv/bin/uv; }
  say "installing the packages of uv.lock into .venv"
  # Compiled now, for a plant starts twice as fast, also where Python is told to write no bytecode by itself.
  UV_PROJECT_ENVIRONMENT=.venv VIRTUAL_ENV='' "$uv" sync --frozen --all-extras --quiet --compile-bytecode
  .venv/bin/python -m compileall -q src
}

install_browser() {
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null && return
  apt_install chromium || say "no Chromium, so the browser tests will be skipped: as root, run 'apt-get install chromium'"
}

install_postgres() {
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && return
  apt_install postgresql ||
    say "no PostgreSQL, so its tests will be skipped: as root, run 'apt-get install postgresql'"
}

install_broker() {
  command -v java >/dev/null && command -v mvn >/dev/null && return
  apt_install default-jre-headless maven ||
    say "no Java or Maven, so tests with a Kafka broker will be skipped: as root, run 'apt-get install default-jre-headless maven'"
}

# A compiled kernel is cached beside its source, and numba asks only whether that file changed, not those of the kernels
# it calls: once one changed, all that are older go.
drop_stale_kernels() {
  local source cached newest=
  for source in $(grep -rlE '^@(kernel|inlined)$' src --include='*.py' 2>/dev/null); do
    [ "$source" -nt "${newest:-/nowhere}" ] && newest=$source
  done
  for cached in src/powerflock/*/__pycache__/*.nb[ic] src/powerflock/*/*/__pycache__/*.nb[ic]; do
    [ ! -e "$cached" ] || [ "$cached" -nt "$newest" ] || rm -f "$cached"
  done
}

wanted=$(cat pyproject.toml uv.lock | sha256sum)$PWD
stamp=.venv/.setup
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  # An environment cannot be moved, nor outlive its Python.
  if [ -e .venv ] && { ! .venv/bin/python -c '' 2>/dev/null || { [ -f "$stamp" ] && ! grep -qF -- "-$PWD" "$stamp"; }; }; then
    say "the environment in .venv is of no use here: making it anew"
    rm -rf .venv
  fi
  [ -e .venv ] || make_environment
  install_packages
  printf '%s' "$wanted" >"$stamp"
fi
drop_stale_kernels
if [ "${1:-}" != --without-browser ]; then
  install_browser
  install_postgres
  install_broker
  bash scripts/tools.sh versitygw helm promtool containers
fi
