#!/bin/sh
# Submits a batch to Batchyard and waits for its end, with Debian's amqp-tools alone.
# They cannot set the AMQP property `type`; the routing key stands for it.
set -eu
url=${BATCHYARD_AMQP_URL:-amqp://guest:guest@127.0.0.1}
url=${url%/} # these tools take the slash at the end for a virtual host without a name
# A UUID of version 7: the time in milliseconds, then random digits.
hex=$(printf '%012x' "$(date +%s%3N)")7$(od -An -N 10 -t x1 /dev/urandom | tr -d ' \n')
batch=$(echo "$hex" | sed 's/\(.\{8\}\)\(.\{4\}\)\(.\{4\}\).\(.\{3\}\)\(.\{12\}\).*/\1-\2-\3-8\4-\5/')
command='{"workload": "noop", "batch_id": "'$batch'", "items": [{"payload": {"n": 3}}, {"payload": {"n": 4}}]}'

folder=$(mktemp -d)
mkfifo "$folder/events"
timeout 60 amqp-consume -u "$url" -e batchyard.events -r batch.finished.v1.noop.default -x -A -- \
  sh -c 'cat; echo' > "$folder/events" 2>&1 &
listener=$!
trap 'kill "$listener" 2> /dev/null || true; rm -r "$folder"' EXIT
exec 3< "$folder/events"
read -r subscribed <&3
echo "$subscribed"
case $subscribed in *"queue name"*) ;; *) exit 1 ;; esac # our queue is there before we submit

amqp-publish -u "$url" -e batchyard.commands -r batch.submit.v1 -p -C application/json -b "$command"
echo "submitted: $batch"

while read -r event <&3; do
  case $event in
    *"$batch"*)
      echo "finished: $event"
      case $event in *'"result":"completed"'*) exit 0 ;; *) exit 1 ;; esac
      ;;
  esac
done
echo "no end of $batch within 60 s: are the services up?" >&2
exit 1
