"""What is exactly known: sources of symbols whose best possible prediction can be computed."""
