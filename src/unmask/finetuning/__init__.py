"""Fine-tuning for understanding tasks: the same step, law and loop as pre-training, with honest figures around it."""
