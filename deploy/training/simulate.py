#!/usr/bin/env python3
"""Simulates programs on many microarchitectures, for training.

Runs the PerfVec authors' gem5 once per (program, microarchitecture), imports
each run with `perfvec import`, merges the latencies of a program's runs with
`perfvec trace merge`, and leaves a data folder that `perfvec-worker train
--data` takes: programs.json, architectures.json, pvt/PROGRAM.pvt.

    simulate.py --gem5 GEM5_DIR --architectures architectures.json \\
        --out DIR --programs catalog.tsv --binaries BIN_DIR [NAME ...]

An interrupted run goes on where it ended: a finished simulation is not
repeated. GEM5_DIR holds build/ARM/gem5.fast and configs/. catalog.tsv has a
line for each program: name, family, language, flags, note. With --sample K each
program runs on K microarchitectures, drawn at random, and is marked partial.

An entry of architectures.json may give "gem5_options". With --auxiliary only
those marked so are simulated, and the programs get the name's suffix
_auxiliary: as they are partial, they go beside the same programs elsewhere.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

# --cpu of the predefined microarchitectures; o3_rNNN and io_rNNN are number
# NNN of the generator of random ones.
PREDEFINED = {
    "cortex_a15_like": "timing",
    "o3_default": "o3",
    "ex5_big": "ex5",
    "post_k": "pk",
    "minor_default": "minor",
    "hpi": "hpi",
    "ex5_little": "ex5l",
}
IN_ORDER = {"minor", "hpi", "ex5l"}


def gem5_options(entry):
    """The options that select a microarchitecture, and whether it is in-order."""
    architecture = entry["name"]
    if "gem5_options" in entry:
        return entry["gem5_options"], entry["kind"] == "in_order"
    if architecture in PREDEFINED:
        cpu = PREDEFINED[architecture]
        return ["--cpu=" + cpu], cpu in IN_ORDER
    found = re.fullmatch(r"(o3|io)_r(\d+)", architecture)
    if not found:
        sys.exit(f"{architecture}: expected a predefined microarchitecture, "
                 "o3_rNNN or io_rNNN")
    cpu = "o3" if found[1] == "o3" else "minor"
    return ["--cpu=" + cpu, f"-r={int(found[2])}"], cpu == "minor"


def run(command, folder, what):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{what}: {' '.join(map(str, command))} ended with "
                           f"{done.returncode}: {done.stdout[-400:]}")


def simulate(args, program, architecture):
    """One run, as a .pvt whose latency column has the architecture's name."""
    out = args.out / "runs" / program / (architecture + ".pvt")
    if out.exists():
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    options, in_order = gem5_options(args.entries[architecture])
    what = f"{program} on {architecture}"
    with tempfile.TemporaryDirectory(dir=args.out) as folder:
        run([args.gem5 / "build/ARM/gem5.fast", "--outdir=m5out",
             args.gem5 / "configs/example/arm/starter_se.py", *options,
             f"--maxinsts={args.instructions}", args.binaries / program],
            folder, what)
        # In-order cores leave some store-exclusives out of their store trace.
        placeholders = ["--placeholders"] if in_order else []
        run([args.perfvec, "import", "--trace", "trace.txt", "--store",
             "sq.trace.txt", "--latency-name", architecture, *placeholders,
             "-o", "run.pvt"], folder, what)
        os.replace(pathlib.Path(folder) / "run.pvt", out)


def instruction_count(args, trace):
    info = subprocess.run([args.perfvec, "trace", "info", "--json", trace],
                          check=True, stdout=subprocess.PIPE, text=True)
    return int(json.loads(info.stdout)["instructions"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gem5", type=pathlib.Path, required=True)
    parser.add_argument("--architectures", type=pathlib.Path, required=True)
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    parser.add_argument("--binaries", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--perfvec", default="perfvec")
    parser.add_argument("--split", default="seen",
                        help="microarchitectures of this split only")
    parser.add_argument("--auxiliary", action="store_true")
    parser.add_argument("--sample", type=int, default=0, metavar="K")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--instructions", type=int, default=110000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("names", nargs="*", help="default: the whole catalog")
    args = parser.parse_args()
    for name in ("gem5", "binaries", "out"):
        setattr(args, name, getattr(args, name).resolve())
    args.perfvec = shutil.which(args.perfvec) or sys.exit(
        f"{args.perfvec}: no such command; give --perfvec")
    (args.out / "pvt").mkdir(parents=True, exist_ok=True)

    architectures = [a for a in json.loads(args.architectures.read_text())
                     if a["split"] == args.split]
    rows = [line.split("\t") for line in
            args.programs.read_text().splitlines()[1:] if line]
    rows = [r for r in rows if not args.names or r[0] in args.names]
    missing = set(args.names) - {r[0] for r in rows}
    if missing or not architectures:
        sys.exit(f"{args.programs}: no {', '.join(sorted(missing))}" if missing
                 else f"{args.architectures}: no architecture of {args.split}")

    rng = random.Random(args.seed)
    args.entries = {a["name"]: a for a in architectures}
    names = [a["name"] for a in architectures
             if a.get("auxiliary", False) == args.auxiliary]
    chosen = {r[0]: rng.sample(names, args.sample) if args.sample else names
              for r in rows}
    failures = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        pending = {pool.submit(simulate, args, program, a): (program, a)
                   for program in chosen for a in chosen[program]}
        for n, done in enumerate(concurrent.futures.as_completed(pending)):
            if done.exception():
                failures.append(pending[done][0])
                print(done.exception(), file=sys.stderr)
            elif n % 100 == 0:
                print(f"{n} of {len(pending)}", file=sys.stderr)

    programs = []
    for name, family, language, flags, note in rows:
        if name in failures:
            print(f"{name}: left out, a simulation failed", file=sys.stderr)
            continue
        called = name + ("_auxiliary" if args.auxiliary else "")
        merged = args.out / "pvt" / (called + ".pvt")
        if not merged.exists():
            runs = [args.out / "runs" / name / (a + ".pvt")
                    for a in chosen[name]]
            run([args.perfvec, "trace", "merge", "--shortest", *runs, "-o",
                 merged], args.out, name)
        programs.append({"name": called, "family": family, "split": "seen",
                         "partial": args.sample > 0 or args.auxiliary,
                         "instructions": instruction_count(args, merged),
                         "language": language, "flags": flags, "note": note})
    (args.out / "programs.json").write_text(json.dumps(programs, indent=1))
    (args.out / "architectures.json").write_text(
        json.dumps(architectures, indent=1))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
