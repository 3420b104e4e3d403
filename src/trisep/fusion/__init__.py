"""Ways for a query to meet the sound. Each file is one of the papers' fusions."""
