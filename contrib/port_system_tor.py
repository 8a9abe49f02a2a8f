# Tells StemNS where to reach the tor that the system runs. torrc needs
#   ControlPort 9051
#   CookieAuthentication 1
#   __LeaveStreamsUnattached 1
# Keep one port file only in StemNS's folder "config".


def tor_control_port():
    return 9051
