"""Queries over HTTP, one statement at a time."""

import os
import shutil
import urllib.error
import urllib.parse
import urllib.request

from .errors import LauncherError

TIMEOUT_SECONDS = 600


def split_credentials(url):
    """(url without user and password, user or None, password or None)"""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    unquoted = [part and urllib.parse.unquote(part) for part in (parts.username, parts.password)]
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), unquoted[0], unquoted[1]


def redacted(url):
    return split_credentials(url)[0]


def open_query(url, sql):
    """The response of a query that succeeded. The server's words are raised otherwise."""
    address, user, password = split_credentials(url)
    parts = urllib.parse.urlsplit(address)
    parameters = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
    # With the whole result buffered in the server, a query that fails late still gets an error status.
    parameters.append(("wait_end_of_query", "1"))
    if os.environ.get("CLICKHOUSE_DB"):
        parameters.append(("database", os.environ["CLICKHOUSE_DB"]))
    address = urllib.parse.urlunsplit(parts._replace(path=parts.path or "/", query=urllib.parse.urlencode(parameters)))
    user = user or os.environ.get("CLICKHOUSE_USER")
    password = password or os.environ.get("CLICKHOUSE_PASSWORD")
    request = urllib.request.Request(address, data=sql if isinstance(sql, bytes) else sql.encode())
    request.add_header("Content-Type", "text/plain")
    if user:
        request.add_header("X-ClickHouse-User", user)
    if password:
        request.add_header("X-ClickHouse-Key", password)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no business on loopback
    try:
        return direct.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        raise LauncherError(error.read().decode(errors="replace").strip()) from error
    except (urllib.error.URLError, OSError) as error:
        raise LauncherError(f"no answer from {redacted(url)}: {getattr(error, 'reason', error)}") from error


def text(url, sql):
    with open_query(url, sql) as response:
        return response.read().decode(errors="replace").strip()


def copy(url, sql, output):
    with open_query(url, sql) as response:
        shutil.copyfileobj(response, output)
    output.flush()
