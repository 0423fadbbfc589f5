"""Everything that is drawn; no figure computes what it shows."""
