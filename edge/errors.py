"""The one error type that a user sees."""


class EdgeError(Exception):
    """The user, their data or their device is at fault; printed as two lines, exit 1.

    Args:
        message: What was found and what was expected, lower-case, no full stop.
        hint: The next thing to type or to change.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its name where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
