#!/usr/bin/env python3
"""Trains the bundled model's recipe with one thing changed at a time, and
prints the table of errors on families left out (docs/evaluation.md).

    tests/bench/ablation.py --worker build/release/worker/perfvec-worker \\
        --data DATA [EXTRA ...] --cache CACHE --out DIR [--rows ROW ...]

Every row gets the same number of instruction updates. A row's report lies in
DIR; a row that is there is not repeated, and an interrupted one goes on from its
checkpoint. --jobs 2 trains two rows side by side, --threads each.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import subprocess
import sys

INSTRUCTIONS_PER_UPDATE = 64 * 96
TWENTY = 20  # architectures of the row of that name


def rows(architectures):
    """Name -> (what it is, options)."""
    some = random.Random(20).sample(architectures, TWENTY)
    table = {
        "base": ("the bundled recipe", []),
        "paper": ("paper's recipe: 51 raw features, plain MSE",
                  ["--features", "perfvec-51-v1", "--inputs", "raw",
                   "--loss", "mse", "--window-weight", "0"]),
        "features-51": ("the 51 published features, our encoding and loss",
                        ["--features", "perfvec-51-v1"]),
        "mse": ("plain MSE", ["--loss", "mse", "--window-weight", "0"]),
        "no-window": ("no loss on pieces' sums", ["--window-weight", "0"]),
        "no-cores": ("without reference cores",
                     ["--drop-features", "cores"]),
        "no-machines": ("without reference machines and cores",
                        ["--drop-features", "machines,cores"]),
        "no-memory-branch": ("without memory, branches, machines, cores",
                             ["--drop-features",
                              "memory,branch,machines,cores"]),
        "linear": ("linear", ["--family", "linear"]),
        "mlp": ("MLP", ["--family", "mlp"]),
        "gru": ("GRU-2-256", ["--family", "gru"]),
        "bilstm": ("biLSTM-2-256", ["--family", "bilstm"]),
        "transformer": ("Transformer encoder",
                        ["--family", "transformer"]),
        "lstm-1-256": ("LSTM-1-256", ["--layers", "1"]),
        "lstm-3-256": ("LSTM-3-256", ["--layers", "3"]),
        "lstm-2-64": ("LSTM-2-64", ["--width", "64"]),
        "lstm-2-128": ("LSTM-2-128", ["--width", "128"]),
        "weight-decay": ("weight decay 0.1", ["--weight-decay", "0.1"]),
        "dropout": ("input dropout 0.1", ["--input-dropout", "0.1"]),
        "data-10": ("10 % of the data", ["--data-fraction", "0.1"]),
        "data-50": ("50 % of the data", ["--data-fraction", "0.5"]),
        "architectures-20": ("20 architectures",
                             ["--architectures", ",".join(some)]),
        "lcs_dp-in": ("lcs_dp moved into training", []),
        "first-folder": ("without the programs of further folders", []),
    }
    return table, some


def train(args, name, options):
    report = args.out / f"{name}.json"
    if report.exists():
        return
    families = [f for f in args.validate_families.split(",")
                if f != name.removesuffix("-in")]
    data = args.data[:1] if name == "first-folder" else args.data
    lstm = not any(o in ("linear", "mlp", "gru", "bilstm", "transformer")
                   for o in options)
    partial = report.with_suffix(".partial")
    command = [args.worker, "train", "--config", args.config, "--data", *data,
               "--cache", args.cache, "--updates", str(args.updates),
               "--threads", str(args.threads), "--fit-instructions", "20000",
               "--validate-families", ",".join(families), "--checkpoint",
               args.out / f"{name}.checkpoint", "--report", partial,
               "--log", args.out / f"{name}.log", *options]
    if lstm:
        command += ["--out", args.out / name]
    with open(args.out / f"{name}.out", "w") as out:
        done = subprocess.run(list(map(str, command)), stdout=out,
                              stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise RuntimeError(f"row {name}: see {args.out}/{name}.out")
    os.replace(partial, report)


def mean(report, programs, architectures):
    """Over programs alike, in per cent."""
    each = []
    for p in report["programs"]:
        if p["program"] in programs:
            errors = [p["errors"][a] for a in architectures]
            each.append(sum(errors) / len(errors))
    return 100 * sum(each) / len(each)


def rate(log):
    rates = [json.loads(line).get("instructions_per_second")
             for line in log.read_text().splitlines()]
    rates = sorted(r for r in rates if r)
    return rates[len(rates) // 2] / 1000 if rates else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", required=True)
    parser.add_argument("--data", type=pathlib.Path, nargs="+", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--updates", type=int, default=5000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", nargs="*", help="default: all")
    args = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parents[2]
    args.config = root / "deploy/training/default.json"
    args.validate_families = ",".join(
        json.loads(args.config.read_text())["validate_families"])
    args.out.mkdir(parents=True, exist_ok=True)
    architectures = [
        a["name"]
        for a in json.loads((args.data[0] / "architectures.json").read_text())
        if a["split"] == "seen"]
    table, some = rows(architectures)
    unknown = set(args.rows or []) - set(table)
    if unknown:
        sys.exit(f"no row {', '.join(sorted(unknown))}; there are "
                 f"{', '.join(table)}")
    names = args.rows or list(table)
    failed = False
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        pending = [pool.submit(train, args, n, table[n][1]) for n in names]
        for done in concurrent.futures.as_completed(pending):
            if done.exception():
                print(done.exception(), file=sys.stderr)
                failed = True

    reports = {n: json.loads((args.out / f"{n}.json").read_text())
               for n in table if (args.out / f"{n}.json").exists()}
    if "base" not in reports:
        sys.exit("the row base is missing; train it first")
    base = reports["base"]
    print(f"{args.updates * INSTRUCTIONS_PER_UPDATE / 1e6:.0f} M instruction "
          "updates each; error of total time on families left out\n")
    print("| what is changed | mean | p95 | ratio to the first | on its own "
          "programs | k instr/s |\n|---|---|---|---|---|---|")
    for name, report in reports.items():
        own = architectures if name != "architectures-20" else some
        programs = {p["program"] for p in report["programs"]}
        error = mean(report, programs, own)
        ratio = error / mean(base, programs, own)
        print(f"| {table[name][0]} | {error:.1f} % | "
              f"{100 * report['p95_error']:.1f} % | {ratio:.2f} | "
              f"{100 * report['training_mean_error']:.1f} % | "
              f"{rate(args.out / (name + '.log')):.0f} |")
    sys.exit(failed)


if __name__ == "__main__":
    main()
