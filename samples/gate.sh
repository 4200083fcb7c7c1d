#!/usr/bin/env bash
# A job for continuous integration: is a candidate near enough to the data, and no worse than the last accepted one?
#
#     samples/gate.sh DATA CANDIDATE MAX ACCEPTED [options of wdist gate]
#     samples/gate.sh data.h5 tonight.h5 1.5 accepted.json --on samples
#
# ACCEPTED is the JSON document of the last candidate that passed. Without it, only MAX decides; with it, W1 must not have grown by
# more than TOLERANCE either (an environment variable, 5% by default). A candidate that passes replaces it.
#
# Exit status of wdist gate: 0 passed, 1 failed, 3 neither is proved, 2 or another if something went wrong.
set -eu

if [ $# -lt 4 ]; then
    echo "usage: $0 DATA CANDIDATE MAX ACCEPTED [options of wdist gate]" >&2
    exit 2
fi
data=$1 candidate=$2 max=$3 accepted=$4
shift 4

baseline=()
if [ -f "$accepted" ]; then
    baseline=(--baseline "$accepted" --tolerance "${TOLERANCE:-5%}")
fi
format=text
if [ -n "${GITHUB_ACTIONS:-}" ]; then
    format=github  # annotations and a summary on the page of the job
fi
document=$(mktemp "$accepted.XXXXXX")
trap 'rm -f "$document"' EXIT

# In the bash of macOS, set -u makes an empty array an error.
"${WDIST:-wdist}" gate "$data" "$candidate" --max "$max" ${baseline[@]+"${baseline[@]}"} \
    --format "$format" --quiet -o "$document" "$@"

mv "$document" "$accepted"  # set -e: only after a pass
