"""Starts ClickHouse servers for `scripts/clickhouse`.

library        finds a `clickhouse` binary, or fetches the pinned library
configuration  writes the configuration of one server folder
serve          runs one server until told to end
server         that server, a child process
program_arguments  how the binary and the library are called, and what they print
parent         the end of a parent or an owner, and who listens on a port
state          what `serve` tells the other commands through the server's folder
client         queries over HTTP
"""
