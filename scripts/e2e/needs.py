"""What `scripts/e2e-tor` needs beside ncprop279: Debian's tor, and the stem library."""

import importlib.util
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

PACKAGES = ["tor", "python3-stem"]
OLDEST_PYTHON = (3, 10)
DEBIAN_PYTHON = "/usr/bin/python3"
POLICY = Path("/usr/sbin/policy-rc.d")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Missing(Exception):
    """What is missing, and what to do about it."""


def provide(install):
    """The path of tor. Returns in a Python that has stem, which may mean to
    start this script anew in Debian's."""
    if install and not (_tor() and _python()):
        install(PACKAGES, "tor or stem")
    if not _tor():
        raise Missing("tor is not installed (apt-get install tor, or --install as root)")
    python = _python()
    if not python:
        raise Missing(
            "the Python library stem is not installed (apt-get install python3-stem,"
            " pip install stem, or --install as root)"
        )
    if python != sys.executable:
        os.execv(python, [python, *sys.argv])
    return _tor()


def _tor():
    return shutil.which("tor", path=PATH)


def _python():
    """A Python that has stem; this one if it can be."""
    if sys.version_info >= OLDEST_PYTHON and importlib.util.find_spec("stem"):
        return sys.executable
    if not os.access(DEBIAN_PYTHON, os.X_OK) or os.path.samefile(DEBIAN_PYTHON, sys.executable):
        return None
    has_stem = subprocess.run([DEBIAN_PYTHON, "-c", "import stem"], stderr=subprocess.DEVNULL)
    return DEBIAN_PYTHON if has_stem.returncode == 0 else None


def install(packages, what):
    """Installs packages of Debian; `what` is missing and is named if that fails."""
    if not shutil.which("apt-get"):
        raise Missing(f"{what} is missing, and there is no apt-get to install packages with")
    if os.geteuid() != 0:
        raise Missing(f"{what} is missing, and only root may install packages")
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # A package source that is gone need not matter: the next step shows.
    subprocess.run([*apt, "update"], env=environment, stdout=subprocess.DEVNULL)
    with _no_services():
        installed = subprocess.run(
            [*apt, "install", "-y", "--no-install-recommends", *packages],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
    if installed.returncode != 0:
        sys.exit(f"FAIL: apt-get install {' '.join(packages)} ended with {installed.returncode}")


@contextmanager
def _no_services():
    """A package starts its program as a service, which might connect to the network:
    Debian asks this script first, where there is one."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
