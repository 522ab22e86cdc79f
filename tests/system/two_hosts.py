"""Two hosts on one machine: network namespaces, each with a host name of its own, joined by cables of which one can be
long and bad (wire.py), and which can be pulled out. All of it lies in namespaces of its own and goes with the last process.

    10.77.0.254  a bridge, where mpirun runs
    10.77.0.1    hostA, on the bridge
    10.77.0.2    hostB, behind the wire
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from ganymede_runs import kill

HOSTS = {"hostA": "10.77.0.1", "hostB": "10.77.0.2"}
SUBNET = "10.77.0.0/24"
WIRE = [sys.executable, str(pathlib.Path(__file__).with_name("wire.py"))]
NAMESPACES = ["unshare", "--net", "--mount", "sh", "-c"]

SETUP = """set -e
mount -t tmpfs tmpfs /run
mkdir /run/netns
ip link add switch type bridge
ip address add 10.77.0.254/24 dev switch
for link in lo switch; do ip link set $link up; done
# mpirun lingers until its connection to a lost host has timed out: a quarter of an hour, here seconds.
echo 4 > /proc/sys/net/ipv4/tcp_retries2
for host in hostA hostB; do
  ip netns add $host
  ip link add $host type veth peer name eth0 netns $host
  ip link set $host up
  for link in lo eth0; do ip -n $host link set $link up; done
done
ip -n hostA address add 10.77.0.1/24 dev eth0
ip -n hostB address add 10.77.0.2/24 dev eth0
ip link set hostA master switch
ip link add plug type veth peer name socket
for link in plug socket; do ip link set $link up; done
ip link set socket master switch
"""

# mpirun starts its daemon on a host by AGENT ADDRESS COMMAND...
AGENT = """#!/bin/sh
case $1 in 10.77.0.1) host=hostA ;; *) host=hostB ;; esac
shift
exec ip netns exec $host unshare --uts sh -c "hostname $host; $*"
"""


def why_not():
    """Why this machine cannot have them, or ""."""
    missing = [tool for tool in ("ip", "unshare", "nsenter", "hostname") if shutil.which(tool) is None]
    if missing:
        return f"no {', '.join(missing)}: launch/setup.sh --tests installs them"
    tried = subprocess.run([*NAMESPACES, SETUP + "ip netns exec hostB unshare --uts hostname hostB"],
                           capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"no network namespaces here: {tried.stderr.strip()[-300:]}"


class TwoHosts:
    """As a context: the hosts are there inside. `delay` in seconds, one way, and `loss`, the part of frames that is lost,
    are those of hostB's cable."""

    def __init__(self, delay=0.0, loss=0.0):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ganymede."))
        agent = self.folder / "agent"
        agent.write_text(AGENT)
        agent.chmod(0o755)
        script = SETUP + 'ip netns exec hostB "$@" plain eth0\n"$@" plain socket\n' + f'exec "$@" {delay} {loss} hostB plug'
        self.keeper = subprocess.Popen([*NAMESPACES, script, "sh", *WIRE], stdout=subprocess.PIPE, text=True)
        assert self.keeper.stdout.readline() == "ready\n"
        self.spaces = set(self.inside("stat", "-L", "-c", "net:[%i]", "/run/netns/hostA", "/run/netns/hostB").split())
        self.launcher = [*self.entering(), "mpirun", "--mca", "plm_rsh_agent", str(agent), "--mca", "btl", "tcp,self",
                         "--mca", "oob_tcp_if_include", SUBNET, "--mca", "btl_tcp_if_include", SUBNET,
                         "-H", ",".join(f"{address}:1" for address in HOSTS.values()), "-n", str(len(HOSTS)),
                         "--bind-to", "none"]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for pid in [*self.processes(), self.keeper.pid]:
            kill(pid, signal.SIGKILL)
        self.keeper.wait(30)
        self.keeper.stdout.close()
        shutil.rmtree(self.folder)

    def entering(self):
        return ["nsenter", "--target", str(self.keeper.pid), "--net", "--mount", "--"]

    def inside(self, *command):
        return subprocess.run([*self.entering(), *command], check=True, capture_output=True, text=True).stdout

    def unplug(self, host):
        self.inside("ip", "link", "set", {"hostA": "hostA", "hostB": "socket"}[host], "down")

    def processes(self, of=""):
        """Those on the hosts whose command line has these words."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if os.readlink(entry / "ns/net") in self.spaces and of in (entry / "cmdline").read_text():
                    found.append(int(entry.name))
            except OSError:
                pass
        return found
