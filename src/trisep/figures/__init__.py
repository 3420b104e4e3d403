"""All figures that the project draws. This package computes no scores."""
