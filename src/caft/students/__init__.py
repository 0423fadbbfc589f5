"""Models that are tuned: where they come from, how they are opened, and how they write."""
