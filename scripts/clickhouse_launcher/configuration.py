"""The configuration of one server folder, the same for the binary and the library.

    config/config.xml       generated; config/config.d/extra.xml is the user's --config, merged by the server
    config/users.xml        generated; config/users.d/extra.xml is the user's --users
    data/                   tables
    server.log              the server's own log
    output.log              what the server's process printed, start failures among it

https://clickhouse.com/docs/operations/configuration-files
"""

import shutil
import uuid
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from .errors import LauncherError

# The database that `clickhouse local` makes for itself, with an engine that has no UUIDs and so no real EXCHANGE.
# Under any other name it leaves `default` to be the Atomic database that it is on a server.
LIBRARY_OWN_DATABASE = "local"

CONFIG = """<clickhouse>
    <path>{data}/</path>
    <tmp_path>{data}/tmp/</tmp_path>
    <user_files_path>{data}/user_files/</user_files_path>
    <listen_host>127.0.0.1</listen_host>
    <users_config>users.xml</users_config>
    <default_database>{default_database}</default_database>
    <logger>
        <level>information</level>
        <console>false</console>
        <log>{directory}/server.log</log>
        <size>10M</size>
        <count>1</count>
    </logger>
    <query_log>
        <database>system</database>
        <table>query_log</table>
    </query_log>
</clickhouse>
"""

USERS = """<clickhouse>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <users>
        <default>
            <password></password>
            <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <default_database>default</default_database>
        </default>
    </users>
</clickhouse>
"""


def write(directory, program, config, users):
    """Writes the folder's configuration and returns the path of config.xml."""
    check(config)
    check(users)
    folder = directory / "config"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    default_database = LIBRARY_OWN_DATABASE if program.kind == "library" else "default"
    values = {"data": directory / "data", "directory": directory, "default_database": default_database}
    main = folder / "config.xml"
    main.write_text(CONFIG.format(**{name: escape(str(value)) for name, value in values.items()}))
    (folder / "users.xml").write_text(USERS)
    for extra, name in ((config, "config.d"), (users, "users.d")):
        if extra:
            (folder / name).mkdir()
            shutil.copyfile(extra, folder / name / "extra.xml")
    if program.kind == "library":
        declare_databases(directory / "data" / "metadata")
    return main


def check(path):
    """A file that is missing is ignored by the library, and one that is not XML ends it without a word."""
    if path is None:
        return
    if not path.is_file():
        raise LauncherError(f"no such configuration file: {path}")
    try:
        ElementTree.parse(path)
    except ElementTree.ParseError as error:
        raise LauncherError(f"{path} is not well-formed XML: {error}") from error


def declare_databases(metadata):
    """Gives `default` and `system` the engine that they have on a server: `clickhouse local` keeps them otherwise."""
    metadata.mkdir(parents=True, exist_ok=True)
    for name in ("default", "system"):
        path = metadata / f"{name}.sql"
        if not path.exists():
            path.write_text(f"ATTACH DATABASE _ UUID '{uuid.uuid4()}' ENGINE = Atomic\n")
