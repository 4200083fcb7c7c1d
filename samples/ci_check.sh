#!/usr/bin/env bash
# A job for continuous integration: are two sample sets within a distance of each other?
#
#     samples/ci_check.sh A B MAX [options of wdist estimate]
#     samples/ci_check.sh reference.h5 tonight.h5 1.5 --budget 30s
#
# The answer is about the two sets, and proved either way: the lower bound comes from a certified critic, the upper one from an
# explicit transport plan. Exit status: 0 within MAX, 1 further apart, 3 MAX lies between the two bounds, otherwise that of wdist.
set -eu

if [ $# -lt 3 ]; then
    echo "usage: $0 A B MAX [options of wdist estimate]" >&2
    exit 2
fi
a=$1 b=$2 max=$3
shift 3

document=$(mktemp)
trap 'rm -f "$document"' EXIT

"${WDIST:-wdist}" estimate "$a" "$b" --baselines none --quiet "$@" --json > "$document"

"${PYTHON:-python3}" - "$document" "$max" <<'PYTHON'
import json, sys
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

with open(sys.argv[1]) as file:
    samples = json.load(file)["samples"]
maximum = float(sys.argv[2])
lower, upper = max(samples["lower"], 0.0), samples["upper"]
# Shown with four digits that are still proved: a lower bound rounded down, an upper one up.
least = f"{Context(prec=4, rounding=ROUND_FLOOR).create_decimal(lower):g}"
most = None if upper is None else f"{Context(prec=4, rounding=ROUND_CEILING).create_decimal(upper):g}"
if lower > maximum:
    print(f"FAIL: the sets are at least {least} apart, which is more than {maximum:g}")
    sys.exit(1)
if upper is not None and upper <= maximum:
    print(f"PASS: the sets are at most {most} apart, which is within {maximum:g}")
    sys.exit(0)
between = f"{least} and {most or 'an unknown upper bound'}"
print(f"INCONCLUSIVE: the distance lies between {between}, and so does {maximum:g}; train for longer or move the limit")
sys.exit(3)
PYTHON
