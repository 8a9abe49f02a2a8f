"""Name servers from Debian on the loopback interface: NSD, Knot and BIND."""

import os
import shutil
import socket
import subprocess
import time

from e2e import CannotStart, dns_wire, needs
from e2e.processes import end

PACKAGES = ["nsd", "knot", "bind9", "ldnsutils"]
PROGRAMS = ["nsd", "knotd", "keymgr", "named", "ldns-keygen", "ldns-signzone", "ldns-key2ds"]
PATIENCE = 30
INTERVAL = 0.01


def provide(install):
    """Returns if everything is there."""
    if install and _missing():
        needs.install(PACKAGES, " ".join(_missing()))
    if missing := _missing():
        packages = " ".join(PACKAGES)
        raise needs.Missing(
            f"{', '.join(missing)}: not installed (apt-get install {packages}, or --install as root)"
        )


def program(name):
    return shutil.which(name, path=needs.PATH)


def _missing():
    return [name for name in PROGRAMS if not program(name)]


class Server:
    """A server with its zones. A subclass says how it is configured and started."""

    def __init__(self, folder):
        self.folder = folder / type(self).__name__.lower()
        self.folder.mkdir()
        self.port = free_port()
        self.zones = []
        self.process = None

    def add(self, zone):
        self.zones.append(zone)

    def start(self):
        for zone in self.zones:
            self.file(zone).write_text(zone.text)
        self.configure()
        self.log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            [str(part) for part in self.command()],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=os.environ | {"PATH": needs.PATH},
        )
        for zone in self.zones:
            self._wait_for(zone)

    def _wait_for(self, zone):
        """Until the zone is served, and signed if the server signs it."""
        deadline = time.monotonic() + PATIENCE
        kind = dns_wire.DNSKEY if zone.is_signed_by_server else dns_wire.SOA
        while time.monotonic() < deadline and self.process.poll() is None:
            reply = dns_wire.ask(self.port, zone.origin, kind)
            found = {record.kind for record in reply.answers} if reply else set()
            if kind in found and (not zone.is_signed_by_server or dns_wire.RRSIG in found):
                return
            time.sleep(INTERVAL)
        log = (self.folder / "log").read_text(errors="replace")[-2000:]
        raise CannotStart(f"{type(self).__name__} does not serve {zone.origin}: {log}")

    def file(self, zone):
        return self.folder / f"{zone.origin}zone"

    def stop(self):
        if self.process:
            end(self.process)
            self.log.close()


class Nsd(Server):
    def configure(self):
        lines = [
            "server:",
            f"  ip-address: 127.0.0.1@{self.port}",
            "  server-count: 1",
            '  username: ""',
            '  chroot: ""',
            f'  zonesdir: "{self.folder}"',
            '  database: ""',
            '  pidfile: ""',
            f'  xfrdfile: "{self.folder}/xfrd.state"',
            f'  xfrdir: "{self.folder}"',
            f'  zonelistfile: "{self.folder}/zone.list"',
            "remote-control:",
            "  control-enable: no",
        ]
        for zone in self.zones:
            lines += ["zone:", f"  name: {zone.origin}", f'  zonefile: "{self.file(zone)}"']
        (self.folder / "nsd.conf").write_text("\n".join(lines) + "\n")

    def command(self):
        return [program("nsd"), "-d", "-c", self.folder / "nsd.conf"]


class Knot(Server):
    """Signs the zones that have a policy itself, with keys that are there before it starts."""

    POLICY = """\
  - id: {id}
    manual: on
    nsec3: {nsec3}
    nsec3-opt-out: {opt_out}
    nsec3-iterations: 0
    nsec3-salt-length: {salt}
"""

    def __init__(self, folder):
        super().__init__(folder)
        (self.folder / "db").mkdir()

    def add(self, zone):
        """Adds a zone, with new keys if it is signed here."""
        super().add(zone)
        if not zone.is_signed_by_server:
            return
        self.configure()
        roles = ["ksk=yes zsk=no"] * zone.signing.key_signing_keys + ["ksk=no zsk=yes"]
        for role in ["ksk=yes zsk=yes"] if zone.signing.single_key else roles:
            self._keymgr(zone, "generate", f"algorithm={zone.signing.algorithm}", *role.split())
        zone.ds = [line.split(" DS ")[1] for line in self._keymgr(zone, "ds").splitlines()]
        zone.ds = [ds for ds in zone.ds if ds.split()[2] == "2"]

    def _keymgr(self, zone, *command):
        config = self.folder / "knot.conf"
        result = subprocess.run(
            [program("keymgr"), "-c", config, zone.origin, *command],
            capture_output=True,
            text=True,
        )
        if result.returncode != 0:
            raise CannotStart(f"keymgr {' '.join(command)}: {result.stderr}")
        return result.stdout

    def configure(self):
        config = f"""\
server:
    listen: 127.0.0.1@{self.port}
    rundir: {self.folder}
    pidfile: {self.folder}/pid
    tcp-workers: 2
    udp-workers: 1
    background-workers: 2
log:
  - target: stderr
    any: warning
database:
    storage: {self.folder}/db
policy:
"""
        signed = [zone for zone in self.zones if zone.is_signed_by_server]
        for zone in signed:
            config += self.POLICY.format(
                id=zone.origin.replace(".", "_"),
                nsec3="on" if zone.signing.nsec3 else "off",
                opt_out="on" if zone.signing.opt_out else "off",
                salt=8 if zone.signing.nsec3 else 0,
            )
        config += "zone:\n"
        for zone in self.zones:
            config += f"  - domain: {zone.origin}\n    file: {self.file(zone)}\n"
            config += "    zonefile-sync: -1\n"
            if zone in signed:
                policy = zone.origin.replace(".", "_")
                config += f"    dnssec-signing: on\n    dnssec-policy: {policy}\n"
        (self.folder / "knot.conf").write_text(config)

    def command(self):
        return [program("knotd"), "-c", self.folder / "knot.conf"]


class Bind(Server):
    """Makes the keys of zones that it signs itself."""

    def configure(self):
        config = f"""\
options {{
    directory "{self.folder}";
    listen-on port {self.port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    session-keyfile none;
    recursion no;
    dnssec-validation no;
    notify no;
    empty-zones-enable no;
}};
controls {{ }};
dnssec-policy opt-out {{
    keys {{ csk lifetime unlimited algorithm 13; }};
    nsec3param iterations 0 optout yes salt-length 0;
}};
"""
        for zone in self.zones:
            policy = ""
            if zone.is_signed_by_server:
                name = "opt-out" if zone.signing.opt_out else "default"
                policy = f"dnssec-policy {name}; inline-signing yes; "
            config += f'zone "{zone.origin}" {{ type primary; file "{self.file(zone)}"; {policy}}};\n'
        (self.folder / "named.conf").write_text(config)

    def start(self):
        super().start()
        for zone in self.zones:
            if zone.is_signed_by_server:
                zone.ds = [self._ds(file) for file in self.folder.glob(f"K{zone.origin}+*.key")]

    def _ds(self, file):
        command = [program("ldns-key2ds"), "-n", "-2", file]
        line = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return line.split("\tDS\t")[1].strip()

    def command(self):
        return [program("named"), "-f", "-c", self.folder / "named.conf", "-n", "1"]


def free_port():
    """A port that nobody uses, for TCP and UDP alike."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
