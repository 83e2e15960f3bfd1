#!/bin/sh
# Runs three NATS servers and three Caddys as one chat on this machine, until
# Ctrl-C. They store their data in ./data.
set -eu
cd "$(dirname "$0")"
caddy=${CADDY:-../../caddy}
[ -x "$caddy" ] || { echo "there is no $caddy: run 'make build' first, or set CADDY"; exit 1; }

nats=${NATS_SERVER:-./data/bin/nats-server}
[ -x "$nats" ] || GOBIN=$PWD/data/bin go install github.com/nats-io/nats-server/v2@v2.15.2

pids=
trap 'trap - EXIT; kill $pids 2>/dev/null; wait' EXIT
trap 'exit 0' INT TERM
mkdir -p data/log
routes=nats://127.0.0.1:6221,nats://127.0.0.1:6222,nats://127.0.0.1:6223
for n in 1 2 3; do
	"$nats" -n "nats-$n" -a 127.0.0.1 -p "422$n" -js -sd "data/nats-$n" \
		--cluster_name chat --cluster "nats://127.0.0.1:622$n" --routes "$routes" >"data/log/nats-$n" 2>&1 &
	pids="$pids $!"
done
for n in 1 2 3; do
	PORT=300$n ADMIN=201$n "$caddy" run --config Caddyfile --adapter caddyfile >"data/log/caddy-$n" 2>&1 &
	pids="$pids $!"
	echo "http://127.0.0.1:300$n (pid $!)"
done
echo "A message sent to one appears on all. Kill any of them, and start this again."
wait
