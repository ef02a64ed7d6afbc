"""Archives of predictions for the MultiMediate challenges: written and judged."""
