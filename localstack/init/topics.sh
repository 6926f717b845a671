#!/usr/bin/env bash
# Makes the topics of TOPICS=name=partitions,… at RPK_BROKERS; those that are there stay as they are.
set -euo pipefail
IFS=, read -ra topics <<<"$TOPICS"
for topic in "${topics[@]}"; do
  name="${topic%%=*}"
  if rpk topic describe "$name" >/dev/null 2>&1; then
    echo "$name: is there"
  else
    # Trades may carry event times of long ago as their timestamps: nothing may expire.
    rpk topic create "$name" --partitions "${topic#*=}" --topic-config retention.ms=-1
  fi
done
