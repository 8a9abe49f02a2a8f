# Tells StemNS where to reach the tor of a running Tor Browser. Its file
# Browser/TorBrowser/Data/Tor/torrc-defaults needs
#   __LeaveStreamsUnattached 1
# Keep one port file only in StemNS's folder "config".


class _Port(int):
    # Older versions of StemNS take a number, newer ones call a function.
    def __call__(self):
        return int(self)


tor_control_port = _Port(9151)
