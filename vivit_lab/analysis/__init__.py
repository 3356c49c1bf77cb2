"""What a model costs, and where it looks."""
