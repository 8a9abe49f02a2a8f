# For StemNS's folder "config". The plugin asks Electrum servers through Tor;
# see docs/ for other sources of names.

_plugin = [
    # StemNS gives a directory that an ordinary user may not write to.
    "env",
    "-u",
    "TOR_NS_STATE_LOCATION",
    "ncprop279",
    "--backend",
    "electrum",
    "--proxy",
    "127.0.0.1:9050",
]

# Both spellings, for older and newer versions of StemNS.
_service_to_command = {
    "bit": _plugin,
    "bit.onion": _plugin,
}
service_to_command = _service_to_command
