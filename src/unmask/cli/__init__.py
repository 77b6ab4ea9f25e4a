"""The command line, one small file a group of commands: composes the parts, and alone catches UserError."""
