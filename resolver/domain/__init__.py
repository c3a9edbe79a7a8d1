"""The nouns of the field and the rules over them: no model, no database, no network."""
