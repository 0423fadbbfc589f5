"""Statistics: intervals, comparisons of strategies, and how well metrics find wrong answers."""
