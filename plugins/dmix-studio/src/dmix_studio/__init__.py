"""`dmix studio`: a page on this machine to draw boxes on, to watch compositions, and to take the labels home."""
