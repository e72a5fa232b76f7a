#!/usr/bin/env bash
# Makes a seed of each filter that is compared with jq: ./jq.sh FOLDER.
set -euo pipefail
awk -F '\t' -v folder="$1" '
    FNR > 1 && !/^# / && NF >= 3 {
        file = folder "/agreed-" FNR
        gsub("␤", "\n", $1)
        if ($2 == "event.json") printf "%s", $1 > file
        else printf "%s%c%s", $1, 0, $2 > file
        close(file)
    }' "$(dirname "$0")/../../crates/jq/tests/corpus/agreed.tsv"
