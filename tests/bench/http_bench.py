"""What Predict and Rank cost as JSON over HTTP, against the same over gRPC.

    python3 tests/bench/http_bench.py BIN_DIR SOURCE_DIR [--pairs N] [--rate N]

A server of its own on one core, `perfvec load` on another; runs over HTTP and
over gRPC in turn, at the same constant rate, which both bear. Prints a JSON line
for each kind of call, as tests/bench/pairs.h does: the server's CPU
microseconds a call ("ours": HTTP, "rival": gRPC; ratio above 1: HTTP is
cheaper), and the medians of the runs' latencies in ms, each [HTTP, gRPC].
"""

import argparse
import glob
import json
import os
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../slurm")
import service  # noqa: E402


def cpu_seconds(process):
    nanoseconds = 0
    for path in glob.glob(f"/proc/{process.pid}/task/*/schedstat"):
        with open(path) as file:
            nanoseconds += int(file.read().split()[0])
    return nanoseconds / 1e9


def run(server, call, http, options):
    """CPU microseconds a call, and the run's p50 and p99 in ms."""
    before = cpu_seconds(server.processes[0])
    result = server.perfvec(
        "load", "--rate", str(options.rate), "--arrivals", "constant",
        "--duration", f"{options.seconds}s", "--warm-up", "1ms", "--mix",
        f"{call}=1", "--connections", "4", "--json",
        *(["--http", server.http] if http else []))
    spent = cpu_seconds(server.processes[0]) - before
    one = json.loads(result.stdout)["runs"][0]
    assert one["failed_share"] == 0, one
    all_calls = one["calls"][-1]
    return (1e6 * spent / all_calls["codes"]["OK"],
            all_calls["latency_ms"]["p50"], all_calls["latency_ms"]["p99"])


def percentile(values, share):
    values = sorted(values)
    at = share * (len(values) - 1)
    below = int(at)
    above = min(below + 1, len(values) - 1)
    return values[below] + (at - below) * (values[above] - values[below])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("source")
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})  # what the server inherits
    with tempfile.TemporaryDirectory(prefix="perfvec_bench_") as folder, \
            service.Service(options.bin, options.source, folder) as server:
        os.sched_setaffinity(0, {cores[-1]})
        sample = f"{options.source}/deploy/samples/kdtree_nn"
        server.add("kdtree_nn", *service.cut_text_pair(
            f"{sample}/trace.txt.zst", f"{sample}/trace.sq.txt.zst", folder,
            3000))
        for call in ("predict", "rank"):
            pairs = []
            for i in range(options.pairs + 1):
                order = (True, False) if i % 2 == 0 else (False, True)
                pair = {http: run(server, call, http, options)
                        for http in order}
                if i > 0:  # the first warms up
                    pairs.append((pair[True], pair[False]))
            ratios = [grpc[0] / http[0] for http, grpc in pairs]

            def medians(k):
                return [round(statistics.median(p[side][k] for p in pairs), 4)
                        for side in (0, 1)]
            ours, rival = medians(0)
            print(json.dumps({
                "row": f"http_{call}", "ours": ours, "rival": rival,
                "unit": "us CPU a call",
                "ratio": round(statistics.median(ratios), 3),
                "low": round(percentile(ratios, 0.1), 3),
                "high": round(percentile(ratios, 0.9), 3),
                "p50_ms": medians(1), "p99_ms": medians(2),
                "pairs": len(pairs)}), flush=True)


main()
