"""Numbers that can be trusted: what looks at images, how they are brought to it, and what is kept of that."""
