"""Does masked language modelling belong here? Arms beside each other, the evidence, and the rule that reads it."""
