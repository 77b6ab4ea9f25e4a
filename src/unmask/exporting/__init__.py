"""A trained model written in the forms that others read, and held against itself before it is put in place."""
