"""What hints gain in a real Slurm: node time of 200 jobs on four kinds of nodes.

    PERFVEC_DATA=DIR python3 tests/bench/slurm_bench.py BIN_DIR SOURCE_DIR

Root, and Debian's slurmctld, slurmd, slurm-client. Kinds are the `seen`
architectures that are fastest on average among those of each of the four highest
clocks; programs are the beginnings of `seen` ones, drawn at random. A job sleeps
for its program's simulated time on the kind of node where it runs, scaled so
that the mean is --mean seconds, and notes when it began and ended.
Jobs arrive at random, --load of what the nodes could take on average.

Policies: `none`; `clock` (nodes of the fastest clock have the least weight in
Slurm); `hints` (the service's); `oracle` (the same mechanism, told the
simulated times). Then jobs are submitted while the service is stopped and
killed. One JSON line each.
"""

import argparse
import array
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../slurm")
import cluster  # noqa: E402
import service  # noqa: E402
import site_files  # noqa: E402

JOB = """#!/bin/bash
read -r _ seconds < <(grep "^$SLURMD_NODENAME:$1 " {folder}/times)
begin=$(date +%s.%N)
sleep "$seconds"
echo "$1 $SLURMD_NODENAME $begin $(date +%s.%N) $seconds" >> {folder}/done
"""


def read_data(folder):
    """Architectures by kind, rows of the latency matrices, programs."""
    with open(f"{folder}/programs.json") as file:
        programs = {p["name"]: p["instructions"] for p in json.load(file)
                    if p["split"] == "seen"}
    with open(f"{folder}/architectures.json") as file:
        listed = json.load(file)
    clocks = {a["name"]: a["frequency_hz"] for a in listed
              if a["split"] == "seen"}
    mean = dict.fromkeys(clocks, 0)
    for program in programs:
        with open(f"{folder}/gem5/{program}/totals.json") as file:
            total = json.load(file)["total"]
        for name in clocks:
            mean[name] += total[name]
    fastest = sorted(set(clocks.values()))[-4:]
    kinds = {f"k{int(clock / 1e6)}": min(
        (n for n in clocks if clocks[n] == clock), key=mean.get)
        for clock in fastest}
    rows = {a["name"]: row for row, a in enumerate(listed)}
    return kinds, {name: rows[name] for name in kinds.values()}, programs


def begin_seconds(folder, program, length, rows, instructions):
    """Simulated time of a program's first instructions by architecture."""
    matrix = subprocess.run(
        ["zstd", "-dc", f"{folder}/gem5/{program}/latency.u16.zst"],
        check=True, stdout=subprocess.PIPE).stdout
    times = {}
    for name, row in rows.items():
        at = 2 * row * length
        times[name] = 1e-10 * sum(
            array.array("H", matrix[at:at + 2 * min(length, instructions)]))
    return times


