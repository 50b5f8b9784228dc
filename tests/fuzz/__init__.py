"""Programs that feed parts of the product with random input for a long time: `make fuzz`."""
