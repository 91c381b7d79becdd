"""The command line: `python -m router COMMAND`. One module per noun."""
