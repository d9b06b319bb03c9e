#!/usr/bin/env python3
"""Two commands in turn (A B B A ...) in one time window; the ratio of a number that each prints in its last line of JSON.

    bench/paired.py [--field bytes_per_s] [--pairs 3] -- A ... -- B ...

Prints one JSON line: medians of A and B, the median of the per-pair ratios A/B with a bootstrap 95 % interval, and the peak
resident memory of each. Shares of a quiet machine only: look at load_before.
"""
import json
import os
import random
import statistics
import subprocess
import sys


def run(command, field):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if status != 0 or not lines:
        sys.exit(f"paired: failed with status {status}: {' '.join(command)}")
    record = json.loads(lines[-1])
    return float(record[field]), usage.ru_maxrss / 1024, record


def interval(ratios):
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(2000))
    return medians[50], medians[1949]


def main(arguments):
    field, pairs = "bytes_per_s", 3
    while arguments and arguments[0] != "--":
        if arguments[0] == "--field":
            field = arguments[1]
        elif arguments[0] == "--pairs":
            pairs = int(arguments[1])
        else:
            sys.exit(__doc__)
        arguments = arguments[2:]
    if arguments.count("--") < 2:
        sys.exit(__doc__)
    cut = arguments.index("--", 1)
    commands = arguments[1:cut], arguments[cut + 1:]
    load = os.getloadavg()[0]
    values, memory, last = ([], []), [0.0, 0.0], [None, None]
    for pair in range(pairs):
        for which in (0, 1) if pair % 2 == 0 else (1, 0):
            value, resident, last[which] = run(commands[which], field)
            values[which].append(value)
            memory[which] = max(memory[which], resident)
    ratios = [a / b for a, b in zip(*values)]
    low, high = interval(ratios)
    print(json.dumps({
        "field": field, "pairs": pairs, "a": round(statistics.median(values[0]), 1), "b": round(statistics.median(values[1]), 1),
        "ratio": round(statistics.median(ratios), 2), "ratio_95": [round(low, 2), round(high, 2)],
        "peak_mb": [round(m) for m in memory], "memory_ratio": round(memory[0] / memory[1], 2), "load_before": round(load, 2),
        "commands": [" ".join(c) for c in commands], "last_a": last[0]}))


main(sys.argv[1:])
