"""A real Slurm on loopback for tests: slurmctld and a slurmd for each node.

    with Cluster(folder, kinds={"a": 2, "b": 2}, filter=True) as cluster:
        cluster.run("sbatch", "--wrap", "true")

Debian's slurmctld, slurmd and slurm-client; root, as slurmd wants it. Every
node has one CPU and its kind as feature; nodes of different kinds take turns in
Slurm's order. Jobs, logs and state live in `folder`.
"""

import os
import shutil
import signal
import socket
import subprocess
import time

TOOLS = ["slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo",
         "scontrol"]

# Slurm's configuration of a cluster that exists only here: no daemon of
# authentication, no cgroups, no accounting.
CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
KillWait=1
"""


def missing():
    """Why a cluster cannot be had here; empty: it can."""
    lacking = [tool for tool in TOOLS if not shutil.which(tool)]
    if lacking:
        return "no " + ", ".join(lacking)
    return "" if os.geteuid() == 0 else "slurmd needs root"


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    def __init__(self, folder, kinds, weights=None, filter_file=None,
                 environment=None):
        """kinds: how many nodes of each; weights: Slurm takes the least first;
        filter_file: the cli_filter.lua to use."""
        self.folder = str(folder)
        for name in ("state", "spool"):
            os.makedirs(f"{self.folder}/{name}")
        ports = free_ports(1 + sum(kinds.values()))
        text = CONFIGURATION.format(folder=self.folder, ports=ports)
        order = sorted((i, kind) for kind, count in kinds.items()
                       for i in range(count))
        self.kind_of = {}
        for number, (_, kind) in enumerate(order, 1):
            name = f"n{number:02}"
            self.kind_of[name] = kind
            text += (f"NodeName={name} NodeHostname=localhost"
                     f" NodeAddr=127.0.0.1 Port={ports[number]} CPUs=1"
                     f" RealMemory=1000 Feature={kind}"
                     f" Weight={(weights or {}).get(kind, 1)}\n")
        text += "PartitionName=main Nodes=ALL Default=YES State=UP\n"
        if filter_file:
            shutil.copy(filter_file, f"{self.folder}/cli_filter.lua")
            text += "CliFilterPlugins=cli_filter/lua\n"
        with open(f"{self.folder}/slurm.conf", "w") as file:
            file.write(text)
        self.environment = dict(os.environ, **(environment or {}))
        for name in list(self.environment):
            if name.startswith(("SLURM_", "SBATCH_", "SRUN_")):
                del self.environment[name]
        self.environment["SLURM_CONF"] = f"{self.folder}/slurm.conf"
        self.daemons = []

    def __enter__(self):
        try:
            self._start("slurmctld", "-D")
            for name in self.kind_of:
                self._start("slurmd", "-D", "-N", name)
            self._wait(lambda: self.run(
                "sinfo", "-h", "-N", "-t", "idle", "-o", "%N",
                check=False).stdout.split() == list(self.kind_of), 60,
                "nodes are not idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in self.daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _start(self, *command):
        with open(f"{self.folder}/daemons.out", "ab") as log:
            self.daemons.append(subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log))

    def _wait(self, done, seconds, what):
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                with open(f"{self.folder}/slurmctld.log") as log:
                    raise RuntimeError(f"{what} after {seconds} s\n"
                                       f"{log.read()[-3000:]}")
            time.sleep(0.1)

    def run(self, *command, check=True, environment=None):
        result = subprocess.run(
            command, env=dict(self.environment, **(environment or {})),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=60, check=False, cwd=self.folder)
        if check and result.returncode:
            raise RuntimeError(f"{command}: {result.returncode}\n"
                               f"{result.stdout}{result.stderr}")
        return result

    def job(self, job_id):
        """The fields of `scontrol show job`."""
        words = self.run("scontrol", "show", "job", str(job_id),
                         "--oneliner").stdout.split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def await_idle(self, seconds):
        """Until no job is left."""
        self._wait(lambda: not self.run("squeue", "-h").stdout.strip(),
                   seconds, "jobs are not done")
