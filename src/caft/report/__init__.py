"""What a run is summed up in: costs, comparison, purchases, provenance."""
