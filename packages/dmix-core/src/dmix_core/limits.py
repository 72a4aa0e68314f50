"""The largest numbers that a recipe may state, so that none of them takes memory or time without bound."""

MOST_SAMPLES = 1_000_000
MOST_STEPS = 100_000
LARGEST_BATCH = 65_536
HIGHEST_SEED = 2**63 - 1
LONGEST_SIDE = 65_536
MOST_PIXELS = 100_000_000
LARGEST_RECIPE = 64_000_000  # bytes, enough for all sample numbers
