"""How good a model is: it is handed the model, and sets the questions itself."""
