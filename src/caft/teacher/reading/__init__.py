"""What the reply of a teacher means: text, thinking, ending and tokens, read out of what came.

The reply is stored as it came, and all else is read from it anew whenever it is used. So a reader
that has learned a further dialect reads what was bought before, and a field that no reader knows
costs nothing.
"""
