#!/bin/sh
# Answers each !ping in a room with exactly one pong, across network failures.
#   sh bot.sh [http://localhost:3000 [room]]
site=${1:-http://localhost:3000} room=${2:-lobby}
secret=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
id=$(mktemp)            # of the last event that was handled
trap 'rm -f "$id"' EXIT
trap 'exit 1' INT TERM
while :; do
	now=$(cat "$id") event=
	curl -sN "$site/subscribe?events=1&name=bot&room=$room&last_event_id=$now" | while read -r field value; do
		case $field in
		event:) event=$value ;;
		id:) now=$value ;;
		data:)
			case $event$value in # messages have no event name
			'{'*'"text":"!ping"'*)
				# the same for every attempt, and impossible to guess; on macOS use shasum -a 256
				nonce=$(printf %s "$secret$now" | sha256sum | cut -c1-32)
				# if the post fails, reconnect and read this message again
				curl -sf --retry 5 --retry-connrefused -o /dev/null \
					-d '{"text":"pong","name":"bot","nonce":"'"$nonce"'"}' "$site/update?room=$room" || break ;;
			esac
			echo "$now" >"$id" ;;
		'') event= ;;
		esac
	done
	sleep 1
done
