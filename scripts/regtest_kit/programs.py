"""namecoind, ElectrumX and Electrum-NMC as child processes, on regtest."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import secrets
import socket
import subprocess
import time

from scripted_node import free_port

# Seconds that a program may take to start, or to learn of a block.
PATIENCE = 120
LOG_LINES = 20

OLD, NEW, OTHER = ('{"ip":"192.0.2.%d"}' % number for number in (1, 2, 3))


def say(text):
    print(text, flush=True)


def until(what, found, patience=PATIENCE):
    """What `found` returns, as soon as that is true; errors of the network are
    taken for not yet."""
    end = time.monotonic() + patience
    last = None
    while time.monotonic() < end:
        try:
            if result := found():
                return result
        except (OSError, http.client.HTTPException, LookupError, RuntimeError, ValueError) as error:
            last = error
        time.sleep(0.1)
    raise SystemExit(f"FAIL  {what}: not within {patience} s ({last})")


class Programs:
    """What was started. It is ended by its process, whatever happens."""

    def __init__(self, place):
        self.place = place
        self.running = []
        self.plugins = []

    def start(self, name, command, environment=None):
        log = open(self.place / f"{name}.log", "wb")
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | (environment or {}),
            cwd=self.place,
        )
        log.close()
        self.running.append((name, process))

    def alive(self):
        for name, process in self.running:
            if process.poll() is not None:
                raise SystemExit(f"FAIL  {name} ended with status {process.returncode}")
        return True

    def tell_logs(self):
        for name, _ in self.running:
            lines = (self.place / f"{name}.log").read_text(errors="replace").splitlines()
            say("\n".join([f"--- end of the log of {name}", *lines[-LOG_LINES:]]))

    def end(self):
        # The last first: servers before the node that they ask.
        processes = [process for _, process in self.running] + self.plugins
        for process in reversed(processes):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Rpc:
    """JSON-RPC over HTTP; `credentials` gives `user:password`."""

    def __init__(self, port, credentials):
        self.port = port
        self.credentials = credentials

    def __call__(self, method, *params, **named):
        basic = base64.b64encode(self.credentials().encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": named or params})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/", body, headers)
            reply = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if reply.get("error"):
            raise RuntimeError(f"{method}: {reply['error']}")
        return reply["result"]


class Node:
    """namecoind, which has no connections but those for RPC."""

    ELECTRUMX = "electrumx"

    def __init__(self, running, path):
        data = running.place / "namecoin"
        data.mkdir()
        self.port = free_port()
        self.cookie = data / "regtest" / ".cookie"
        self.password = secrets.token_hex(16)
        salt = secrets.token_hex(16)
        hashed = hmac.new(salt.encode(), self.password.encode(), hashlib.sha256).hexdigest()
        options = [
            "-regtest",
            f"-datadir={data}",
            "-server",
            "-rpcbind=127.0.0.1",
            "-rpcallowip=127.0.0.1",
            f"-rpcport={self.port}",
            f"-rpcauth={self.ELECTRUMX}:{salt}${hashed}",
            "-listen=0",
            "-connect=0",
            "-dnsseed=0",
            "-txindex=1",
            "-fallbackfee=0.0002",
        ]
        running.start("namecoind", [path, *options])
        self.rpc = Rpc(self.port, lambda: self.cookie.read_text())
        until("namecoind", lambda: running.alive() and self.rpc("getblockchaininfo"))
        self.rpc("createwallet", "regtest")
        self.address = self.rpc("getnewaddress")
        # The transactions that registered the names.
        self.txids = {}

    def argument(self):
        return f"--rpc-cookie={self.cookie}"

    def url(self):
        return f"http://{self.ELECTRUMX}:{self.password}@127.0.0.1:{self.port}/"

    def mine(self, count):
        self.rpc("generatetoaddress", count, self.address)

    def height(self):
        return self.rpc("getblockcount")

    def register_all(self, settled):
        """Brings the names into their states at the height that it ends at;
        those in `settled` stay as they are registered, with these values.

        Names expire 30 blocks after their last operation, and the Electrum
        source wants 12 confirmations.
        """
        self.mine(150)
        names = ["plain", "updated", "renewed", "expired", "fresh", *settled]
        new = {name: self.rpc("name_new", f"d/{name}") for name in names}
        self.mine(13)

        def first(name, value):
            txid, rand = new[name]
            self.txids[name] = self.rpc("name_firstupdate", f"d/{name}", rand, txid, value)

        first("expired", OLD)
        self.mine(10)
        for name in ("plain", "updated", "renewed"):
            first(name, OLD)
        for name, value in settled.items():
            first(name, value)
        self.mine(1)
        self.rpc("name_update", "d/updated", NEW)
        self.mine(19)
        # 30 blocks after the one of `expired`.
        first("fresh", OTHER)
        self.rpc("name_update", "d/renewed", NEW)
        self.mine(3)


class ElectrumX:
    """A server; each has an index of its own and counts as an operator."""

    def __init__(self, running, name, path, node):
        self.port = free_port()
        index = running.place / name
        index.mkdir()
        environment = {
            "COIN": "Namecoin",
            # ElectrumX 2.0 has no default; older ones take this one.
            "DB_ENGINE": "leveldb",
            "NET": "regtest",
            "DAEMON_URL": node.url(),
            "DB_DIRECTORY": str(index),
            "SERVICES": f"tcp://127.0.0.1:{self.port},rpc://127.0.0.1:{free_port()}",
            "REPORT_SERVICES": "",
            "PEER_DISCOVERY": "off",
            "PEER_ANNOUNCE": "",
            "ALLOW_ROOT": "1",
        }
        running.start(name, [path], environment)

    def height(self):
        """The height that it tells a client."""
        requests = [("server.version", ["regtest", "1.4"]), ("blockchain.headers.subscribe", [])]
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            lines = connection.makefile("rw")
            for number, (method, params) in enumerate(requests):
                request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                reply = json.loads(lines.readline())
        return reply["result"]["height"]

    def wait(self, running, height):
        until(
            f"ElectrumX at block {height}",
            lambda: running.alive() and self.height() >= height,
        )


class ElectrumNmc:
    """Electrum-NMC as a daemon in the foreground, with a server or more."""

    def __init__(self, running, name, path, server_port, one_server=True, proxy=None):
        self.name = name
        self.port = free_port()
        self.config = running.place / f"{name}.toml"
        password = secrets.token_hex(16)
        self.config.write_text(f'rpc-user = "regtest"\nrpc-password = "{password}"\n')
        data = running.place / name
        common = ["--regtest", "-D", str(data)]
        settings = {
            "rpchost": "127.0.0.1",
            "rpcport": self.port,
            "rpcuser": "regtest",
            "rpcpassword": password,
        }
        for key, value in settings.items():
            command = [path, "setconfig", "-o", *common, key, str(value)]
            subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)
        command = [path, "daemon", *common, "-s", f"127.0.0.1:{server_port}:t"]
        if one_server:
            command.append("--oneserver")
        if proxy:
            command += ["--proxy", f"socks5:127.0.0.1:{proxy.port}"]
        running.start(name, command)
        self.rpc = Rpc(self.port, lambda: f"regtest:{password}")
        until(name, lambda: running.alive() and self.rpc("getinfo"))

    def arguments(self):
        address = f"--rpc-address=127.0.0.1:{self.port}"
        return ["--backend=rpc", address, f"--config={self.config}"]

    def wait(self, running, height):
        def synced():
            info = self.rpc("getinfo")
            return info["blockchain_height"] == info["server_height"] == height

        until(self.name, lambda: running.alive() and synced())

    def isolates(self):
        """Whether version and settings are those with which it heeds ids."""
        proxy, one_server = (self.rpc("getconfig", key=key) for key in ("proxy", "oneserver"))
        is_4_0 = self.rpc("getinfo")["version"].startswith("4.0.")
        return is_4_0 and bool(proxy) and not one_server
