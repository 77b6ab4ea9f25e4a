"""Models that others have published: their configurations and tensors read into ours, and written back."""
