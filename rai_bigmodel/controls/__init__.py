"""Which regulations ask for what, and which evidence is relevant to it? One YAML a framework, read strictly."""
