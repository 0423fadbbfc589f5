"""Plot how complexity is distributed over right and wrong answers of the student.

Inputs    scores, one table per data set and student
Outputs   svg, png
Settings  params.titles, params.metric
"""

from caft.figures.complexity import plot_complexity
from caft.figures.style import save
from caft.running.jobs import job
from caft.tables import parquet

with job(snakemake) as log:
    scores = [parquet.read("scores", path) for path in snakemake.input.scores]
    save(
        plot_complexity(
            dict(zip(snakemake.params.titles, scores, strict=True)), snakemake.params.metric
        ),
        snakemake.output,
    )
