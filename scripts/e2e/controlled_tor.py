"""A tor for `ncprop279 serve --tor-control`: as its owner has it, without a line
for naming, and with a listener of each kind. It knows no network: see alone.py."""

import re
import shutil
import socket
import subprocess
import time

from e2e import CannotStart, alone
from e2e.control import Control, Watcher
from e2e.processes import end

FIRST_PORT = 20_000
PASSWORD = "control-password"

# SocksPorts by what streams they tell apart, or what they refuse.
SOCKS = {
    "plain": "",
    "other": "",
    "addr": "IsolateDestAddr",
    "port": "IsolateDestPort",
    "protocol": "IsolateClientProtocol",
    "no-auth": "NoIsolateSOCKSAuth",
    "no-client": "NoIsolateClientAddr",
    "keep-alive": "KeepAliveIsolateSOCKSAuth",
    "group": "SessionGroup=5",
    "group-addr": "SessionGroup=5 IsolateDestAddr",
    "group-no-auth": "SessionGroup=5 NoIsolateSOCKSAuth",
    "no-ipv6": "NoIPv6Traffic",
    "onions-only": "OnionTrafficOnly",
}

TORRC = """
ControlSocket {folder}/control
ControlPort 127.0.0.1:auto
CookieAuthentication 1
{socks}
SocksPort unix:{folder}/socks
HTTPTunnelPort 127.0.0.1:auto
DNSPort 127.0.0.1:auto
# What makes an internal address in an answer harmful.
ClientRejectInternalAddresses 1
# Switched on when it is needed.
AutomapHostsOnResolve 0
AutomapHostsSuffixes .exit,.onion,.bit
"""


# Runs a command where nothing of this machine's own is below /run, and no port of
# it can be reached.
PRIVATE_RUN = """
ip link set lo up && mount -t tmpfs tmpfs /run && mkdir -m 700 /run/tor && exec "$@"
"""


def in_a_namespace(path, folder, owner):
    """A tor with Debian's control socket, that shares neither /run nor the network
    with this process; None if there can be no such thing."""
    if not shutil.which("nsenter") or not shutil.which("ip"):
        return None
    inside = ["unshare", "--mount", "--net", "sh", "-c", PRIVATE_RUN, "sh"]
    tried = subprocess.run([*inside, "true"], stdin=subprocess.DEVNULL, capture_output=True)
    if tried.returncode != 0:
        return None
    return ControlledTor(path, folder, owner, inside, "ControlSocket /run/tor/control\n")


class ControlledTor:
    def __init__(self, path, folder, owner, inside=(), more=""):
        """`inside` is a command that runs another one."""
        folder.mkdir(mode=0o700)
        self.path = path
        self.inside = inside
        self.folder = folder
        self.control_socket = folder / "control"
        self.asked = FIRST_PORT
        self.process = None
        # Bound and not listening, so that connections to it are refused.
        self.nobody = socket.socket()
        self.nobody.bind(("127.0.0.1", 0))
        hosts = ["127.0.0.1"] * len(SOCKS) + (["[::1]"] if has_ipv6() else [])
        flags = [*SOCKS.values(), ""]
        lines = [f"SocksPort {host}:auto {flag}" for host, flag in zip(hosts, flags)]
        torrc = (alone.TORRC + TORRC + more).format(
            folder=folder,
            nobody=self.nobody.getsockname()[1],
            owner=owner,
            socks="\n".join(lines),
        )
        (folder / "torrc").write_text(torrc)
        (folder / "torrc-defaults").touch()

    def start(self, watch=True):
        # What an earlier run has left would be taken for this one's.
        self.control_socket.unlink(missing_ok=True)
        files = ["-f", self.folder / "torrc", "--defaults-torrc", self.folder / "torrc-defaults"]
        command = [*self.inside, self.path, *files, "--quiet"]
        # Tor may print a failed assertion when it ends.
        with open(self.folder / "stderr", "a") as stderr:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr)
        self.control = self._connect()
        self.watcher = Watcher(self.connect()) if watch else None
        self.version = self.control.must("GETINFO version")[0].partition("=")[2].split()[0]
        self.control_port = _port(self.control.listeners("control"))
        addresses = self.control.listeners("socks")
        ports = [int(one.rpartition(":")[2]) for one in addresses if one.startswith("127.")]
        self.socks = dict(zip(SOCKS, ports))
        self.socks["unix"] = self.folder / "socks"
        for one in addresses:
            if one.startswith("[::1]"):
                self.socks["ipv6"] = ("::1", int(one.rpartition(":")[2]))
        self.http = _port(self.control.listeners("httptunnel"))
        self.dns = _port(self.control.listeners("dns"))

    def _connect(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                return self.connect()
            except OSError:
                time.sleep(0.01)
        raise CannotStart(f"tor did not start:\n{self.log()}")

    def connect(self, address=None):
        """One more controller."""
        cookie = (self.folder / "data/control_auth_cookie").read_bytes()
        return Control(address or self.control_socket, cookie)

    def port(self):
        """A port for a client to ask for that no other client asks for, which is
        how its stream is found."""
        self.asked += 1
        return self.asked

    def leaves_streams(self):
        return self.control.option("__LeaveStreamsUnattached") == "1"

    @property
    def relays(self):
        """What tor tried to reach."""
        return self.watcher.relays

    def progress(self):
        phase = self.control.must("GETINFO status/bootstrap-phase")[0]
        return int(re.search(r"PROGRESS=(\d+)", phase)[1])

    def log(self):
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else "(no log)"

    def stop(self):
        if self.process is None:
            return
        end(self.process)
        self.process = None
        if self.watcher:
            self.watcher.stop()
        self.control.close()

    def close(self):
        self.stop()
        self.nobody.close()


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
        return True
    except OSError:
        return False


def _port(addresses):
    return next(int(one.rpartition(":")[2]) for one in addresses if one.startswith("127."))
