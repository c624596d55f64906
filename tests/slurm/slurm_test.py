"""deploy/slurm in a real Slurm on loopback, with a real service.

    python3 tests/slurm/slurm_test.py BIN_DIR SOURCE_DIR

Exits with 77 (skipped) where Slurm or root is missing.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import cluster
import service
import site_files

BIN, SOURCE = (sys.argv + ["", ""])[1:3]
KINDS = {"a": "o3_default", "b": "o3_r038", "c": "o3_r039", "d": "o3_r060"}


def lines_of_perfvec(text):
    return re.findall(r"(?<=lua: perfvec: ).*", text)


class SlurmTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="perfvec_slurm_")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.service = cls.enterClassContext_(
            service.Service(BIN, SOURCE, cls.folder))
        sample = f"{SOURCE}/deploy/samples/kdtree_nn"
        cls.service.add("prog", *service.cut_text_pair(
            f"{sample}/trace.txt.zst", f"{sample}/trace.sq.txt.zst",
            cls.folder, 8000))
        cls.environment = site_files.write(
            cls.folder, cls.service.http, KINDS,
            program_from=["comment", "environment", "executable"])
        os.mkdir(cls.folder + "/cluster")
        cls.cluster = cls.enterClassContext_(cluster.Cluster(
            cls.folder + "/cluster", {kind: 1 for kind in KINDS},
            filter_file=site_files.write_filter(cls.folder, SOURCE),
            environment=cls.environment))

    @classmethod
    def enterClassContext_(cls, manager):  # in unittest since Python 3.11
        value = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)
        return value

    def setUp(self):
        self.jobs = []
        self.site(program_from=["comment", "environment", "executable"])
        self.perfvec_slurm("check", "--write")
        cache = self.folder + "/perfvec-slurm.json"
        if os.path.exists(cache):
            os.remove(cache)

    def site(self, server=None, **more):
        # A deadline for a machine that runs other tests too; a program cut short
        # may be unlike whole ones.
        site_files.write(self.folder, server or self.service.http, KINDS,
                         **dict({"deadline_ms": 5000, "tolerance": 0,
                                   "trust_any_program": True}, **more))

    def perfvec_slurm(self, *words, check=True, environment=None):
        return self.service.perfvec(
            "slurm", *words, check=check,
            environment=dict(self.cluster.environment, **(environment or {})))

    def best(self, objective="time"):
        rank = json.loads(self.service.perfvec(
            "rank", "prog", "--objective", objective, "--json",
            *itertools.chain(*(["--candidate", name]
                               for name in KINDS.values()))).stdout)
        name = rank["items"][0]["name"].split("@")[0]
        return next(kind for kind in KINDS if KINDS[kind] == name)

    def submit(self, *options, environment=None, command=("sbatch",)):
        """The kind of node that ran it, what the filter said, the job."""
        result = self.cluster.run(
            *command, "-v", "-o", "/dev/null", *options, "--wrap", "true",
            environment=environment)
        said = lines_of_perfvec(result.stderr)
        job = re.search(r"\d+", result.stdout).group(0)
        self.cluster.await_idle(30)
        fields = self.cluster.job(job)
        self.assertEqual(fields["JobState"], "COMPLETED", fields)
        return self.cluster.kind_of.get(fields["NodeList"]), said, fields

    def assert_untouched(self, word, *options):
        """Submitted as it was; that it ran is seen at the end."""
        result = self.cluster.run("sbatch", "-v", "-o", "/dev/null", *options,
                                  "--wrap", "true")
        said = lines_of_perfvec(result.stderr)
        self.assertEqual(len(said), 1, said)
        self.assertIn("no hint: ", said[0])
        self.assertIn(word, said[0])
        self.jobs.append(re.search(r"\d+", result.stdout).group(0))

    def tearDown(self):
        self.cluster.await_idle(60)
        for job in self.jobs:
            self.assertEqual(self.cluster.job(job)["JobState"], "COMPLETED")

    def test_a_job_runs_on_the_kind_of_node_that_suits_it(self):
        best = self.best()
        kind, said, _ = self.submit("--comment=x perfvec=prog,y")
        self.assertEqual((kind, said), (best, [f"prog: prefer={best}"]))
        kind, said, fields = self.submit(
            environment={"PERFVEC_PROGRAM": "prog"})
        self.assertEqual((kind, said), (best, [f"prog: prefer={best}"]))
        self.assertEqual(fields["Comment"], "perfvec=prog")  # for learning
        self.assertEqual(self.submit()[1], [])  # it names no program

    def test_an_executable_is_known_by_its_content(self):
        path = self.folder + "/it's a program"
        with open(path, "w") as file:
            file.write("#!/bin/sh\nexit 0\n")
        os.chmod(path, 0o755)
        digest = subprocess.run(["sha256sum", path], check=True, text=True,
                                stdout=subprocess.PIPE).stdout.lstrip("\\")
        self.service.perfvec("program", "update", "prog", "--tag",
                             "executable_sha256=" + digest.split()[0])
        run = self.cluster.run("srun", "-v", path)
        self.assertEqual(lines_of_perfvec(run.stderr),
                         [f"prog: prefer={self.best()}"])
        run = self.cluster.run("srun", "-v", "true")
        self.assertEqual(lines_of_perfvec(run.stderr),
                         ["no hint: no program has this executable"])

    def test_the_objective_decides(self):
        cheap = next(kind for kind in KINDS if kind != self.best())
        for kind, name in KINDS.items():
            self.service.perfvec("arch", "update", name, "--price",
                                 "0.01" if kind == cheap else "10")
        self.site(objective="cost")
        self.assertEqual(self.submit("--comment=perfvec=prog")[0], cheap)
        self.site(objective="cost", fill="constraint")
        kind, said, fields = self.submit("--comment=perfvec=prog")
        self.assertEqual((kind, fields["Features"]), (cheap, cheap))
        self.assertEqual(said, [f"prog: constraint={cheap}"])
        self.site(tolerance=1000)
        self.assert_untouched("alike", "--comment=perfvec=prog")

    def test_what_slurm_would_refuse_is_left_alone(self):
        # Slurm refuses jobs whose preferred nodes cannot take them.
        self.site()
        name = "--comment=perfvec=prog"
        self.assert_untouched("more than one node", name, "-N2")
        self.assert_untouched("features", name, "--constraint=a")
        self.assert_untouched("--nodelist", name, "-w", "n01")
        self.assert_untouched("--exclude", name, "-x", "n01")
        self.assert_untouched("no mapped kind", name, "-n", "2")
        self.cluster.await_idle(60)
        kind, said, _ = self.submit(name, "--mem=500M", "--time=5", "-J", "j")
        self.assertEqual((kind, len(said)), (self.best(), 1))
        with open(self.folder + "/nodes.json") as file:
            nodes = json.load(file)
        self.assertEqual(nodes["partitions"]["main"]["a"],
                         {"nodes": 1, "cpus": 1, "memory_mb": 1000})
        # Without the list of nodes nothing is known to be safe.
        os.remove(self.folder + "/nodes.json")
        self.assert_untouched("nodes.json", name)

    def test_whatever_is_wrong_the_job_is_submitted(self):
        name = "--comment=perfvec=prog"
        self.site()
        self.assert_untouched('"nosuch" is unknown', "--comment=perfvec=nosuch")
        self.site(server="127.0.0.1:1")
        self.assert_untouched("connection refused", name)
        self.assert_untouched("a moment ago", name)
        for text in ["", "{", "[]", "{}", '{"server": 7}', '{"server": "h:1"}',
                     '{"server": "127.0.0.1:1", "features": 3}',
                     '{"server": "127.0.0.1:1", "features": {"a": null}}',
                     '{"server": "127.0.0.1:1", "features": {"a|b": {}}}',
                     '{"server": "127.0.0.1:1", "features": [1]}']:
            with open(self.folder + "/site.json", "w") as file:
                file.write(text)
            self.assert_untouched("site.json: ", name)
        os.remove(self.folder + "/site.json")
        self.assert_untouched("site.json: ", name)
        self.site()
        for text in ["", "{", "[]", '{"partitions": 1}', "null",
                     '{"partitions": {"main": {"a": 1}}}']:
            with open(self.folder + "/nodes.json", "w") as file:
                file.write(text)
            self.assert_untouched("", name)
        self.perfvec_slurm("check", "--write")
        self.cluster.await_idle(60)
        for text in ["", "{", '[1]', '{"down": 3}']:
            with open(self.folder + "/perfvec-slurm.json", "w") as file:
                file.write(text)
            self.assertEqual(self.submit(name)[1][0][:12], "prog: prefer")

    def test_old_answers_count_while_the_service_is_silent(self):
        name = "--comment=perfvec=prog"
        self.site(cache_seconds=1)
        best = [f"prog: prefer={self.best()}"]
        self.assertEqual(self.submit(name)[1], best)
        cache = self.folder + "/perfvec-slurm.json"
        with open(cache) as file:
            kept = json.load(file)
        for entry in kept.values():
            entry["until"] -= 3600
        with open(cache, "w") as file:
            json.dump(kept, file)
        # The key has the address: the same one, and nobody there.
        self.service.stop_answering()
        try:
            self.site(cache_seconds=1, deadline_ms=50)
            self.assertEqual(self.submit(name)[1], best)
            self.assertEqual(self.submit(name)[1], best)  # a moment ago
            for entry in kept.values():
                entry["until"] -= 86400
            with open(cache, "w") as file:
                json.dump(kept, file)
            self.assert_untouched("timeout", name)
        finally:
            self.service.go_on()

    def test_check_and_learn(self):
        said = self.perfvec_slurm("check").stdout
        self.assertNotIn("FAILED", said)
        self.assertIn(f"prog: prefer={self.best()}", said)
        self.site(server="127.0.0.1:1")
        failed = self.perfvec_slurm("check", check=False)
        self.assertEqual(failed.returncode, 6, failed.stderr)
        self.assertRegex(failed.stdout, "FAILED +sbatch +no hint: 127.0.0.1:1")
        self.site()
        site_files.write(self.folder, self.service.http,
                         dict(KINDS, nosuch="nosuch"), deadline_ms=5000,
                         trust_any_program=True)
        failed = self.perfvec_slurm("check", check=False)
        self.assertRegex(failed.stdout, "FAILED +feature nosuch ")
        self.assertRegex(failed.stdout, "FAILED +architecture nosuch ")
        os.remove(self.folder + "/nodes.json")
        failed = self.perfvec_slurm("check", check=False)
        self.assertRegex(failed.stdout, "FAILED +list of nodes ")
        self.site()

        # Jobs as the accounting tells of them.
        node = next(n for n, kind in self.cluster.kind_of.items()
                    if kind == "b")
        jobs = self.folder + "/jobs.txt"
        with open(jobs, "w") as file:
            file.write("JobID|State|ExitCode|NNodes|NodeList|ElapsedRaw|"
                       f"Comment\n1|COMPLETED|0:0|1|{node}|60|perfvec=prog\n"
                       f"2|COMPLETED|0:0|1|{node}|62|x perfvec=prog | y\n"
                       f"3|FAILED|1:0|1|{node}|5|perfvec=prog\n")
        learned = self.perfvec_slurm("learn", "--sacct", jobs, "--print")
        self.assertEqual(learned.stdout, "# b\nprog 60s,62s\n")
        self.assertIn("1 left out: not completed", learned.stderr)
        learned = self.perfvec_slurm("learn", "--sacct", jobs, "--dry-run")
        self.assertIn("o3_r038 (not registered)", learned.stdout)

    def test_zz_the_service_stops_in_the_middle(self):
        # Every job asks: neither its answers nor its silence are remembered.
        self.site(cache_seconds=0, retry_seconds=0)
        file = self.folder + "/hint_seconds"
        os.remove(file)
        for number in range(24):
            if number == 8:
                self.service.stop_answering()
                self.site(cache_seconds=0, retry_seconds=0, deadline_ms=50)
            if number == 16:
                self.service.kill()
            result = self.cluster.run("sbatch", "-o", "/dev/null",
                                      "--comment=perfvec=prog", "--wrap",
                                      "true")
            self.jobs.append(re.search(r"\d+", result.stdout).group(0))
            said = lines_of_perfvec(result.stderr)
            word = [None, "timeout", "refused"][number // 8]
            self.assertEqual([word and word in line for line in said],
                             [True] if word else [])
        took = site_files.hint_seconds(self.folder)
        self.assertEqual(len(took), 24)
        # No test of time: the deadline of 50 ms, and a machine's worst day.
        self.assertLess(max(took), 5)
        print("longest hint:", max(took), "s")


if __name__ == "__main__":
    why = cluster.missing()
    if why:
        print("skipped:", why)
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
