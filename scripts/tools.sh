#!/usr/bin/env bash
# Build servers and tools that tests speak to, each in a pinned version, into .tools/bin. Repeating it costs nothing.
#
#   scripts/tools.sh NAME…     names: versitygw (an S3 server)
#
# Needs: Go 1.25 or newer, and its module proxy.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=$PWD/.tools/bin

install_go() { # NAME MODULE VERSION
  local stamp=$bin/.$1-$3
  [ -e "$stamp" ] && [ -x "$bin/$1" ] && return
  command -v go >/dev/null || { echo "tools: $1 needs Go: install it, on Debian with 'apt-get install golang'" >&2; exit 1; }
  mkdir -p "$bin"
  echo "tools: building $1 $3" >&2
  CGO_ENABLED=0 GOBIN=$bin go install "$2@$3"
  touch "$stamp"
}

for name in "$@"; do
  case $name in
    versitygw) install_go versitygw github.com/versity/versitygw/cmd/versitygw v1.8.0 ;;
    *) echo "tools: there is no tool $name" >&2; exit 2 ;;
  esac
done
