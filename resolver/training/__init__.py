"""How the models are made: pairs from gold strings and from the registry, fine-tuning, export."""
