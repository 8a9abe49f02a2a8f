"""python3 scripts/conformance_plugins KIND --rpc-address ..., as a process of its own."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from conformance_plugins import flaws, plugin  # noqa: E402

kinds = {kind.__name__: kind for kind in (plugin.Plugin, *flaws.FLAWS)}
if len(sys.argv) < 2 or sys.argv[1] not in kinds:
    sys.exit("usage: python3 scripts/conformance_plugins KIND ARGS...\nkinds: " + " ".join(kinds))
plugin.main(kinds[sys.argv[1]], sys.argv[2:])
