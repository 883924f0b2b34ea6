"""What a provider is, and how one is found and spoken to."""
