#!/usr/bin/env bash
# A job for continuous integration: which checkpoint is nearest to the data, and is it near enough?
#
#     samples/rank.sh DATA MAX CHECKPOINT CHECKPOINT... [-- options of wdist gate]
#     samples/rank.sh data.h5 reference+10% runs/early.h5 runs/late.h5 -- --on block
#
# Writes ranking.json, ranking.md and gate.json. RANK holds options of `wdist compare` (an environment variable, `--folds 5` by
# default). The summary of a GitHub job starts with the checkpoint that is nearest by estimate, the order that is claimed, and the ranking.
#
# Exit status of wdist gate: 0 passed, 1 failed, 3 neither is proved, 2 or another if something went wrong.
set -eu

usage() {
    echo "usage: $0 DATA MAX CHECKPOINT CHECKPOINT... [-- options of wdist gate]" >&2
    exit 2
}
[ $# -ge 3 ] || usage
data=$1 max=$2
shift 2
checkpoints=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    checkpoints+=("$1")
    shift
done
[ "${#checkpoints[@]}" -gt 0 ] || usage
[ $# -eq 0 ] || shift

# shellcheck disable=SC2086  # RANK holds several words
"${WDIST:-wdist}" compare "$data" "${checkpoints[@]}" ${RANK---folds 5} --quiet -o ranking.json --markdown ranking.md >/dev/null
best=$(python3 -c 'import json; print(json.load(open("ranking.json"))["ranking"][0]["source"]["address"])')

format=text
if [ -n "${GITHUB_ACTIONS:-}" ]; then
    format=github  # annotations and a summary on the page of the job
    {
        printf '## Nearest by estimate: %s\n\n' "$best"
        awk '/^\| nearer/ { exit } NR > 2' ranking.md
        printf '<details><summary>What the ranking says</summary>\n\n'
        awk '/^\| nearer/ { rest = 1 } rest' ranking.md
        printf '\n</details>\n\n'
    } >>"$GITHUB_STEP_SUMMARY"
fi
# The samples that judge the best of n have also chosen it, so its gate may err with an n-th of 5 % only.
confidence=$(python3 -c "print(1 - 0.05 / ${#checkpoints[@]})")
"${WDIST:-wdist}" gate "$data" "$best" --max "$max" --confidence "$confidence" --format "$format" --quiet -o gate.json "$@"
