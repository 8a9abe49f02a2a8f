# Which names StemNS asks ncprop279 about. Put this file into StemNS's folder
# "config", next to the port file (port_system_tor.py or port_tor_browser.py).

# Where values come from. Without options: Namecoin Core on this machine, with
# its cookie file. Other choices are
#   ["--config", "/home/you/ncprop279.toml"]
#   ["--backend", "electrum", "--proxy", "127.0.0.1:9050"]    (no node at all)
# Tor Browser's proxy is 127.0.0.1:9150.
_options = []

# Electrum servers only: StemNS has the plugin keep block headers in
# /var/lib/tor/ns_state. If the user who runs StemNS cannot write there:
# _options += ["--state-directory", "/home/you/.local/state/ncprop279"]

# Give the whole path if ncprop279 is not in one of the folders of PATH.
_command = ["ncprop279"] + _options

# Names in .bit get whatever their owner has set; names in .bit.onion get onion
# services only.
_service_to_command = {
    "bit": _command,
    "bit.onion": _command,
}

# Older versions of StemNS look for the spelling above, newer ones for this.
service_to_command = _service_to_command
