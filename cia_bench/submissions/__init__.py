"""Results as others send them: a zip, packed by who scored a model and checked by who ranks it."""
