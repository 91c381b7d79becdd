"""The command line: `router COMMAND`. One module per noun."""
