"""What answers cost: budgets, and what is still to buy."""
