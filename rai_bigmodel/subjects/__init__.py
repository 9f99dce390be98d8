"""How does whatever a user brings become a ``Subject``? One file a kind, each with its own library."""
