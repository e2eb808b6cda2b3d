"""Findings on their way to people: what an alert says, and where it goes."""
