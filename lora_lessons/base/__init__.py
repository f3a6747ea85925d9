"""Text, tokens and base models: what an adapter is trained on, and put into."""
