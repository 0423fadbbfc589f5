"""From complexity to training tables: buckets, the rows of each stage, and the plan of models."""