class Bench:
    def __init__(self, options):
        self.options = options
        self.folder = tempfile.mkdtemp(prefix="perfvec_slurm_bench_")
        data = os.environ["PERFVEC_DATA"]
        self.kinds, matrix_rows, lengths = read_data(data)
        draw = random.Random(options.seed)
        self.programs = draw.sample(sorted(lengths), options.programs)
        times = {p: begin_seconds(data, p, lengths[p], matrix_rows,
                                  options.instructions)
                 for p in self.programs}
        self.jobs = [draw.choice(self.programs) for _ in range(options.jobs)]
        raw = [times[p][a] for p in self.programs for a in self.kinds.values()]
        scale = options.mean * len(raw) / sum(raw)
        self.seconds = {p: {kind: times[p][name] * scale
                            for kind, name in self.kinds.items()}
                        for p in self.programs}
        rate = options.load * options.nodes * len(self.kinds) / options.mean
        at = 0
        self.arrivals = []
        for _ in self.jobs:
            at += draw.expovariate(rate)
            self.arrivals.append(at)

    def best_seconds(self):
        return sum(min(self.seconds[p].values()) for p in self.jobs)

    def hinted_seconds(self, server):
        """If every job ran where the service would have it."""
        total = 0
        for program in self.jobs:
            said = server.perfvec("rank", program, "--limit", "1", "--json",
                                  *sum((["--candidate", a]
                                        for a in self.kinds.values()), []))
            name = json.loads(said.stdout)["items"][0]["name"].split("@")[0]
            kind = next(k for k in self.kinds if self.kinds[k] == name)
            total += self.seconds[program][kind]
        return total

    def run(self, policy, server, filter_file):
        folder = tempfile.mkdtemp(dir=self.folder)
        clocks = sorted(self.kinds, key=lambda kind: -int(kind[1:]))
        weights = {kind: i + 1 for i, kind in enumerate(clocks)}
        with cluster.Cluster(
                folder, {kind: self.options.nodes for kind in self.kinds},
                weights=weights if policy == "clock" else None,
                filter_file=filter_file if policy == "hints" else None,
                environment=self.environment(server)) as slurm:
            with open(folder + "/times", "w") as file:
                for node, kind in slurm.kind_of.items():
                    for program in self.programs:
                        file.write(f"{node}:{program} "
                                   f"{self.seconds[program][kind]:.4f}\n")
            with open(folder + "/job", "w") as file:
                file.write(JOB.format(folder=folder))
            begin = time.time()
            for program, at in zip(self.jobs, self.arrivals):
                time.sleep(max(0, begin + at - time.time()))
                words = ["--comment=perfvec=" + program]
                if policy == "oracle":
                    best = min(self.seconds[program],
                               key=self.seconds[program].get)
                    words.append("--prefer=" + best)
                slurm.run("sbatch", "-o", "/dev/null", *words, folder + "/job",
                          program)
            slurm.await_idle(600)
        with open(folder + "/done") as file:
            rows = [line.split() for line in file]
        assert len(rows) == len(self.jobs), (policy, len(rows))
        return {"policy": policy, "jobs": len(rows),
                "node_seconds": sum(float(r[3]) - float(r[2]) for r in rows),
                "simulated_node_seconds": sum(float(r[4]) for r in rows),
                "makespan_seconds": max(float(r[3]) for r in rows) - begin}

    def environment(self, server, **more):
        environment = site_files.write(self.folder, server.http, self.kinds,
                                       trust_any_program=True,  # cut short
                                       **more)
        site_files.write_nodes(self.folder, self.kinds)
        return environment

    def stop(self, server, filter_file):
        """The service hangs for a third of the jobs, and is gone for
        another; nothing is remembered."""
        folder = tempfile.mkdtemp(dir=self.folder)
        environment = self.environment(server, cache_seconds=0,
                                       retry_seconds=0)
        if os.path.exists(self.folder + "/perfvec-slurm.json"):
            os.remove(self.folder + "/perfvec-slurm.json")
        hints = self.folder + "/hint_seconds"
        if os.path.exists(hints):
            os.remove(hints)
        jobs = self.options.jobs
        lost = 0
        with cluster.Cluster(
                folder, {kind: self.options.nodes for kind in self.kinds},
                filter_file=filter_file, environment=environment) as slurm:
            said = []
            ids = []
            for number in range(jobs):
                if number == jobs // 3:
                    server.stop_answering()
                if number == 2 * jobs // 3:
                    server.kill()
                result = slurm.run(
                    "sbatch", "-o", "/dev/null",
                    "--comment=perfvec=" + self.jobs[number], "--wrap", "true",
                    check=False)
                found = re.search(r"\d+", result.stdout)
                lost += found is None
                ids += [found.group(0)] if found else []
                said.append(len(re.findall("lua: perfvec: ", result.stderr)))
            slurm.await_idle(600)
            lost += sum(slurm.job(i)["JobState"] != "COMPLETED" for i in ids)
        took = sorted(site_files.hint_seconds(self.folder))
        return {"policy": "service stopped", "jobs": jobs, "lost": lost,
                "lines": sum(said), "hint_ms_median": 1e3 * took[len(took) // 2],
                "hint_ms_p99": 1e3 * took[int(0.99 * len(took))],
                "hint_ms_max": 1e3 * took[-1],
                "over_100_ms": sum(t > 0.1 for t in took)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bin")
    parser.add_argument("source")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--programs", type=int, default=20)
    parser.add_argument("--instructions", type=int, default=100000,
                        help="of each program, from its beginning")
    parser.add_argument("--nodes", type=int, default=4, help="of each kind")
    parser.add_argument("--mean", type=float, default=2, help="seconds")
    parser.add_argument("--load", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    why = cluster.missing()
    if why:
        sys.exit(f"slurm_bench: {why}")
    bench = Bench(options)
    with service.Service(options.bin, options.source, bench.folder) as server:
        data = os.environ["PERFVEC_DATA"]
        for program in bench.programs:
            folder = f"{data}/gem5/{program}"
            server.add(program, *service.cut_text_pair(
                f"{folder}/trace.txt.zst", f"{folder}/trace.sq.txt.zst",
                bench.folder, options.instructions))
        filter_file = site_files.write_filter(bench.folder, options.source)
        rows = {}
        for policy in ("none", "clock", "hints", "oracle"):
            rows[policy] = bench.run(policy, server, filter_file)
            print(json.dumps(rows[policy]), flush=True)
        best = bench.best_seconds()
        none = rows["none"]["simulated_node_seconds"]
        gain = {policy: (none - row["simulated_node_seconds"]) / (none - best)
                for policy, row in rows.items()}
        print(json.dumps({"kinds": bench.kinds, "best_node_seconds": best,
                          "if_all_hints_held": bench.hinted_seconds(server),
                          "share_of_best_gain": gain}), flush=True)
        print(json.dumps(bench.stop(server, filter_file)), flush=True)


if __name__ == "__main__":
    main()
