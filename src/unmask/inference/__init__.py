"""From a model on disk to answers: lists in, lists of dicts out, with Hugging Face's keys."""
