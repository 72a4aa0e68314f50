"""What one page, and all of them together, may take of the machine."""

MOST_TABS = 32
MOST_BOXES = 64
MOST_VARIANTS = 16
MOST_WAITING = 16  # compositions of one tab
MOST_WAITING_IN_ALL = 64
MOST_SAMPLES_KEPT = 500  # of one tab
MOST_BYTES_KEPT = 512_000_000  # of one tab
MOST_PHOTOGRAPHS = 50  # of one tab
UPLOAD_BYTES = 50_000_000
UPLOAD_PIXELS = 24_000_000
REQUEST_BYTES = 1_000_000  # of everything that is no picture
MESSAGE_BYTES = 512_000_000  # of a line from the process that computes
GRACE = 10.0  # seconds after which a tab without a stream of events is taken to be closed
PATIENCE = 5.0  # seconds for a running step to end after a cancellation; then the process is ended
