"""How the configuration is changed."""
