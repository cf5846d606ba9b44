"""Two flows as a team would write them: see README.md."""
