"""Finds the program that serves: a `clickhouse` binary on PATH, else the pinned library.

The library is ClickHouse itself, built as a shared object that needs only glibc. Its entry point
`chdb_query_cmdline` is the main function of `clickhouse local`, which can open the real listeners.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import namedtuple
from pathlib import Path

from .errors import LauncherError

PACKAGE = "@chdb/lib-linux-x64-gnu"
VERSION = "26.7.3-stable.1"
MEMBER = "package/libchdb.so"
SHA256 = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5"
OTHER_WAYS = "put a `clickhouse` binary on PATH, or set CLICKHOUSE_URL to a server of your own"

# kind is "binary" or "library"
Program = namedtuple("Program", "kind path")


def find_program(say):
    """The program to start; fetches the library if it is needed and not there."""
    binary = shutil.which("clickhouse")
    if binary:
        return Program("binary", Path(binary))
    return Program("library", fetch_library(say))


def cache_directory():
    configured = os.environ.get("CLICKHOUSE_BACKFILL_CACHE")
    if configured:
        return Path(configured).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "clickhouse-backfill"


def fetch_library(say):
    """The path of the verified library in the cache, downloaded if need be. Safe to call from several processes."""
    require_platform()
    folder = cache_directory() / f"chdb-{VERSION}"
    library = folder / "libchdb.so"
    if is_verified(library):
        return library
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed, or with the process
        if not is_verified(library):
            download(library, say)
    return library


def require_platform():
    here = f"{sys.platform} {platform.machine()}"
    if here != "linux x86_64":
        raise LauncherError(f"the ClickHouse library is for linux x86_64, not {here}: {OTHER_WAYS}")
    if platform.libc_ver()[0] != "glibc":
        raise LauncherError(f"the ClickHouse library needs glibc: {OTHER_WAYS}")


def stamp_of(library):
    return library.with_name(library.name + ".verified")


def fingerprint(library):
    """Tells cheaply whether the file is still the one that was hashed: reading all of it takes over a second."""
    facts = library.stat()
    return f"{SHA256} {facts.st_size} {facts.st_mtime_ns}\n"


def is_verified(library):
    try:
        return stamp_of(library).read_text() == fingerprint(library)
    except FileNotFoundError:
        return False


def download(library, say):
    npm = shutil.which("npm")
    if not npm:
        raise LauncherError(f"npm is needed to fetch the ClickHouse library: install npm, or {OTHER_WAYS}")
    say(f"fetching ClickHouse {VERSION} with npm (178 MB, once) into {library.parent}")
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=library.parent) as scratch:
        packed = subprocess.run(
            [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", scratch],
            cwd=scratch,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        tarballs = list(Path(scratch).glob("*.tgz"))
        if packed.returncode != 0 or len(tarballs) != 1:
            words = packed.stdout.decode(errors="replace").strip()
            raise LauncherError(f"npm pack {PACKAGE}@{VERSION} failed (exit code {packed.returncode}): {words}")
        unpacked = Path(scratch) / library.name
        digest = unpack(tarballs[0], unpacked)
        if digest != SHA256:
            raise LauncherError(f"sha256 of {MEMBER} in {PACKAGE}@{VERSION} is {digest}, expected {SHA256}: not used")
        os.replace(unpacked, library)
    stamp = stamp_of(library)
    stamp.with_suffix(".new").write_text(fingerprint(library))
    os.replace(stamp.with_suffix(".new"), stamp)


def unpack(tarball, destination):
    """Writes the library to `destination` and returns its sha256."""
    digest = hashlib.sha256()
    try:
        with tarfile.open(tarball) as archive, open(destination, "wb") as output:
            source = archive.extractfile(MEMBER)
            for block in iter(lambda: source.read(1 << 20), b""):
                digest.update(block)
                output.write(block)
    except (KeyError, tarfile.TarError, EOFError) as error:
        raise LauncherError(f"{tarball.name} is not the expected package: {error}") from error
    return digest.hexdigest()
