"""Mutation score: change one place of the code at a time and see whether a test notices."""
