#!/bin/sh
# Builds the current commit twice, as a released version is built, in different
# folders with different caches. The two binaries must be identical.
set -eu
cd "$(dirname "$0")/.."
caddy=$1 module=$2
version=v0.0.0-$(TZ=UTC git show -s --format=%cd --date=format-local:%Y%m%d%H%M%S)-$(git rev-parse --short=12 HEAD)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# a module proxy that has this version, without the nested modules
proxy=$work/proxy/$module/@v
mkdir -p "$proxy"
echo "{\"Version\":\"$version\"}" >"$proxy/$version.info"
git show HEAD:go.mod >"$proxy/$version.mod"
git archive --format=zip --prefix="$module@$version/" -o "$proxy/$version.zip" HEAD . \
	':!e2e' ':!bench' ':!tools' ':!store/jetstream/clustertest'

go build -modfile=tools/go.mod -o "$work/xcaddy" github.com/caddyserver/xcaddy/cmd/xcaddy
build() {
	mkdir -p "$work/$1"
	GOPROXY=file://$work/proxy,file://$(go env GOMODCACHE)/cache/download,$(go env GOPROXY) GONOSUMDB='*' \
		GOMODCACHE=$work/$1/modules GOCACHE=$2 \
		"$work/xcaddy" build "$caddy" --with "$module@$version" --output "$work/$1/caddy" >"$work/$1/log" 2>&1 || {
		cat "$work/$1/log"
		exit 1
	}
	sha256sum "$work/$1/caddy"
}
build here "$(go env GOCACHE)"
build another-place "$work/cache"
cmp "$work/here/caddy" "$work/another-place/caddy"
