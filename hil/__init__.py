"""What touches the real world: cryptography that is really done, on the machine at hand."""
