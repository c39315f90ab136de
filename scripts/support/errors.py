"""The error that the scripts report without a traceback."""


class ScriptError(Exception):
    """Something that the user can act on; the message is all that is shown."""
