"""Programs in Python that are installed for a script, each in an environment of its own in the cache."""

import fcntl
import hashlib
import shutil
import subprocess
import sys

from clickhouse_launcher.library import cache_directory

from .errors import ScriptError


class NotInstallable(ScriptError):
    """There is no network, or no package for this Python."""


def installed(name, requirements):
    """The folder of the programs of an environment with what a file of requirements names; installed on first use."""
    content = requirements.read_bytes()
    version = hashlib.sha256(content + sys.version.encode()).hexdigest()[:12]
    folder = cache_directory() / f"{name}-{version}"
    complete = folder / "complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            # Of an installation that was interrupted.
            shutil.rmtree(folder, ignore_errors=True)
            print(f"   installing {name} into {folder}", flush=True)
            for command in (
                [sys.executable, "-m", "venv", folder],
                [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements],
            ):
                made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
                if made.returncode != 0:
                    raise NotInstallable(f"{name} cannot be installed: {made.stdout.strip()[-1000:]}")
            complete.touch()
    return folder / "bin"
