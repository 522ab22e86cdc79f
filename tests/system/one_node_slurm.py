"""A real Slurm of one node in a temporary folder: munged, slurmctld and slurmd with their own keys, sockets and loopback
ports, run as whoever runs the tests. Nothing of the system's own Slurm is read or touched."""

import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

USER = pwd.getpwuid(os.getuid()).pw_name

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
CryptoType=crypto/munge
# A requeued job waits until the credential of its first start has expired.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
SchedulerParameters=sched_interval=2,batch_sched_delay=1
ReturnToService=2
SlurmdParameters=config_overrides
InactiveLimit=0
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=6 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP GraceTime=60
# What needs the machine here takes it from the jobs of main, which are told so.
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
"""


# Beside these a job passes through states that only look like an end, such as SIGNALING and COMPLETING.
ENDED = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(what, condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.2)


class OneNodeSlurm:
    """with OneNodeSlurm() as slurm: job = slurm.submit(...); slurm.wait(job)"""

    def __enter__(self):
        # Sockets' paths are short, and munge asks that no one else can write to the folder or those above it.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="slurm.", dir="/tmp"))
        self.folder.chmod(0o755)
        self.daemons = []
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "OMPI_COMM", "PMIX_"))}
        self.environment["SLURM_CONF"] = str(self.folder / "slurm.conf")
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir()
        controller_port, node_port = free_ports(2)
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(
            host=socket.gethostname().split(".")[0], folder=self.folder, user=USER,
            controller_port=controller_port, node_port=node_port))
        key = self.folder / "munge" / "key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        self.daemon("munged", "--foreground", f"--key-file={key}", f"--socket={self.folder}/munge.socket",
                    f"--pid-file={self.folder}/munge/pid", f"--seed-file={self.folder}/munge/seed", "--num-threads=2",
                    f"--log-file={self.folder}/munge/log")
        wait_for("munged", (self.folder / "munge.socket").exists, 20)
        self.daemon("slurmctld", "-D", "-i")
        wait_for("slurmctld", lambda: "UP" in self.command("scontrol", "ping", check=False), 60)
        self.daemon("slurmd", "-D")
        wait_for("slurmd", lambda: self.command("sinfo", "-h", "-o", "%T", check=False).strip() == "idle", 60)

    def daemon(self, name, *arguments):
        # Where sbin is not in a user's PATH.
        program = shutil.which(name) or f"/usr/sbin/{name}"
        log = open(self.folder / f"{name}.out", "wb")
        self.daemons.append(subprocess.Popen([program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             env=self.environment, start_new_session=True))
        log.close()

    def __exit__(self, *exception):
        if len(self.daemons) == 3:
            self.command("scancel", "--full", "--signal=KILL", f"--user={USER}", check=False)
            self.command("scancel", f"--user={USER}", check=False)
            try:
                wait_for("the last job's end", lambda: not self.command("squeue", "-h", check=False).strip(), 30)
            except TimeoutError:
                pass
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        if exception and exception[0] is not None:
            for log in sorted(self.folder.glob("slurm*.log")):
                print(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-40:]))
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *arguments, check=True, **environment):
        done = subprocess.run(arguments, env=self.environment | environment, capture_output=True, text=True, timeout=60)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def submit(self, *arguments, cwd, **environment):
        """sbatch with these arguments from the folder cwd; returns the job's number."""
        return self.command("sbatch", "--parsable", f"--chdir={cwd}", *map(str, arguments), **environment).strip()

    def job(self, number):
        """The fields of scontrol show job."""
        return dict(re.findall(r"(\S+?)=(\S*)", self.command("scontrol", "-o", "show", "job", number)))

    def has_ended(self, number):
        return self.job(number)["JobState"] in ENDED

    def wait(self, number, seconds):
        """Waits for the job's end and returns its fields."""
        wait_for(f"the end of job {number}", lambda: self.has_ended(number), seconds)
        return self.job(number)

    def wait_while_alive(self, number, what, condition, seconds):
        """Waits for the condition; a job that has ended before it is an error that shows the job's log."""
        wait_for(what, lambda: condition() or self.has_ended(number), seconds)
        if not condition():
            fields = self.job(number)
            log = pathlib.Path(fields["StdOut"]).read_text()
            raise AssertionError(f"{what}: the job ended before, {fields['JobState']} {fields['ExitCode']}\n{log}")
