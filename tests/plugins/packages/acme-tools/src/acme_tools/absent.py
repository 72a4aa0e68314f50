"""Needs something that is not there."""

import acme_library_of_another_time  # noqa: F401
