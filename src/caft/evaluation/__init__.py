"""How right a model is: its answers to a split, and its best epoch."""
