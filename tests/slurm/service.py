"""perfvec-server and a worker of this build, with the bundled model.

    with Service(BIN, SOURCE, folder) as service:
        service.add("kdtree_nn", "trace.txt", "trace.sq.txt")
        service.perfvec("rank", "kdtree_nn")
"""

import re
import signal
import subprocess
import time


def cut_text_pair(text, store, folder, instructions):
    """The paths of the first `instructions` of gem5's text pair."""
    def lines(path):
        return subprocess.run(
            ["zstd", "-dc", path], check=True, text=True,
            stdout=subprocess.PIPE).stdout.splitlines(keepends=True)

    # A store has nine numbers here, and the rest in the other file.
    head = lines(text)[:instructions]
    stores = sum(len(line.split()) == 9 for line in head)
    paths = [f"{folder}/trace.txt", f"{folder}/trace.sq.txt"]
    for path, part in zip(paths, (head, lines(store)[:stores])):
        with open(path, "w") as file:
            file.writelines(part)
    return paths


class Service:
    def __init__(self, build, source, folder, server_options=(), worker=True,
                 worker_options=()):
        self.bin, self.source, self.folder = build, source, str(folder)
        self.server_options, self.worker = list(server_options), worker
        self.worker_options = list(worker_options)
        # What they have logged.
        self.server_log = self.folder + "/server.log"
        self.worker_log = self.folder + "/worker.log"
        self.address = self.http = None
        self.processes = []

    def __enter__(self):
        with open(self.server_log, "w") as log:
            server = subprocess.Popen(
                [f"{self.bin}/server/perfvec-server",
                 "--data-dir", self.folder + "/data",
                 "--listen", "127.0.0.1:0", "--metrics-listen", "",
                 "--http-listen", "127.0.0.1:0",
                 "--model", f"{self.source}/deploy/models/default",
                 *self.server_options], stderr=log)
        self.processes.append(server)
        said = ""
        while "web page" not in said:
            if server.poll() is not None:
                raise RuntimeError("no server: " + said)
            time.sleep(0.02)
            with open(self.server_log) as log:
                said = log.read()
        self.address = re.search(r"listening on ([0-9.:]+)", said).group(1)
        self.http = re.search(r"on https?://([0-9.:]+)/", said).group(1)
        if not self.worker:
            return self
        with open(self.worker_log, "w") as log:
            self.processes.append(subprocess.Popen(
                [f"{self.bin}/worker/perfvec-worker", "run",
                 "--server", self.address,
                 "--model-cache", self.folder + "/models",
                 *self.worker_options], stderr=log))
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.kill()
            process.wait()

    def stop_answering(self):
        """The server takes connections and says nothing more."""
        self.processes[0].send_signal(signal.SIGSTOP)

    def go_on(self):
        self.processes[0].send_signal(signal.SIGCONT)

    def kill(self):
        self.processes[0].kill()
        self.processes[0].wait()

    def perfvec(self, *arguments, check=True, environment=None):
        result = subprocess.run(
            [f"{self.bin}/client/perfvec", "--server", self.address,
             *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, check=False, env=environment)
        if check and result.returncode:
            raise RuntimeError(f"{arguments}: {result.returncode}\n"
                               f"{result.stdout}{result.stderr}")
        return result

    def add(self, name, text, store):
        """A program from gem5's text pair."""
        trace = f"{self.folder}/{name}.pvt"
        self.perfvec("import", "--trace", text, "--store", store, "-o", trace)
        self.perfvec("upload", trace, "--program", name, "--wait")
