"""What the traffic of a model looks like, kept without its text; alarms, diagnosis and gates over it."""
