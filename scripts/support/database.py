"""One database of a ClickHouse server, over HTTP. Starting a server is left to server.py."""

import http.client
import json
import os
import string
import urllib.parse

from clickhouse_launcher.client import redacted, split_credentials

from .errors import ScriptError

TIMEOUT_SECONDS = 3600


def statements(text):
    """The statements of an SQL file: each ends with the only semicolon in it, comments have lines of their own."""
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in kept.split(";") if statement.strip()]


class Database:
    """Runs statements in one database. Settings are added to each statement that does not say otherwise."""

    def __init__(self, url, name, settings=None):
        self.url = url
        self.name = name
        self.settings = dict(settings or {})

    def execute(self, sql, **settings):
        """The statement's answer as text."""
        return self.request(sql, settings)[0]

    def rows(self, sql, **settings):
        """The answer's rows as lists; 64-bit integers and decimals come as strings."""
        text = self.execute(sql + "\nFORMAT JSONCompactEachRow", output_format_json_quote_64bit_integers=1, **settings)
        return [json.loads(line) for line in text.splitlines()]

    def value(self, sql, **settings):
        return self.rows(sql, **settings)[0][0]

    def run_file(self, path, **parameters):
        text = path.read_text(encoding="utf-8")
        if parameters:
            text = string.Template(text).substitute(parameters)
        for statement in statements(text):
            self.execute(statement)

    def recreate(self):
        """Drops and creates this database, and no other."""
        server = Database(self.url, "default", self.settings)
        server.execute(f"DROP DATABASE IF EXISTS {quoted(self.name)} SYNC")
        server.execute(f"CREATE DATABASE {quoted(self.name)}")

    def drop(self):
        Database(self.url, "default", self.settings).execute(f"DROP DATABASE IF EXISTS {quoted(self.name)} SYNC")

    def request(self, sql, settings):
        """(answer, the server's summary of the query). The server's words are raised if it refuses."""
        address, user, password = split_credentials(self.url)
        parts = urllib.parse.urlsplit(address)
        # With the result buffered in the server, a query that fails late still gets an error status.
        parameters = {"database": self.name, "wait_end_of_query": "1", **self.settings, **settings}
        headers = {"Content-Type": "text/plain"}
        if user or os.environ.get("CLICKHOUSE_USER"):
            headers["X-ClickHouse-User"] = user or os.environ["CLICKHOUSE_USER"]
        if password or os.environ.get("CLICKHOUSE_PASSWORD"):
            headers["X-ClickHouse-Key"] = password or os.environ["CLICKHOUSE_PASSWORD"]
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("POST", (parts.path or "/") + "?" + urllib.parse.urlencode(parameters), sql.encode(), headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise ScriptError(f"no answer from {redacted(self.url)}: {error}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise ScriptError(f"{text.strip()[:2000]}\nthe statement began: {' '.join(sql.split())[:200]}")
        return text, json.loads(response.headers.get("X-ClickHouse-Summary") or "{}")


def quoted(name):
    """An identifier of any characters."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(text):
    """A string literal of any characters."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
