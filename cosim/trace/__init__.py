"""What happened: schema, writer, and the run read back as pandas frames."""
