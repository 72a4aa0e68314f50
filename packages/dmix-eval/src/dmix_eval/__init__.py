"""Is a generated data set good, and does it help a detector? `dmix evaluate` and `dmix experiment`."""
