"""What keeps every tor that is started here from the network.

It never connects to anything but this machine, for three reasons, each of which
would do:

- It uses bridges and has one, a port on the loopback interface at
  which nobody listens. A client with bridges asks nobody else, neither directory
  authorities nor fallback directories, until a bridge has told it of others.
- It binds what it connects to 127.0.0.1 and ::1. The kernel gives such a socket
  no way out of the machine.
- `Watch` looks at its sockets during the whole run, and the run fails over one
  that is not on the loopback interface.

`DisableNetwork 1` is no choice: it closes the SOCKS listeners as well. Without a
network Tor still takes streams, hands those to a controller that it may not
attach itself, and checks the targets that the controller gives them.
"""

TORRC = """
DataDirectory {folder}/data
Log notice file {folder}/log
SafeLogging 0
# No network: see above.
UseBridges 1
Bridge 127.0.0.1:{nobody}
OutboundBindAddress 127.0.0.1
OutboundBindAddress [::1]
# It ends when this script is killed, and its sockets can be looked at.
__OwningControllerProcess {owner}
DisableDebuggerAttachment 0
"""
