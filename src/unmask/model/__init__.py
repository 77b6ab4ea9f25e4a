"""The packed encoder in the shapes of two published families, its head, and what it costs."""
