"""client/examples, built as docs/clients.md says, against a real server.

    python3 tests/client/examples_test.py BIN_DIR SOURCE_DIR Python|Go

Exits with 77 (skipped) where Debian's gRPC for the language is missing.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

BIN, SOURCE, LANGUAGE = sys.argv[1:4]
sys.path.insert(0, f"{SOURCE}/tests/slurm")
import service  # noqa: E402  (a server and a worker for tests)

CALL = "127.0.0.1:7450 lbm"  # what docs/clients.md asks
CODES = {"Python": ("NOT_FOUND", "UNAVAILABLE", "UNAUTHENTICATED"),
         "Go": ("NotFound", "Unavailable", "Unauthenticated")}[LANGUAGE]


def what_is_missing():
    if LANGUAGE == "Python":
        # Debian's, which has Debian's packages.
        found = subprocess.run(
            ["/usr/bin/python3", "-c", "import grpc, google.protobuf"],
            stderr=subprocess.DEVNULL, check=False)
        return "python3-grpcio" if found.returncode else ""
    for tool in ("go", "protoc-gen-go", "protoc-gen-go-grpc"):
        if not shutil.which(tool):
            return tool
    grpc = "/usr/share/gocode/src/google.golang.org/grpc"
    return "" if os.path.isdir(grpc) else "golang-google-grpc-dev"


def commands():
    """Of docs/clients.md: what builds the example, and what runs it."""
    text = open(f"{SOURCE}/docs/clients.md").read()
    text = text.split(f"## {LANGUAGE}\n")[1].split("\n## ")[0]
    lines = [line.strip() for line in text.splitlines()
             if line.startswith("    ")]
    assert lines[-1].endswith(CALL), lines
    return "\n".join(lines[:-1]), lines[-1]


def run(folder, command, **more):
    # Kept between runs of the test: gRPC takes Go 15 seconds of CPU to compile.
    environment = dict(os.environ, GOCACHE=f"{BIN}/go-cache", GOFLAGS="")
    return subprocess.run(["bash", "-ec", command], cwd=folder, text=True,
                          env=environment, **more)


def check_plain(folder, command):
    with service.Service(BIN, SOURCE, folder) as server:
        def example(program, *more):
            return run(folder, command.replace(
                CALL, " ".join([server.address, program, *more])),
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
            # The languages may round halves differently.
            assert abs(float(line[1]) - item["time_ns"]) <= 0.5, (line, item)
            assert float(line[2]) < float(line[1]) < float(line[3]), line
        # A deadline that none keeps, a name that nobody knows, no server.
        result = example("kdtree_nn", "0.000001")
        assert (result.returncode, result.stdout) == (0, ""), result
        result = example("kdtree_n")
        assert result.returncode == 1, result
        assert result.stderr.startswith(CODES[0] + ": "), result
        assert "kdtree_nn" in result.stderr, result
        server.kill()
        result = example("kdtree_nn")
        assert result.returncode == 1, result
        assert result.stderr.startswith(CODES[1] + ": "), result


def check_secured(folder, command):
    """An encrypted server that asks for a token."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, stderr=subprocess.DEVNULL)
    token = subprocess.run(
        [f"{BIN}/server/perfvec-server", "token", "--tokens",
         f"{folder}/tokens.json", "create", "ci", "--role", "reader"],
        check=True, text=True, stdout=subprocess.PIPE).stdout
    with open(f"{folder}/token", "w") as file:
        file.write(token)
    with service.Service(
            BIN, SOURCE, folder, worker=False, server_options=[
                "--tls-cert", f"{folder}/cert.pem", "--tls-key",
                f"{folder}/key.pem", "--tokens", f"{folder}/tokens.json"]
            ) as server:
        def code(options):
            result = run(folder, command.replace(
                CALL, f"{options} {server.address} nothing"),
                capture_output=True, check=False, timeout=120)
            assert result.returncode == 1, result
            return result.stderr.split(":")[0]

        secured = "--tls-ca cert.pem --token-file token"
        assert code(secured) == CODES[0]  # it was let in, and knows no program
        assert code("--tls-ca cert.pem") == CODES[2]


def main():
    missing = what_is_missing()
    if missing:
        print("skipped: no", missing)
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="perfvec_examples_") as folder:
        build, command = commands()
        os.symlink(f"{SOURCE}/proto", f"{folder}/proto")
        os.symlink(f"{SOURCE}/client", f"{folder}/client")
        run(folder, build, check=True)
        for name, check in (("plain", check_plain), ("secured", check_secured)):
            os.mkdir(f"{folder}/{name}")
            for built in ("stubs", "client", "best_processor"):
                if os.path.exists(f"{folder}/{built}"):
                    os.symlink(f"{folder}/{built}", f"{folder}/{name}/{built}")
            check(f"{folder}/{name}", command)
    print(f"the {LANGUAGE} example works")


main()
