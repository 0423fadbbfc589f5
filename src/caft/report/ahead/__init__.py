"""What a run will take, told before it starts: jobs, models, tokens, money, disk and hours.

`known` reads what is there already, `sizes` and `rates` say how large models are and how fast they
run, `workload` counts the work, `outlook` makes a table and a text of it.
"""
