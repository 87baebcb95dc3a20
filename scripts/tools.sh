#!/usr/bin/env bash
# Build servers and tools that no Python package brings, from Go source into .tools/, once for each version.
#
#   scripts/tools.sh NAME...     versitygw (an S3 server), helm, promtool, containers (checks of Dockerfile and compose
#                                file), kube (a control plane, and what operators define in it)
#
# Needs Go. Where there is none, or a build fails, it says so and ends well: the tests that need a tool then skip with
# that reason, and fail with CI=true. Two at a time are safe: the second waits for the first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

HELM=v4.3.1
PROMTOOL=v0.316.0
VERSITYGW=v1.8.0
KEDA=v2.21.0
PROMETHEUS_OPERATOR=v0.85.0
GO_AT_LEAST=1.26

say() { printf 'tools: %s\n' "$*" >&2; }

has_go() {
  local found
  command -v go >/dev/null || { say "no Go, so nothing is built: install Go $GO_AT_LEAST or newer"; return 1; }
  found=$(go env GOVERSION)
  [ "$(printf '%s\n' "go$GO_AT_LEAST" "$found" | sort -V | head -1)" = "go$GO_AT_LEAST" ] ||
    { say "$found is too old, so nothing is built: install Go $GO_AT_LEAST or newer"; return 1; }
}

go_build() { CGO_ENABLED=0 GOFLAGS=-buildvcs=false nice -n 5 go "$@" >&2; }

install_from() { # folder of the result, then what `go install` takes
  local into=$1
  shift
  GOBIN=$into go_build install -trimpath -ldflags "-s -w ${VARIABLES:-}" "$@"
}

# What a stamp remembers: a tool is built again where this changed.
version_of() {
  case $1 in
    helm) echo "$HELM" ;;
    promtool) echo "$PROMTOOL" ;;
    versitygw) echo "$VERSITYGW" ;;
    containers) cat tests/deploy/containers/go.* tests/deploy/containers/*/*.go | sha256sum ;;
    kube) { cat tests/kube/go.mod tests/kube/go.sum && echo "$KEDA $PROMETHEUS_OPERATOR"; } | sha256sum ;;
    *) say "unknown tool $1: known are versitygw, helm, promtool, containers, kube"; exit 2 ;;
  esac
}

# The folder of a Go module's source, which is fetched where it is missing.
source_of() { go mod download "$1" >&2 && go list -m -f '{{.Dir}}' "$1"; }

# A control plane, how simulated nodes behave (stages), and what operators define (crds).
build_kube() { # folder of the result
  local into=$1 version kwok keda prometheus
  cd tests/kube && version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes) &&
    # A build from a module does not know its version, and charts ask the API server for it.
    VARIABLES="-X k8s.io/component-base/version.gitVersion=$version" install_from "$into" tool &&
    kwok=$(go list -m -f '{{.Dir}}' sigs.k8s.io/kwok) &&
    keda=$(source_of "github.com/kedacore/keda/v2@$KEDA") &&
    prometheus=$(source_of "github.com/prometheus-operator/prometheus-operator@$PROMETHEUS_OPERATOR") &&
    rm -rf "$into/stages" "$into/crds" &&
    cp -r "$kwok/kustomize/stage" "$into/stages" &&
    mkdir "$into/crds" &&
    cp "$keda"/config/crd/bases/keda.sh_scaledobjects.yaml \
      "$prometheus"/example/prometheus-operator-crd/monitoring.coreos.com_{podmonitors,prometheusrules}.yaml \
      "$into/crds" &&
    chmod -R u+w "$into/stages" "$into/crds"
}

build() {
  local name=$1 into=$PWD/.tools/$2
  case $name in
    helm) install_from "$into" "helm.sh/helm/v4/cmd/helm@$HELM" ;;
    promtool) install_from "$into" -tags remove_all_sd "github.com/prometheus/prometheus/cmd/promtool@$PROMTOOL" ;;
    versitygw) install_from "$into" "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW" ;;
    containers) (cd tests/deploy/containers && install_from "$into" ./...) ;;
    kube) (build_kube "$into") ;;
  esac
}

has_go || exit 0
mkdir -p .tools/bin .tools/kube
exec 9>.tools/.lock
flock 9
for name in "$@"; do
  wanted=$(version_of "$name")
  folder=bin
  [ "$name" != kube ] || folder=kube
  [ "$(cat ".tools/.$name" 2>/dev/null)" != "$wanted" ] || continue
  say "building $name from source: a minute the first time, several for kube"
  rm -f ".tools/.$name"
  build "$name" "$folder" || { say "$name could not be built; its output is above"; continue; }
  printf '%s' "$wanted" >".tools/.$name"
done
