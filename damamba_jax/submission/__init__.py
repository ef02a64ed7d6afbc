"""Archives of predictions for the MultiMediate challenges: writing and checking."""
