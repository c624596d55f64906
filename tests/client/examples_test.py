"""client/examples, built as docs/clients.md says, against a real server.

    python3 tests/client/examples_test.py BIN_DIR SOURCE_DIR

Exits with 77 (skipped) where Debian's gRPC for Python is missing.
"""

import json
import os
import subprocess
import sys
import tempfile

BIN, SOURCE = sys.argv[1:3]
sys.path.insert(0, f"{SOURCE}/tests/slurm")
import service  # noqa: E402  (a server and a worker for tests)

PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's packages


def commands():
    """The indented lines of the first example."""
    text = open(f"{SOURCE}/docs/clients.md").read()
    block = text.split("## Python")[1].split("\n\n")[2]
    lines = [line.strip() for line in block.splitlines()]
    return "\n".join(lines)


def main():
    found = subprocess.run([PYTHON, "-c", "import grpc, google.protobuf"],
                           stderr=subprocess.DEVNULL, check=False)
    if found.returncode:
        print("skipped: no python3-grpcio")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="perfvec_examples_") as folder, \
            service.Service(BIN, SOURCE, folder) as server:
        script = commands()
        make, _, run = script.rpartition("PYTHONPATH=")
        os.symlink(f"{SOURCE}/proto", f"{folder}/proto")
        os.symlink(f"{SOURCE}/client", f"{folder}/client")
        subprocess.run(["bash", "-ec", make], cwd=folder, check=True)
        assert "127.0.0.1:7450 lbm" in run, run

        def example(program, *more):
            line = "PYTHONPATH=" + run.replace(
                "127.0.0.1:7450 lbm", " ".join([server.address, program, *more]))
            return subprocess.run(["bash", "-ec", line], cwd=folder, text=True,
                                  capture_output=True, check=False, timeout=120)

        sample = f"{SOURCE}/deploy/samples/kdtree_nn"
        server.add("kdtree_nn", *service.cut_text_pair(
            f"{sample}/trace.txt.zst", f"{sample}/trace.sq.txt.zst", folder,
            3000))
        rank = json.loads(server.perfvec(
            "rank", "kdtree_nn", "--limit", "3", "--json").stdout)["items"]
        result = example("kdtree_nn")
        assert result.returncode == 0, result
        lines = [line.split() for line in result.stdout.splitlines()]
        assert [line[0] for line in lines] == [
            item["name"] for item in rank], (lines, rank)
        for line, item in zip(lines, rank):
            assert float(line[1]) == round(item["time_ns"]), (line, item)
            assert float(line[2]) < float(line[1]) < float(line[3]), line
        # A deadline that none keeps, a name that nobody knows, no server.
        assert example("kdtree_nn", "0.000001").stdout == ""
        result = example("kdtree_n")
        assert result.returncode == 1, result
        assert result.stderr.startswith("NOT_FOUND: "), result
        assert "kdtree_nn" in result.stderr, result
        server.kill()
        result = example("kdtree_nn")
        assert result.returncode == 1, result
        assert result.stderr.startswith("UNAVAILABLE: "), result
    print("the Python example works")


main()
