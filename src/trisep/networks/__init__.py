"""The trunks. Nothing here knows about queries."""
