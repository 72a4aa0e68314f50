"""`dmix studio`: a page on this machine on which boxes are drawn, compositions are watched, and labels are taken home."""
