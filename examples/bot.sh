#!/bin/sh
# Answers !ping in a room with pong, once each, whatever happens to the network.
#   sh bot.sh [http://localhost:3000 [room]]
site=${1:-http://localhost:3000} room=${2:-lobby}
secret=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
id=$(mktemp)            # of the last event that was dealt with
trap 'rm -f "$id"' EXIT
trap 'exit 1' INT TERM
while :; do
	now=$(cat "$id") event=
	curl -sN "$site/subscribe?events=1&name=bot&room=$room&last_event_id=$now" | while read -r field value; do
		case $field in
		event:) event=$value ;;
		id:) now=$value ;;
		data:)
			case $event$value in # a message has no event
			'{'*'"text":"!ping"'*)
				# the nonce makes a repeat harmless, and nobody can guess it; on a Mac it is shasum -a 256
				nonce=$(printf %s "$secret$now" | sha256sum | cut -c1-32)
				# without an answer, come back for this message
				curl -sf --retry 5 --retry-connrefused -o /dev/null \
					-d '{"text":"pong","name":"bot","nonce":"'"$nonce"'"}' "$site/update?room=$room" || break ;;
			esac
			echo "$now" >"$id" ;;
		'') event= ;;
		esac
	done
	sleep 1
done
