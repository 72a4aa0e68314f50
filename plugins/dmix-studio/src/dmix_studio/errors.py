"""What the page is told when something does not work."""

from dmix_core.errors import DmixError


class StudioError(DmixError):
    """Something that was asked for and cannot be had.

    Attributes:
        status: the HTTP status of the answer.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
