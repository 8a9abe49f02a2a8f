"""All servers with all zones, the proxy in front of them, and the names file."""

import json

from socks_log import SocksLog

from e2e import dns_signed, dns_unsigned
from e2e.dns_servers import Bind, Knot, Nsd


class World:
    def __init__(self, folder):
        self.folder = folder
        self.servers = {"nsd": Nsd(folder), "knot": Knot(folder), "bind": Bind(folder)}
        self.proxy = SocksLog({})
        for server, places in dns_unsigned.PLACES.items():
            for place in places:
                self.lead(place, self.servers[server].port)
        self.names_file = folder / "names.json"
        keys = folder / "keys"
        keys.mkdir()
        self.matrix = dns_signed.matrix(keys)
        self.special = dns_signed.special(keys)
        self.zones = [*dns_unsigned.zones(), *self.matrix, *self.special.values()]

    def start(self):
        for zone in self.zones:
            self.servers[zone.server].add(zone)
        for server in self.servers.values():
            server.start()
        self.values = dns_unsigned.VALUES | dns_signed.matrix_values(self.matrix)
        self.values |= dns_signed.special_values(self.special)
        self.write()

    def write(self):
        """The names file with the values as they are now."""
        file = {f"d/{name}": value for name, value in self.values.items()}
        self.names_file.write_text(json.dumps(file | dns_unsigned.OTHER_VALUES))

    def lead(self, place, port):
        """Has the proxy lead a host name or address to a port here."""
        self.proxy.routes[f"{place}:53"] = port

    def stop(self):
        for server in self.servers.values():
            server.stop()
        self.proxy.close()
