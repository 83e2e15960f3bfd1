#!/bin/sh
# Answers !ping in a room with pong, once each, whatever happens to the network.
#   sh bot.sh [http://localhost:3000 [room]]
site=${1:-http://localhost:3000} room=${2:-lobby}
id=$(mktemp)            # of the last message that was answered
trap 'rm -f "$id"' EXIT
trap 'exit 1' INT TERM
while :; do
	curl -sN "$site/subscribe?name=bot&room=$room&last_event_id=$(cat "$id")" | while read -r field value; do
		case $field in
		id:) now=$value ;;
		data:)
			case $value in
			*'"text":"!ping"'*)
				# the nonce makes a repeat harmless; without an answer, come back for this message
				curl -sf --retry 5 --retry-connrefused -o /dev/null \
					-d '{"text":"pong","name":"bot","nonce":"pong-'"$now"'"}' "$site/update?room=$room" || break ;;
			esac
			echo "$now" >"$id" ;;
		esac
	done
	sleep 1
done
