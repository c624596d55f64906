"""One grep follows an upload through the logs of client, server and worker.

    python3 tests/client/request_id_test.py BIN_DIR SOURCE_DIR
"""

import http.client
import json
import re
import sys
import tempfile
import time

BIN, SOURCE = sys.argv[1:3]
sys.path.insert(0, f"{SOURCE}/tests/slurm")
import service  # noqa: E402  (a server and a worker for tests)

MADE = re.compile(r"[0-9a-f]{16}")
INJECTED = "a%0A%7B%22level%22:%22critical%22%7D"  # a, new line, an object


def ask(server, method, path, request_id=None, body=None):
    connection = http.client.HTTPConnection(server.http, timeout=60)
    headers = {} if request_id is None else {"X-Request-Id": request_id}
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.getheader("X-Request-Id")


def lines(path):
    """Every line is one JSON object with what each must have."""
    found = []
    for line in open(path, encoding="utf-8"):
        entry = json.loads(line)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
                            entry["time"]), line
        assert entry["level"] in ("debug", "info", "warning", "error",
                                  "critical"), line
        assert set(entry) <= {"time", "level", "component", "message",
                              "request_id", "job_id"}, line
        found.append(entry)
    return found


def about(path, request_id, component):
    found = [entry for entry in lines(path)
             if entry.get("request_id") == request_id]
    assert all(entry["component"] == component for entry in found)
    return found


def add_program(server, folder, *options):
    sample = f"{SOURCE}/deploy/samples/kdtree_nn"
    text, store = service.cut_text_pair(
        f"{sample}/trace.txt.zst", f"{sample}/trace.sq.txt.zst", folder, 2000)
    server.perfvec("import", "--trace", text, "--store", store, "-o",
                   f"{folder}/t.pvt")
    server.perfvec("upload", f"{folder}/t.pvt", "--program", "kd", "--wait",
                   *options)


def await_lines(path, request_id, component, parts):
    """The lines about a request, once they have said all `parts`."""
    end = time.monotonic() + 60
    while True:
        found = about(path, request_id, component)
        said = " | ".join(entry["message"] for entry in found)
        if all(part in said for part in parts):
            return found
        assert time.monotonic() < end, (parts, said)
        time.sleep(0.05)


def check_upload(server, folder):
    add_program(server, folder, "--request-id", "upload-17")
    job = json.loads(server.perfvec("job", "get", "job-1", "--json").stdout)
    assert job["request_id"] == "upload-17", job
    # The result of the shard comes under the same id.
    found = await_lines(server.server_log, "upload-17", "server", [
        "TraceService/BeginUpload", "TraceService/FinishUpload",
        "ProgramService/CreateProgram", "job job-1 of kd@1",
        "job job-1 ended: JOB_STATE_SUCCEEDED", "WorkerService/CompleteShard"])
    assert any(entry.get("job_id") == "job-1" for entry in found), found
    found = await_lines(server.worker_log, "upload-17", "worker", [
        "job job-1 shard 0: instructions 0 to 2000", "job job-1 shard 0 done"])
    assert all(entry["job_id"] == "job-1" for entry in found), found


def check_http(server):
    status, given = ask(server, "POST", "/v1/programs/kd:represent", "http.1")
    assert (status, given) == (200, "http.1"), (status, given)
    await_lines(server.server_log, "http.1", "server",
                ["ProgramService/RepresentProgram from 127.0.0.1:"])
    # None, one that may stand in no log, one that is too long: a new one.
    for sent in (None, 'x y"', "\u00e9", "a" * 65):
        path = f"/v1/programs/{INJECTED}:represent"
        status, given = ask(server, "POST", path, sent)
        assert status == 400 and MADE.fullmatch(given), (sent, given)
        await_lines(server.server_log, given, "server", ["INVALID_ARGUMENT"])
    # A stream has one, too, and what no call of gRPC is behind.
    assert ask(server, "GET", "/v1/jobs/job-1:watch", "w_2") == (200, "w_2")
    assert ask(server, "GET", "/healthz", "h-3") == (200, "h-3")
    # Reads are in the log at debug only.
    await_lines(server.server_log, "w_2", "server", ["JobService/WatchJob"])
    await_lines(server.server_log, "h-3", "server", ["HTTP GET /healthz"])
    result = server.perfvec("--request-id", "a b", "server", "status",
                            check=False)
    assert result.returncode == 4 and "letters" in result.stderr, result


def check_text(folder):
    with service.Service(BIN, SOURCE, folder, worker=False) as server:
        ask(server, "POST", f"/v1/programs/{INJECTED}:represent", "text-1")
        ask(server, "GET", "/v1/programs/kd", "text-2")
        log = open(server.server_log, encoding="utf-8").read()
        for line in log.splitlines():
            assert re.match(r"\d{4}-\d\d-\d\dT[0-9:.]+Z [a-z]+ \S", line), line
        line, = [line for line in log.splitlines() if "text-1" in line]
        assert line.endswith(" request_id=text-1"), line
        assert "text-2" not in log  # a read, and the level is info


def main():
    as_json = ["--log-format", "json", "--log-level", "debug"]
    with tempfile.TemporaryDirectory(prefix="perfvec_log_") as folder, \
            service.Service(BIN, SOURCE, folder, server_options=as_json,
                            worker_options=as_json) as server:
        check_upload(server, folder)
        check_http(server)
    with tempfile.TemporaryDirectory(prefix="perfvec_log_") as folder:
        check_text(folder)
    print("request ids go from client to worker")


main()
