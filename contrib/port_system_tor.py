# Tells StemNS where to reach the tor that the system runs. torrc needs
#   ControlPort 9051
#   CookieAuthentication 1
#   __LeaveStreamsUnattached 1
# Keep one port file only in StemNS's folder "config".


class _Port(int):
    # Older versions of StemNS take a number, newer ones call a function.
    def __call__(self):
        return int(self)


tor_control_port = _Port(9051)
