# Tells StemNS where to reach the tor of a running Tor Browser. Its file
# Browser/TorBrowser/Data/Tor/torrc-defaults needs
#   __LeaveStreamsUnattached 1
# Keep one port file only in StemNS's folder "config".


def tor_control_port():
    return 9151
