#!/usr/bin/env bash
# A job for continuous integration: is a candidate near enough to the data, and no worse than the last one that was accepted?
#
#     samples/gate.sh DATA CANDIDATE MAX ACCEPTED [options of wdist gate]
#     samples/gate.sh data.h5 tonight.h5 1.5 accepted.json --on samples --critic mean-difference
#
# ACCEPTED is the document of the last candidate that passed. Where there is none yet, MAX alone decides; with one, W1 may also
# have grown by no more than TOLERANCE (5 % unless that variable says otherwise). A candidate that passes takes its place.
#
# Exit status, that of wdist gate: 0 passed, 1 failed, 3 neither is proved, 2 and others if something was wrong.
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
    format=github  # annotations on the page of the job, and its summary
fi
document=$(mktemp "$accepted.XXXXXX")
trap 'rm -f "$document"' EXIT

# An empty array is an error under set -u in the bash of macOS.
"${WDIST:-wdist}" gate "$data" "$candidate" --max "$max" ${baseline[@]+"${baseline[@]}"} \
    --format "$format" --quiet -o "$document" "$@"

mv "$document" "$accepted"  # set -e: only after a pass
