"""The one error that the command line reports without a traceback."""


class LauncherError(Exception):
    """Something that the user can act on; the message is all that is shown."""
