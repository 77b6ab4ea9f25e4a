"""Why a fine-tuned model's figure is what it is: one small file a check, numpy in, a Finding out."""
